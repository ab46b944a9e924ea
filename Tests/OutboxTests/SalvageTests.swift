import Database
import Glibc
import Outbox
import Readings
import TestSupport
import Testing

/// A damaged file: what can be read of it goes upstream as what it was, and the rest is told.
@Suite struct SalvageTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()
    var path: String { "\(folder.path)/outbox.db" }

    init() throws { folder = try TemporaryDirectory() }

    private func open() throws -> OutboxStore {
        try sinks.open(.test(folder, classes: [.telemetry: ClassLimits(), .events: ClassLimits()], time: time))
    }

    /// Some take a page, some several.
    private static func payload(_ number: Int) -> String {
        "m\(number) " + String(repeating: "x", count: number * 137 % 9_000)
    }

    private func fill(_ store: OutboxStore, _ range: ClosedRange<Int>, _ name: DeliveryClass = .telemetry) async throws
    {
        try await store.append(range.map { .test(Self.payload($0), name, time: time.now()) })
        try await store.flush()
    }

    private func overwrite(at place: Int, with bytes: [UInt8], in name: String? = nil) throws {
        let file = Glibc.open(name ?? path, O_WRONLY)
        try #require(file >= 0)
        defer { close(file) }
        #expect(pwrite(file, bytes, bytes.count, off_t(place)) == bytes.count)
    }

    private var fileSize: Int {
        var information = stat()
        return stat(path, &information) == 0 ? Int(information.st_size) : 0
    }

    private func salvageAll(_ store: OutboxStore) async throws -> [OutboxStore.Salvage] {
        var done: [OutboxStore.Salvage] = []
        for file in store.damagedFiles { done.append(try await store.salvage(file.path, number: file.number)) }
        return done
    }

    /// The sequences that a gap record speaks for.
    private func range(_ claimed: OutboxStore.Claimed) -> ClosedRange<Int64>? {
        func number(_ key: String) -> Int64? {
            claimed.text.firstRange(of: "\"\(key)\":").flatMap {
                Int64(claimed.text[$0.upperBound...].prefix { $0.isNumber })
            }
        }
        guard claimed.message.topic.hasPrefix("gaps/"), let first = number("first_seq"), let last = number("last_seq")
        else { return nil }
        return first...last
    }

    @Test func withoutItsHeaderEverythingComesAsItWas() async throws {
        var store = try open()
        try await fill(store, 1...300)
        try await fill(store, 1...5, .events)
        await store.attach()
        // These have gone upstream.
        var gone = 0
        for _ in 0..<3 {
            let claimed = try await store.claim(limit: 20, byteLimit: 1 << 20).filter { $0.stream == "telemetry" }
            gone += claimed.count
            try await store.settle(claimed.map(\.id))
            try await store.flush()
        }
        await store.release()
        let expected = try await store.waiting(limit: 999, byteLimit: 1 << 30).map { "\($0.epoch) \($0.sequence)" }
        await store.close()
        try overwrite(at: 0, with: [UInt8](repeating: 0, count: 4_096))

        store = try open()
        #expect(store.recovery != nil)
        try await fill(store, 1_000...1_001)
        #expect(store.damagedFiles.map(\.path) == ["\(path).corrupt-1"])
        let report = try await salvageAll(store)
        #expect(report == [.init(file: "\(path).salvaged-1", saved: Int64(305 - gone), lost: 0)])
        #expect(store.damagedFiles.isEmpty && access("\(path).salvaged-1", F_OK) == 0)
        #expect(try await store.backlog().map(\.deliveryClass.name).sorted().contains("telemetry~1"))

        let all = try await store.drain()
        let salvaged = all.filter(\.isHistorical)
        #expect(salvaged.map { "\($0.epoch) \($0.sequence)" }.sorted() == expected.sorted())
        #expect(salvaged.allSatisfy { $0.text == Self.payload(Int($0.sequence)) && $0.boot == BootID("boot-1") })
        #expect(Set(salvaged.map(\.stream)) == ["telemetry", "events"])
        let telemetry = salvaged.filter { $0.stream == "telemetry" }.map(\.sequence)
        #expect(telemetry == telemetry.sorted())
        #expect(all.filter { !$0.isHistorical }.map(\.text) == [1_000, 1_001].map(Self.payload))
        await store.close()
        // Drained, it is forgotten, and it does not come again.
        store = try open()
        #expect(try await salvageAll(store).isEmpty)
        #expect(try await store.backlog().map(\.deliveryClass.name).sorted() == ["events", "telemetry"])
        #expect(try await store.drain().isEmpty)
    }

    /// Every message comes, or a record speaks for it.
    @Test(arguments: UInt64(1)...10) func damagedPagesBecomeGaps(seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        var store = try open()
        try await fill(store, 1...400)
        await store.close()
        let pages = fileSize / 4_096
        var damaged: Set<Int> = [0]
        for _ in 0..<Int.random(in: 1...20, using: &random) {
            damaged.insert(Int.random(in: 0..<pages, using: &random))
        }
        for page in damaged {
            let isNoise = Bool.random(using: &random)
            let bytes = (0..<4_096).map { _ in isNoise ? UInt8.random(in: 0 ... .max, using: &random) : 0 }
            try overwrite(at: page * 4_096, with: bytes)
        }
        store = try open()
        let report = try #require(try await salvageAll(store).first)
        let all = try await store.drain()
        var covered: [Int64: Int] = [:]
        var last: Int64 = 0
        for claimed in all {
            #expect(claimed.sequence > last)
            last = claimed.sequence
            if let range = range(claimed) {
                #expect(claimed.text.contains(#""reason":"damaged""#))
                for sequence in range { covered[sequence, default: 0] += 1 }
            } else {
                #expect(claimed.text == Self.payload(Int(claimed.sequence)), "\(claimed.sequence)")
                covered[claimed.sequence, default: 0] += 1
            }
        }
        #expect(covered.values.allSatisfy { $0 == 1 })
        let first = try #require(covered.keys.min())
        let end = try #require(covered.keys.max())
        #expect(covered.count == Int(end - first + 1))
        #expect(report.saved + report.lost == Int64(covered.count) && report.saved > 0)
    }

    @Test func damageThatIsFoundUnderWayStopsNothing() async throws {
        let store = try open()
        // More than SQLite keeps in memory.
        for start in stride(from: 1, to: 6_000, by: 100) { try await fill(store, start...(start + 99)) }
        let size = fileSize
        try #require(size > 3 << 20)
        try overwrite(at: size / 2 / 4_096 * 4_096, with: [UInt8](repeating: 0, count: 40 * 4_096))
        await store.attach()
        var before: [OutboxStore.Claimed] = []
        while store.damagedFiles.isEmpty {
            guard let claimed = try? await store.claim(limit: 100, byteLimit: 1 << 20) else { continue }
            before += claimed
            _ = try? await store.settle(claimed.map(\.id))
        }
        // What comes now is taken, and waits in memory until the new file is there.
        let token = SettleToken(connection: 1, publication: 99)
        #expect(
            try await eventually { try await store.append([.test("new", time: time.now(), token: 99)]).isEmpty })
        let reports = try await salvageAll(store)
        #expect(reports.count == 1 && (reports.first?.lost ?? 0) > 0)
        let after = try await store.drain()
        #expect(sinks.settled.flatMap { $0 }.contains(token))
        #expect(after.map(\.text).contains("new"))

        var seen = Set(before.map(\.sequence))
        for claimed in after where claimed.isHistorical {
            if let range = range(claimed) { seen.formUnion(range) } else { seen.insert(claimed.sequence) }
        }
        #expect(seen == Set(1...6_000))
    }

    /// Nothing of SQLite's breaks over it.
    @Test func aByteThatHasTurnedOverInAPayloadIsNoticed() async throws {
        let store = try open()
        let text = (1...40).map { "\($0) " + String(repeating: "payload ", count: 1_500) }
        try await store.append(text.map { .test($0, time: time.now()) })
        try await store.flush()
        await store.close()
        // Deep inside the pages that payloads overflow into; whose it is is not to be told here.
        let bytes = try #require(folder.bytes(of: "outbox.db"))
        let start = try #require(bytes.firstRange(of: Array("20 payload".utf8))).lowerBound
        try overwrite(at: start + 9_000, with: [bytes[start + 9_000] ^ 1])

        let again = try open()
        await again.attach()
        var before: [OutboxStore.Claimed] = []
        while again.damagedFiles.isEmpty {
            guard let claimed = try? await again.claim(limit: 7, byteLimit: 1 << 20) else { continue }
            before += claimed
            _ = try? await again.settle(claimed.map(\.id))
        }
        #expect(before.allSatisfy { $0.text == text[Int($0.sequence) - 1] })
        #expect(try await eventually { try await again.backlog().count > 0 })
        let reports = try await salvageAll(again)
        #expect(reports.map(\.lost) == [1])
        let after = try await again.drain()
        var seen = Set(before.map(\.sequence))
        var lost: Int64 = 0
        for claimed in after {
            if let range = range(claimed) {
                #expect(range.count == 1)
                lost = range.lowerBound
            } else {
                #expect(claimed.text == text[Int(claimed.sequence) - 1])
                seen.insert(claimed.sequence)
            }
        }
        #expect(seen == Set(1...40).subtracting([lost]) && lost > 0)
    }

    @Test func whatPublishersSaidSurvivesASalvage() async throws {
        var store = try open()
        let properties = MessageProperties(contentType: "text/plain", user: [.init("a", "b")], hops: ["boot-0"])
        var message = Message(topic: "t", payload: [1], time: time.now())
        message.expiry = .seconds(100)
        message.properties = properties
        try await store.append([.init(message: message)])
        try await store.flush()
        await store.close()
        try overwrite(at: 0, with: [UInt8](repeating: 0, count: 100))
        store = try open()
        #expect(try await salvageAll(store).map(\.saved) == [1])
        let all = try await store.drain()
        #expect(all.map(\.message.properties) == [properties] && all.map(\.remaining) == [.seconds(100)])
    }

    @Test func whatASalvageLeftThatWasCutShortIsRemoved() async throws {
        var store = try open()
        try await fill(store, 1...50)
        await store.close()
        try overwrite(at: 0, with: [UInt8](repeating: 0, count: 100))
        store = try open()
        await store.close()
        do {
            let connection = try Connection.open(path)
            try connection.execute(
                """
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
                INSERT INTO message SELECT (9 << 48) + i, 0, 0, 1, 0, 0, 0, 'stray', x'00', NULL, NULL, NULL FROM n
                """, doing: "leave rows")
        }
        store = try open()
        #expect(try await salvageAll(store).map(\.saved) == [50])
        let all = try await store.drain()
        #expect(all.map(\.text) == (1...50).map(Self.payload))
    }

    @Test func aFileWithNothingToReadIsDoneWith() async throws {
        try folder.write(String(repeating: "no database at all ", count: 5_000), to: "outbox.db")
        let store = try open()
        #expect(try await salvageAll(store) == [.init(file: "\(path).salvaged-1", saved: 0, lost: 0)])
        #expect(store.damagedFiles.isEmpty)
        #expect(try await store.backlog().count == 2)
    }

    // MARK: Several files

    /// Makes a damaged file of the next number with messages in it.
    private func damage(_ range: ClosedRange<Int>) async throws {
        var store = try open()
        try await fill(store, range)
        await store.close()
        try overwrite(at: 0, with: [UInt8](repeating: 0, count: 100))
        store = try open()
        #expect(store.recovery != nil)
        await store.close()
    }

    private func drained(_ store: OutboxStore, _ count: Int) async throws -> [String] {
        await store.attach()
        var texts: [String] = []
        _ = try await eventually {
            texts += try await store.drain().map(\.text)
            return texts.count >= count
        }
        return texts
    }

    /// Somebody has deleted a file that was brought in: those behind it still come, and none takes its number.
    @Test func aMissingNumberHidesNothingBehindIt() async throws {
        try await damage(1...5)
        try await damage(6...10)
        try await damage(11...15)
        for number in [1, 3] {
            try #require(unlink("\(path).corrupt-\(number)") == 0)
            unlink("\(path).corrupt-\(number)-wal")
        }
        let store = try open()
        #expect(store.damagedFiles.map(\.number) == [2])
        let salvaging = Task { await store.salvageDamagedFiles() }
        #expect(
            await eventually { sinks.notices.contains(.salvaged(.init(file: "\(path).salvaged-2", saved: 5, lost: 0))) }
        )
        #expect(try await drained(store, 5) == (6...10).map(Self.payload))
        salvaging.cancel()
        await salvaging.value
        await store.close()
        try await damage(16...20)
        #expect(try open().damagedFiles.map(\.number) == [3])
    }

    /// Folders, pipes and files that cannot be read, under such names: each is reported, and the others come.
    @Test func oneFileThatCannotBeReadKeepsNoOtherBack() async throws {
        try #require(mkdir("\(path).corrupt-1", 0o755) == 0)
        try #require(mkfifo("\(path).corrupt-2", 0o644) == 0)
        try #require(symlink("/nowhere", "\(path).corrupt-3") == 0)
        try await damage(1...5)
        try await damage(6...9)
        // Without its log the newest of a file would be missing.
        unlink("\(path).corrupt-4-wal")
        try #require(mkdir("\(path).corrupt-4-wal", 0o755) == 0)
        let store = try open()
        let salvaging = Task { await store.salvageDamagedFiles() }
        #expect(await eventually { store.condition.unsalvaged.count == 4 && sinks.notices.contains { $0.isSalvaged } })
        let problems = store.condition.unsalvaged
        #expect(problems["\(path).corrupt-1"]?.reason.contains("it is a folder") == true)
        #expect(problems["\(path).corrupt-2"]?.reason.contains("neither a file nor a folder") == true)
        #expect(problems.values.allSatisfy { $0.remedy?.isEmpty == false })
        #expect(try await drained(store, 4).contains(Self.payload(9)))
        salvaging.cancel()
        await salvaging.value
        await store.close()
        // What somebody has moved away is no problem any more.
        for name in ["corrupt-1", "corrupt-4-wal"] { _ = rmdir("\(path).\(name)") }
        try #require(unlink("\(path).corrupt-2") == 0)
        let again = try open()
        let next = Task { await again.salvageDamagedFiles() }
        #expect(await eventually { again.damagedFiles.allSatisfy { $0.number == 3 } })
        next.cancel()
        await next.value
        #expect(again.condition.unsalvaged["\(path).corrupt-1"] == nil)
        await again.close()
    }

    /// A file that is put back under the number of one that was brought in is one by itself.
    @Test func aFileUnderANumberThatWasUsedComesToo() async throws {
        try await damage(1...5)
        let store = try open()
        _ = try await salvageAll(store)
        try folder.write(try #require(folder.bytes(of: "outbox.db.salvaged-1")), to: "outbox.db.corrupt-1")
        let reports = try await salvageAll(store)
        #expect(reports.map(\.saved) == [5])
        #expect(reports.map(\.file) == ["\(path).salvaged-2"])
        #expect(try await store.drain().count == 10)
        await store.close()
    }
}

extension OutboxNotice {
    fileprivate var isSalvaged: Bool { if case .salvaged = self { true } else { false } }
}
