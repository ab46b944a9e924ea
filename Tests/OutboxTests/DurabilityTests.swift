import Database
import Glibc
import Outbox
import Readings
import TestSupport
import Testing

@Suite struct DurabilityTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    @Test func sequencesGoOnAcrossAReopeningEvenOfAnEmptyStore() async throws {
        var store = try sinks.open(.test(folder, time: time))
        try await store.append([.test("a", time: time.now()), .test("b", time: time.now())])
        let first = try await store.claim(limit: 9, byteLimit: 1000)
        try await store.settle(first.map(\.id))
        await store.close()
        store = try sinks.open(.test(folder, time: time))
        #expect(store.recovery == nil)
        #expect(try await store.claim(limit: 9, byteLimit: 1000).isEmpty)
        try await store.append([.test("c", time: time.now())])
        let next = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(next.map(\.sequence) == [3])
        #expect(next.map(\.epoch) == [first[0].epoch])
    }

    @Test func aClaimDoesNotOutliveTheProcess() async throws {
        var store = try sinks.open(.test(folder, time: time))
        try await store.append((1...4).map { .test("\($0)", time: time.now()) })
        let claimed = try await store.claim(limit: 3, byteLimit: 1000)
        try await store.settle([claimed[1].id])
        await store.close()
        store = try sinks.open(.test(folder, time: time))
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["1", "3", "4"])
    }

    @Test(arguments: [1, 7, 40])
    func whatWasAcknowledgedSurvivesAKill(appends: Int) async throws {
        let path = folder.path
        await #expect(processExitsWith: .signal(9)) { [path = path as String, appends = appends as Int] in
            // The acknowledgement leaves the process by write(2), as a device would see it.
            let acknowledged = open("\(path)/acknowledged", O_WRONLY | O_CREAT | O_APPEND, 0o600)
            let store = try OutboxStore(
                configuration: .init(
                    path: "\(path)/outbox.db", classes: [.telemetry: ClassLimits(commitAfter: .zero)],
                    time: ManualTime()
                ) { _ in "gap" },
                settled: { tokens in
                    for token in tokens {
                        var number = UInt8(clamping: token.publication)
                        write(acknowledged, &number, 1)
                    }
                },
                available: {}
            )
            let now = ManualTime().now()
            for number in 1...appends {
                try await store.append([.test("m\(number)", time: now, token: UInt64(number))])
            }
            // One more is under way when the end comes.
            Task.detached { try await store.append([.test("m\(appends + 1)", time: now, token: UInt64(appends + 1))]) }
            kill(getpid(), SIGKILL)
        }
        let acknowledged = Int(folder.bytes(of: "acknowledged")?.count ?? 0)
        #expect(acknowledged >= appends)
        let store = try sinks.open(.test(folder, time: time))
        let claimed = try await store.claim(limit: 1000, byteLimit: 1 << 20)
        #expect(claimed.prefix(acknowledged).map(\.text) == (1...acknowledged).map { "m\($0)" })
        #expect(claimed.map(\.sequence) == (1...claimed.count).map(Int64.init))
    }

    @Test func aSecondProcessIsRefused() async throws {
        let path = folder.path
        let store = try sinks.open(.test(folder, time: time))
        try await store.append([.test("mine", time: time.now())])
        await #expect(processExitsWith: .exitCode(42)) { [path = path as String] in
            var configuration = OutboxStore.Configuration(path: "\(path)/outbox.db", time: ManualTime()) { _ in "gap" }
            configuration.lockTimeoutMilliseconds = 50
            do throws(OutboxError) {
                _ = try OutboxStore(configuration: configuration, settled: { _ in }, available: {})
            } catch {
                guard case .database(let error) = error, error.condition == .locked else { exit(1) }
                exit(42)
            }
        }
        #expect(folder.names == ["outbox.db", "outbox.db-wal"])
        try await store.append([.test("still mine", time: time.now())])
        #expect(try await store.claim(limit: 9, byteLimit: 1000).count == 2)
    }

    @Test func aNewerFileIsRefusedAndKept() async throws {
        do {
            let connection = try Connection.open("\(folder.path)/outbox.db")
            try connection.execute("CREATE TABLE future(a); PRAGMA user_version=99", doing: "test")
        }
        let error = #expect(throws: OutboxError.self) { try sinks.open(.test(folder, time: time)) }
        guard case .database(let cause) = error else {
            Issue.record("another error: \(String(describing: error))")
            return
        }
        #expect(cause.condition == .newerSchema)
        #expect(!folder.names.contains { $0.contains("corrupt") })
        let connection = try Connection.open("\(folder.path)/outbox.db")
        #expect(try connection.integer("PRAGMA user_version", doing: "test") == 99)
    }

    // MARK: Damage

    @Test func aDamagedFileIsMovedAsideWithItsLogAndAnEmptyOneOpened() async throws {
        let garbage = (0..<8192).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
        try folder.write(garbage, to: "outbox.db")
        try folder.write([1, 2, 3], to: "outbox.db-wal")
        var store = try sinks.open(.test(folder, time: time))
        #expect(store.recovery?.quarantined == "\(folder.path)/outbox.db.corrupt-1")
        #expect(store.recovery?.reason == "file is not a database")
        try await store.append([.test("a", time: time.now())])
        let epoch = try await store.claim(limit: 1, byteLimit: 100).map(\.epoch)
        await store.close()
        #expect(
            folder.names == ["outbox.db", "outbox.db-wal", "outbox.db.corrupt-1", "outbox.db.corrupt-1-wal"])
        #expect(folder.bytes(of: "outbox.db.corrupt-1") == garbage)
        #expect(folder.bytes(of: "outbox.db.corrupt-1-wal") == [1, 2, 3])

        // Again: the first is not overwritten, and the new file is an epoch of its own.
        try folder.write(garbage, to: "outbox.db")
        store = try sinks.open(.test(folder, time: time))
        #expect(store.recovery?.quarantined == "\(folder.path)/outbox.db.corrupt-2")
        try await store.append([.test("b", time: time.now())])
        #expect(try await store.claim(limit: 1, byteLimit: 100).map(\.epoch) != epoch)
        #expect(folder.names.contains("outbox.db.corrupt-1"))
    }

    @Test func aDamagedSchemaPageIsMovedAsideToo() async throws {
        let store = try sinks.open(.test(folder, time: time))
        try await store.append([.test("a", time: time.now())])
        await store.close()
        var bytes = try #require(folder.bytes(of: "outbox.db"))
        for index in 100..<4096 { bytes[index] = 0xa5 }
        try folder.write(bytes, to: "outbox.db")
        let reopened = try sinks.open(.test(folder, time: time))
        #expect(reopened.recovery?.quarantined == "\(folder.path)/outbox.db.corrupt-1")
        #expect(folder.bytes(of: "outbox.db.corrupt-1") == bytes)
    }

    @Test func aFileWithoutItsTablesIsMovedAsideToo() throws {
        do {
            let connection = try Connection.open("\(folder.path)/outbox.db")
            try connection.execute("CREATE TABLE store(epoch); PRAGMA user_version=1", doing: "test")
        }
        let store = try sinks.open(.test(folder, time: time))
        #expect(store.recovery?.reason == "tables are missing from the file")
    }

    /// A closed store's file with a message in it, changed, in a folder of its own.
    private func changed(_ body: (inout [UInt8]) throws -> Void) async throws -> TemporaryDirectory {
        let folder = try TemporaryDirectory()
        let store = try sinks.open(.test(folder, time: time))
        try await store.append([.test("a", time: time.now())])
        await store.close()
        var bytes = try #require(folder.bytes(of: "outbox.db"))
        try body(&bytes)
        try folder.write(bytes, to: "outbox.db")
        return folder
    }

    /// SQLite breaks over it when a statement names what is not there, and calls it a mistake in the statement.
    @Test func aDamagedSchemaThatCanBeReadIsMovedAsideToo() async throws {
        let tableless = try await changed { bytes in
            // The last table's row is not counted any more.
            #expect(bytes[103] == 0 && bytes[104] > 5)
            bytes[104] -= 1
        }
        #expect(try sinks.open(.test(tableless, time: time)).recovery?.reason == "tables are missing from the file")
        for name in ["reason", "offset INTEGER", "expiry INTEGER", "ahead", "instant", "head INTEGER", "value"] {
            let folder = try await changed { bytes in
                bytes[try #require(bytes[..<4_096].firstRange(of: Array(name.utf8))).lowerBound] ^= 1
            }
            let store = try sinks.open(.test(folder, time: time))
            #expect(store.recovery?.quarantined == "\(folder.path)/outbox.db.corrupt-1", "\(name)")
            await store.close()
            #expect(try sinks.open(.test(folder, time: time)).recovery == nil, "\(name)")
        }
        // It says that it has no tables yet.
        let unversioned = try await changed { $0[63] = 0 }
        #expect(try sinks.open(.test(unversioned, time: time)).recovery != nil)
    }

    /// Whatever has turned over in the page with header and schema: the store opens.
    @Test(arguments: UInt64(1)...8) func noBitOfTheFirstPageStopsTheBoot(seed: UInt64) async throws {
        let bytes = try #require(try await changed { _ in }.bytes(of: "outbox.db"))
        var random = SplitMix64(seed: seed)
        // Header and tree first, and the schema's text at the end; between them is nothing.
        let places = Array(0..<150) + Array((Int(bytes[105]) << 8 | Int(bytes[106]))..<4_096)
        for _ in 0..<30 {
            let place = places.randomElement(using: &random) ?? 0
            // A version a little above is a newer program's.
            if place == 63 { continue }
            let bit = UInt8.random(in: 0...7, using: &random)
            var damaged = bytes
            damaged[place] ^= 1 << bit
            let folder = try TemporaryDirectory()
            try folder.write(damaged, to: "outbox.db")
            do throws(OutboxError) {
                let store = try sinks.open(.test(folder, time: time))
                await store.close()
            } catch {
                Issue.record("seed \(seed), byte \(place), bit \(bit): \(error)")
            }
        }
        // What SQLite calls a format that it does not know.
        let unknown = try await changed { $0[47] ^= 1 << UInt8(seed % 2) }
        #expect(try sinks.open(.test(unknown, time: time)).recovery != nil)
    }

    /// The log was moved aside, and the file was not yet.
    @Test func aQuarantineThatWasCutShortIsFinished() async throws {
        var store = try sinks.open(.test(folder, time: time))
        try await store.append((1...5).map { .test("\($0)", time: time.now()) })
        try await store.flush()
        let copy = try TemporaryDirectory()
        for (name, new) in [("outbox.db", "outbox.db"), ("outbox.db-wal", "outbox.db.corrupt-1-wal")] {
            try copy.write(try #require(folder.bytes(of: name)), to: new)
        }
        let epoch = try await store.claim(limit: 1, byteLimit: 100).map(\.epoch)
        await store.close()
        store = try sinks.open(.test(copy, time: time))
        #expect(store.recovery?.quarantined == "\(copy.path)/outbox.db.corrupt-1")
        #expect(try await store.salvage("\(copy.path)/outbox.db.corrupt-1", number: 1).saved == 5)
        try await store.append([.test("6", time: time.now())])
        let all = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(all.map(\.text).sorted() == ["1", "2", "3", "4", "5", "6"])
        #expect(all.first { $0.text == "6" }?.epoch != epoch.first)
        await store.close()
        store = try sinks.open(.test(copy, time: time))
        #expect(store.recovery == nil)
    }

    /// Somebody has opened the file since: the log of then is not its own.
    @Test func aLogThatIsLeftOverDoesNotTakeTheFileAlong() async throws {
        var store = try sinks.open(.test(folder, time: time))
        try await store.append([.test("a", time: time.now())])
        try await store.flush()
        try folder.write([1, 2, 3], to: "outbox.db.corrupt-1-wal")
        await store.close()
        store = try sinks.open(.test(folder, time: time))
        #expect(store.recovery == nil)
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["a"])
        await store.close()
        // What a salvage has read is renamed, the log last.
        let other = try TemporaryDirectory()
        try other.write("read", to: "outbox.db.salvaged-1")
        try other.write("its log", to: "outbox.db.corrupt-1-wal")
        try other.write(try #require(folder.bytes(of: "outbox.db")), to: "outbox.db")
        store = try sinks.open(.test(other, time: time))
        #expect(store.recovery == nil)
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["a"])
        #expect(
            other.names == ["outbox.db", "outbox.db-wal", "outbox.db.salvaged-1", "outbox.db.salvaged-1-wal"])
    }

    @Test func openingWritesNothing() async throws {
        let store = try sinks.open(.test(folder, time: time))
        try await store.append([.test("a", time: time.now())])
        await store.close()
        let before = folder.bytes(of: "outbox.db")
        let reopened = try sinks.open(.test(folder, time: time, boot: "boot-2"))
        #expect(try await reopened.claim(limit: 1, byteLimit: 100).map(\.text) == ["a"])
        #expect(folder.bytes(of: "outbox.db") == before)
        #expect(folder.bytes(of: "outbox.db-wal")?.count == 0)
    }

    // MARK: No room

    @Test func aFullFileSettlesNothingAndWorksAgainOnceThereIsRoom() async throws {
        var configuration = OutboxStore.Configuration.test(folder, time: time)
        configuration.maximumPages = 40
        let store = try sinks.open(configuration)
        let large = String(repeating: "x", count: 3000)
        var stored = 0
        while true {
            try await store.append((1...3).map { .test(large, time: time.now(), token: UInt64(stored + $0)) })
            if store.problem != nil || stored > 1000 { break }
            stored += 3
        }
        guard case .database(let cause) = store.problem else {
            Issue.record("no error after \(stored) messages")
            return
        }
        #expect(cause.condition == .diskFull)
        // The last ones are in memory, and nobody was told that they are safe.
        #expect(sinks.settled.flatMap { $0 }.count == stored)
        #expect(try await store.backlog()[0].count == Int64(stored + 3))
        #expect(try await store.backlog()[0].unstored == 3)

        let claimed = try await store.claim(limit: 9, byteLimit: 1 << 20)
        try await store.settle(claimed.map(\.id))
        try await store.append([.test("after", time: time.now(), token: 5000)])
        try await store.flush()
        #expect(store.problem == nil)
        #expect(sinks.settled.flatMap { $0 }.count == stored + 4)
        let rest = try await store.claim(limit: 1000, byteLimit: 1 << 20)
        #expect((claimed + rest).map(\.sequence) == (1...Int64(stored + 4)).map { $0 })
        #expect(rest.last?.text == "after")
    }

    @Test func aWriteErrorSettlesNothingAndTheNextAppendWorks() async throws {
        let path = folder.path
        await #expect(processExitsWith: .exitCode(42)) { [path = path as String] in
            let sinks = Sinks()
            let time = ManualTime()
            var configuration = OutboxStore.Configuration(
                path: "\(path)/outbox.db", classes: [.telemetry: ClassLimits(commitAfter: .zero)], time: time
            ) { _ in "gap" }
            configuration.memoryMessages = 1
            let store = try sinks.open(configuration)
            try await store.append([.test("before", time: time.now(), token: 1)])
            // Beyond this size write(2) fails with EFBIG, as it would with EIO on a failing card.
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            let soft = limit.rlim_cur
            limit.rlim_cur = 100_000
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            let large = String(repeating: "x", count: 200_000)
            // It is kept in memory; one more is refused.
            try await store.append([.test(large, time: time.now(), token: 2)])
            guard case .database(let error) = store.problem, error.condition == .inputOutput else { exit(1) }
            guard try await store.append([.test("refused", time: time.now(), token: 9)]).count == 1 else { exit(2) }
            guard case .database(let error) = store.problem, error.condition == .inputOutput else { exit(3) }
            limit.rlim_cur = soft
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            guard sinks.settled.flatMap({ $0 }).map(\.publication) == [1] else { exit(3) }
            // A commit that failed is tried again after a while, not for every newcomer.
            time.advance(.seconds(20))
            guard try await store.append([.test("after", time: time.now(), token: 3)]).isEmpty else { exit(5) }
            guard sinks.settled.flatMap({ $0 }).map(\.publication) == [1, 2, 3] else { exit(4) }
            exit(42)
        }
        let store = try sinks.open(.test(folder, time: time))
        let claimed = try await store.claim(limit: 9, byteLimit: 1 << 20)
        #expect(claimed.map(\.text).map { $0.prefix(6) } == ["before", "xxxxxx", "after"])
        #expect(claimed.map(\.sequence) == [1, 2, 3])
    }

    /// Bytes that this process has asked the kernel for so far (proc(5), `/proc/pid/io`, `rchar`).
    private static var bytesRead: Int {
        textOfFile("/proc/self/io").split(separator: "\n").first { $0.hasPrefix("rchar: ") }
            .flatMap { Int($0.dropFirst("rchar: ".count)) } ?? 0
    }

    /// A backlog of any size is opened by reading a few pages of it, also after a crash.
    @Test(arguments: [false, true]) func openingReadsAFewPagesWhateverTheBacklog(isCrash: Bool) async throws {
        var sizes: [Int] = []
        for count in [1, 20_000] {
            let folder = try TemporaryDirectory()
            let store = try sinks.open(.test(folder, time: time))
            let payload = String(repeating: "x", count: 2_000)
            for _ in stride(from: 0, to: count, by: 500) {
                try await store.append((0..<min(count, 500)).map { _ in .test(payload, time: time.now()) })
            }
            var opened = folder
            if isCrash {
                // As a crash leaves it: the log is not copied into the file.
                opened = try TemporaryDirectory()
                for name in ["outbox.db", "outbox.db-wal"] {
                    let isCopied =
                        try ChildProcess.run(
                            ["cp", folder[name], opened[name]], output: opened["cp.log"]) == 0
                    try #require(isCopied)
                }
            }
            await store.close()
            let before = Self.bytesRead
            let again = try sinks.open(.test(opened, time: time))
            let claimed = try await again.claim(limit: 1, byteLimit: 1)
            sizes.append(Self.bytesRead - before)
            #expect(claimed.count == 1)
            #expect(try await again.backlog()[0].count == Int64(count))
            await again.close()
        }
        // A log is bounded; of the file it is a handful of pages more.
        #expect(sizes[1] - sizes[0] < (isCrash ? 16 << 20 : 100_000), "\(sizes)")
    }
}
