import Glibc
import Outbox
import Readings
import TestSupport
import Testing

/// Files as a crash leaves them, whose log is damaged before they are opened again: what was acknowledged lies there.
@Suite struct DamagedLogTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    private static let headerSize = 32
    private static let frameSize = 24 + 4_096

    private func open(_ folder: TemporaryDirectory, boot: String = "boot-1") throws -> OutboxStore {
        try sinks.open(
            .test(folder, classes: [.telemetry: ClassLimits(), .events: ClassLimits()], time: time, boot: boot))
    }

    /// The file and its log as they are now.
    private func crash() throws -> TemporaryDirectory {
        let copy = try TemporaryDirectory()
        for name in ["outbox.db", "outbox.db-wal"] { try copy.write(try #require(folder.bytes(of: name)), to: name) }
        return copy
    }

    private var logSize: Int { folder.bytes(of: "outbox.db-wal")?.count ?? 0 }

    /// Each is committed by itself.
    private func fill(_ store: OutboxStore, _ range: ClosedRange<Int>) async throws {
        for number in range {
            try await store.append([.test("m\(number)", time: time.now())])
            try await store.flush()
        }
    }

    private func change(
        _ name: String = "outbox.db-wal", in folder: TemporaryDirectory, _ body: (inout [UInt8]) throws -> Void
    ) throws {
        var bytes = try #require(folder.bytes(of: name))
        try body(&bytes)
        try folder.write(bytes, to: name)
    }

    /// Salvages what there is and drains the store.
    private func drain(_ store: OutboxStore) async throws -> [OutboxStore.Claimed] {
        for file in store.damagedFiles { _ = try await store.salvage(file.path, number: file.number) }
        return try await store.drain()
    }

    /// A message's identity on the wire.
    private struct Identity: Hashable {
        var stream: String
        var epoch: UInt64
        var sequence: Int64
    }

    private func identity(_ claimed: OutboxStore.Claimed) -> Identity {
        Identity(stream: claimed.stream, epoch: claimed.epoch, sequence: claimed.sequence)
    }

    /// What a claimed message or gap record accounts for.
    private func covered(by claimed: OutboxStore.Claimed) -> [Identity] {
        guard let range = claimed.gapRange else { return [identity(claimed)] }
        return range.map { Identity(stream: claimed.stream, epoch: claimed.epoch, sequence: $0) }
    }

    // MARK: One frame

    @Test(arguments: [0, 3, 12, 20]) func oneBitInAFrameIsFoundAndTheRestComes(frame: Int) async throws {
        let store = try open(folder)
        try await fill(store, 1...30)
        let copy = try crash()
        await store.close()
        try change(in: copy) { $0[Self.headerSize + frame * Self.frameSize + 2_000] ^= 4 }

        let again = try open(copy, boot: "boot-2")
        #expect(again.recovery?.quarantined == "\(copy.path)/outbox.db.corrupt-1")
        try await fill(again, 31...31)
        let all = try await drain(again)
        let seen = Set(all.filter(\.isHistorical).flatMap(covered))
        #expect(Set(seen.map(\.sequence)) == Set(1...30))
        let new = all.filter { !$0.isHistorical }
        #expect(new.map(\.text) == ["m31"])
        #expect(Set(all.filter(\.isHistorical).map(\.epoch)).isDisjoint(with: new.map(\.epoch)))
    }

    @Test func aLogWithADamagedHeaderIsFoundAndReadByTheSalvage() async throws {
        let store = try open(folder)
        try await fill(store, 1...10)
        for place in 0..<Self.headerSize {
            let copy = try crash()
            try change(in: copy) { $0[place] ^= 1 << UInt8(place % 8) }
            let again = try open(copy, boot: "boot-2")
            #expect(again.recovery != nil, "byte \(place)")
            let all = try await drain(again)
            #expect(all.map(\.text) == (1...10).map { "m\($0)" }, "byte \(place)")
        }
    }

    @Test func anEmptyFileBesideALogIsDamaged() async throws {
        let store = try open(folder)
        try await fill(store, 1...10)
        let copy = try crash()
        await store.close()
        try copy.write([], to: "outbox.db")
        let again = try open(copy, boot: "boot-2")
        #expect(again.recovery != nil)
        #expect(try await drain(again).count == 10)
    }

    // MARK: What is no damage

    /// The last transaction, in every state that a power cut may leave it in: nobody was told that it is safe.
    @Test func aTransactionThatTheCutTookIsNoDamage() async throws {
        let store = try open(folder)
        try await fill(store, 1...20)
        let start = logSize
        let before = try crash()
        try await store.append(
            (21...60).map { .test("m\($0) " + String(repeating: "x", count: 900), time: time.now()) })
        try await store.flush()
        let whole = try #require(folder.bytes(of: "outbox.db-wal"))
        await store.close()
        let frames = (whole.count - start) / Self.frameSize
        try #require(frames > 5)
        var random = SplitMix64(seed: 7)
        for round in 0..<60 {
            let copy = try TemporaryDirectory()
            try copy.write(try #require(before.bytes(of: "outbox.db")), to: "outbox.db")
            var log = whole
            // At least one did not land; some did in part.
            let missing = Int.random(in: 0..<frames, using: &random)
            for frame in 0..<frames where frame == missing || round > 0 && Bool.random(using: &random) {
                let place = start + frame * Self.frameSize
                let from = Bool.random(using: &random) ? 0 : 24
                let end = Bool.random(using: &random) ? Self.frameSize : 2_048
                for byte in place + from..<place + end { log[byte] = 0 }
            }
            if round % 3 == 0 { log.removeLast(Int.random(in: 1...(frames * Self.frameSize), using: &random)) }
            try copy.write(log, to: "outbox.db-wal")
            let again = try open(copy, boot: "boot-2")
            #expect(again.recovery == nil, "round \(round)")
            let first = try await drain(again)
            #expect(first.map(\.text) == (1...20).map { "m\($0)" }, "round \(round)")
            // It may have gone upstream: its numbers are not used again.
            try await fill(again, 61...61)
            let new = try await drain(again)
            #expect(new.map(\.sequence) == [1] && new.first?.epoch != first.first?.epoch, "round \(round)")
            await again.close()
        }
    }

    /// A log that has been begun anew in the space that it had.
    @Test func framesOfAnEarlierLogAreNoDamage() async throws {
        let store = try open(folder)
        // More than a checkpoint's worth.
        for start in stride(from: 1, to: 6_000, by: 100) {
            try await store.append(
                (start..<start + 100).map { .test("m\($0) " + String(repeating: "x", count: 700), time: time.now()) })
            try await store.flush()
        }
        let epochs = Set(try await store.waiting(limit: 10, byteLimit: 1 << 20).map(\.epoch))
        try await fill(store, 6_001...6_003)
        let copy = try crash()
        await store.close()
        let log = try #require(copy.bytes(of: "outbox.db-wal"))
        let salts = stride(from: Self.headerSize, to: log.count - Self.frameSize, by: Self.frameSize).map {
            Array(log[$0 + 8..<$0 + 16])
        }
        try #require(Set(salts).count > 1, "the log was begun anew")
        let again = try open(copy, boot: "boot-2")
        #expect(again.recovery == nil)
        try await fill(again, 6_004...6_004)
        let all = try await drain(again)
        #expect(all.count == 6_003 + 1 && Set(all.map(\.epoch)) == epochs)
    }

    /// A commit that failed when all of it but its sync was done, twice, and a shorter one in its place.
    @Test func whatFailedCommitsLeftIsNoDamage() async throws {
        let store = try open(folder)
        try await fill(store, 1...5)
        let start = logSize
        let base = try crash()
        await store.close()
        /// Opens the file as it was, commits so many messages and hands back the log.
        func log(_ count: Int) async throws -> [UInt8] {
            let copy = try TemporaryDirectory()
            for name in ["outbox.db", "outbox.db-wal"] {
                try copy.write(try #require(base.bytes(of: name)), to: name)
            }
            let store = try open(copy)
            try await store.append(
                (1...count).map { .test("\(count)-\($0) " + String(repeating: "x", count: 3_000), time: time.now()) })
            try await store.flush()
            defer { _ = store }
            return try #require(copy.bytes(of: "outbox.db-wal"))
        }
        var whole = try await log(60)
        for count in [20, 2] {
            let shorter = try await log(count)
            try #require(shorter.count < whole.count && shorter[..<start] == whole[..<start])
            whole.replaceSubrange(0..<shorter.count, with: shorter)
        }
        try base.write(whole, to: "outbox.db-wal")
        let again = try open(base, boot: "boot-2")
        #expect(again.recovery == nil)
        let all = try await drain(again)
        #expect(all.prefix(5).map(\.text) == (1...5).map { "m\($0)" })
        #expect(all.dropFirst(5).map { $0.text.prefix(3) } == ["2-1", "2-2"])
    }

    // MARK: Anything

    private struct Ledger {
        /// What went upstream, and what waited at the crash.
        var known: [Identity: String] = [:]
        var waiting: Set<Identity> = []
    }

    /// A little of everything.
    /// - Returns: besides what is known, up to where the log is beyond doubt: two commits came after.
    private func work(_ store: OutboxStore, _ random: inout SplitMix64) async throws -> (Ledger, end: Int) {
        var ledger = Ledger()
        var sizes: [Int] = []
        var number = 0
        for _ in 0..<Int.random(in: 8...40, using: &random) {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<7:
                let count = Int.random(in: 1...6, using: &random)
                let name: DeliveryClass = Int.random(in: 0..<4, using: &random) == 0 ? .events : .telemetry
                let size = Int.random(in: 0...2_500, using: &random)
                try await store.append(
                    (number + 1...number + count).map {
                        .test("m\($0) " + String(repeating: "x", count: size), name, time: time.now())
                    })
                number += count
            case 7..<9:
                await store.attach()
                let claimed = try await store.claim(
                    limit: Int.random(in: 1...12, using: &random), byteLimit: 1 << 20)
                for one in claimed { ledger.known[identity(one)] = one.text }
                try await store.settle(claimed.filter { _ in Bool.random(using: &random) }.map(\.id))
            default: await store.release()
            }
            try await store.flush()
            if logSize != sizes.last { sizes.append(logSize) }
        }
        await store.release()
        try await store.flush()
        for number in 1...3 {
            try await store.append([.test("last \(number)", time: time.now())])
            try await store.flush()
            sizes.append(logSize)
        }
        for one in try await store.waiting(limit: 99_999, byteLimit: 1 << 30) {
            // Streams are numbered by their names.
            let identity = Identity(
                stream: ["events", "telemetry"][Int(one.id.rawValue >> 48) - 1], epoch: one.epoch,
                sequence: one.sequence)
            ledger.known[identity] = String(decoding: one.message.payload, as: UTF8.self)
            ledger.waiting.insert(identity)
        }
        return (ledger, sizes[sizes.count - 3])
    }

    /// Opens what a crash and a damage left, goes on with it, and holds all that comes against what is known.
    private func check(_ copy: TemporaryDirectory, _ ledger: Ledger, mustBeComplete: Bool, _ what: Comment) async throws
    {
        let store = try open(copy, boot: "boot-2")
        try await fill(store, 100_001...100_003)
        var covered: Set<Identity> = []
        var texts: Set<String> = []
        // Where the row that says it was damaged, what is salvaged comes under an epoch of its own.
        let epochs = Set(ledger.known.keys.map(\.epoch))
        var elsewhere: Set<Int64> = []
        for claimed in try await drain(store) {
            covered.formUnion(self.covered(by: claimed))
            if let range = claimed.gapRange {
                if !epochs.contains(claimed.epoch) { elsewhere.formUnion(range) }
            } else {
                texts.insert(claimed.text)
                if let known = ledger.known[identity(claimed)] {
                    #expect(claimed.text == known, "\(what): used twice")
                }
            }
        }
        if mustBeComplete {
            let lost = ledger.waiting.subtracting(covered).filter {
                !texts.contains(ledger.known[$0] ?? "") && !elsewhere.contains($0.sequence)
            }
            #expect(lost.isEmpty, "\(what): lost \(lost.map { "\($0.stream) \($0.sequence)" }.sorted())")
        }
        await store.close()
    }

    @Test(arguments: UInt64(1)...25) func bitsThatHaveTurnedOverLoseNothingSilently(seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        let store = try open(folder)
        let (ledger, end) = try await work(store, &random)
        let whole = logSize
        let copy = try crash()
        await store.close()
        for round in 0..<4 {
            let damaged = try TemporaryDirectory()
            try damaged.write(try #require(copy.bytes(of: "outbox.db")), to: "outbox.db")
            var log = try #require(copy.bytes(of: "outbox.db-wal"))
            // In the last transactions nobody can tell damage from what a power cut leaves; numbers are not used twice
            // for that either.
            let isAnywhere = round == 3
            if round < 2 || isAnywhere {
                log[Int.random(in: 0..<(isAnywhere ? whole : end), using: &random)] ^=
                    1 << UInt8.random(in: 0...7, using: &random)
            } else {
                let place = Int.random(in: 0..<end, using: &random)
                for byte in place..<min(end, place + 8_192) { log[byte] = 0 }
            }
            try damaged.write(log, to: "outbox.db-wal")
            try await check(damaged, ledger, mustBeComplete: !isAnywhere, "seed \(seed), round \(round)")
        }
    }
}

extension OutboxStore.Claimed {
    /// The sequences that a gap record speaks for.
    var gapRange: ClosedRange<Int64>? {
        func number(_ key: String) -> Int64? {
            text.firstRange(of: "\"\(key)\":").flatMap { Int64(text[$0.upperBound...].prefix { $0.isNumber }) }
        }
        guard message.topic.hasPrefix("gaps/"), let first = number("first_seq"), let last = number("last_seq")
        else { return nil }
        return first...last
    }
}
