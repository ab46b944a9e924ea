import Database
import FaultyDisk
import Glibc
import Outbox
import Readings
import TestSupport
import Testing

/// The disk fails at every call in turn, and the power at every moment: nothing that was told to be safe is lost, and what
/// comes comes in order.
@Suite(.serialized) struct FaultyDiskTests {
    private static let full: Int32 = 13  // SQLITE_FULL
    private static let writeError: Int32 = 10 | 3 << 8  // SQLITE_IOERR_WRITE

    let folder: TemporaryDirectory
    let time = ManualTime()

    init() throws {
        folder = try TemporaryDirectory()
        faulty_disk_install()
        faulty_disk_fail(0, 0, false)
    }

    /// What was told to the world, over all processes of a test.
    private final class Ledger {
        var next: UInt64 = 0
        /// Messages whose publisher was told that they are safe.
        var safe: Set<UInt64> = []
        /// Messages that the upstream has, with the number of the process that delivered them.
        var delivered: [UInt64] = []
    }

    private func number(_ text: String) -> UInt64 { UInt64(text.prefix { $0.isNumber }) ?? 0 }

    /// A little of everything, whatever fails.
    private func work(_ store: OutboxStore, _ sinks: Sinks, _ ledger: Ledger, rounds: Int) async {
        for round in 0..<rounds {
            let first = ledger.next + 1
            ledger.next += 4
            _ = try? await store.append(
                (first...ledger.next).map {
                    .test("\($0) " + String(repeating: "x", count: Int($0 * 131 % 2_000)), time: time.now(), token: $0)
                })
            time.advance(.milliseconds(30))
            await store.tick()
            if round % 3 == 2 {
                await store.attach()
                if let claimed = try? await store.claim(limit: 3, byteLimit: 1 << 20) {
                    ledger.delivered += claimed.map { number($0.text) }
                    try? await store.settle(claimed.map(\.id))
                }
                time.advance(.milliseconds(30))
                await store.tick()
            }
            if round % 4 == 3 { await store.release() }
        }
        ledger.safe.formUnion(sinks.settled.flatMap { $0 }.map(\.publication))
    }

    private func open(_ path: String, _ sinks: Sinks, boot: String) throws -> OutboxStore {
        var configuration = OutboxStore.Configuration(
            path: path, classes: [.telemetry: ClassLimits(commitAfter: .milliseconds(10))], time: time,
            boot: BootID(boot)
        ) { "gaps/\($0.name)" }
        // Few messages may be delivered twice, and memory is soon full.
        configuration.window = 3
        configuration.memoryMessages = 16
        return try sinks.open(configuration)
    }

    /// Everything that is left comes, and with what came before it is all that was safe.
    private func check(_ path: String, _ ledger: Ledger, _ what: String) async throws {
        let sinks = Sinks()
        let store = try open(path, sinks, boot: "last")
        await store.attach()
        var rest: [UInt64] = []
        while true {
            let claimed = try await store.claim(limit: 50, byteLimit: 1 << 20)
            if claimed.isEmpty { break }
            rest += claimed.map { number($0.text) }
            try await store.settle(claimed.map(\.id))
            try await store.flush()
        }
        #expect(store.recovery == nil, "\(what): \(String(describing: store.recovery))")
        #expect(rest == rest.sorted(), "\(what)")
        #expect(Set(rest).count == rest.count, "\(what)")
        let lost = ledger.safe.subtracting(ledger.delivered).subtracting(rest)
        #expect(lost.isEmpty, "\(what): lost \(lost.sorted())")
        await store.close()
    }

    @Test(arguments: [(full, false), (full, true), (writeError, false), (writeError, true)])
    func everyCallFailsInTurn(code: Int32, stays: Bool) async throws {
        // How many calls there are when nothing fails.
        let calls = try await run("count", failing: 0, code, stays: false)
        #expect(calls > 100)
        var call: Int64 = 1
        while call <= calls {
            _ = try await run("\(call)", failing: call, code, stays: stays)
            call += call < 60 ? 1 : 7
        }
    }

    private func run(_ name: String, failing call: Int64, _ code: Int32, stays: Bool) async throws -> Int64 {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        let path = "\(disk.path)/outbox.db"
        let ledger = Ledger()
        faulty_disk_fail(call, code, stays)
        let sinks = Sinks()
        // A disk that fails from the first call on makes no store, and nothing was told then.
        if let store = try? open(path, sinks, boot: "first") {
            await work(store, sinks, ledger, rounds: 24)
            let calls = faulty_disk_calls()
            faulty_disk_fail(0, 0, false)
            // The disk has recovered, and so does the store.
            time.advance(.seconds(20))
            await store.tick()
            #expect(store.problem == nil, "call \(name)")
            await work(store, sinks, ledger, rounds: 2)
            await store.close()
            try await check(path, ledger, "call \(name)")
            return calls
        }
        faulty_disk_fail(0, 0, false)
        try await check(path, ledger, "call \(name)")
        return 0
    }

    private func store(_ limits: ClassLimits, _ disk: TemporaryDirectory) throws -> OutboxStore {
        try Sinks().open(
            OutboxStore.Configuration(
                path: "\(disk.path)/outbox.db", classes: [.telemetry: limits], time: time, boot: BootID("one")
            ) { "gaps/\($0.name)" })
    }

    /// What a broker refuses cannot be set aside then; it is told of, and does not stop what follows.
    @Test func whatIsRefusedWhileTheDiskIsFullHoldsNothingUp() async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        let store = try store(ClassLimits(commitAfter: .milliseconds(10)), disk)
        try await store.append((1...3).map { .test("\($0)", time: time.now()) })
        try await store.flush()
        await store.attach()
        faulty_disk_fail(1, Self.full, true)
        let claimed = try await store.claim(limit: 2, byteLimit: 1 << 20)
        try await store.append([.test("4", time: time.now())])
        let records = try await store.setAside([(claimed[0].id, "not allowed")])
        #expect(records.map(\.message.topic) == ["gaps/telemetry"] && records.map(\.sequence) == [1])
        // A record that is refused itself goes.
        #expect(try await store.setAside(records.map { ($0.id, "nor this") }).isEmpty)
        try await store.settle([claimed[1].id])
        let others = try await store.claim(limit: 9, byteLimit: 1 << 20)
        #expect(others.map(\.text) == ["3", "4"])
        // One that is in memory alone.
        let inMemory = try await store.setAside([(others[1].id, "not allowed")])
        #expect(inMemory.map(\.message.topic) == ["gaps/telemetry"] && inMemory.map(\.id) == [others[1].id])
        try await store.settle(others.map(\.id))
        faulty_disk_fail(0, 0, false)
        time.advance(.seconds(20))
        await store.tick()
        #expect(store.problem == nil)
        #expect(try await store.backlog().map(\.count) == [0])
        await store.close()
    }

    /// The record of what was refused has its place behind what waits in memory.
    @Test func whatExpiresDoesNotPutARecordBeforeWhatIsInMemory() async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        var limits = ClassLimits(overflow: .dropNewest, commitAfter: .seconds(5))
        limits.maximumCount = 6
        limits.maximumAge = .seconds(1)
        let store = try store(limits, disk)
        try await store.append((1...3).map { .test("\($0)", time: time.now()) })
        try await store.flush()
        await store.attach()
        time.advance(.milliseconds(900))
        faulty_disk_fail(1, Self.full, true)
        try await store.append((4...7).map { .test("\($0)", time: time.now()) })
        await #expect(throws: OutboxError.self) { try await store.flush() }
        time.advance(.milliseconds(200))
        faulty_disk_fail(0, 0, false)
        var sequences: [Int64] = []
        for _ in 0..<5 {
            let claimed = try await store.claim(limit: 9, byteLimit: 1 << 20)
            sequences += claimed.map(\.sequence)
            try await store.settle(claimed.map(\.id))
            time.advance(.milliseconds(100))
            await store.tick()
        }
        // The first three have become one record.
        #expect(sequences == [3, 4, 5, 6, 7], "\(sequences)")
        #expect(try await store.backlog().map(\.count) == [0])
        await store.close()
    }

    /// What is lost while the disk takes nothing is told by a record in memory, which holds up nothing.
    @Test func aRecordInMemoryDoesNotWaitForTheDisk() async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        var limits = ClassLimits(overflow: .dropNewest, commitAfter: .milliseconds(10))
        limits.maximumCount = 3
        let store = try store(limits, disk)
        try await store.append((1...4).map { .test("\($0)", time: time.now()) })
        try await store.flush()
        faulty_disk_fail(1, Self.full, true)
        try await store.append([.test("5", time: time.now())])
        await #expect(throws: OutboxError.self) { try await store.flush() }
        await store.attach()
        let claimed = try await store.claim(limit: 9, byteLimit: 1 << 20)
        #expect(claimed.prefix(3).map(\.text) == ["1", "2", "3"] && claimed.count == 5)
        // The file could not be told that more goes upstream than it knows of: another epoch.
        #expect(claimed[3].text.contains(#""first_seq":4,"last_seq":4"#), "\(claimed[3].text)")
        #expect(claimed[4].text.contains(#""first_seq":1,"last_seq":1"#), "\(claimed[4].text)")
        #expect(claimed[3].epoch != claimed[4].epoch && claimed.map(\.sequence) == [1, 2, 3, 4, 1])
        try await store.settle(claimed.map(\.id))
        // The disk still takes nothing, and what comes goes on.
        try await store.append((6...8).map { .test("\($0)", time: time.now(), token: UInt64($0)) })
        let next = try await store.claim(limit: 9, byteLimit: 1 << 20)
        #expect(next.map(\.text) == ["6", "7", "8"] && next.map(\.sequence) == [2, 3, 4])
        try await store.settle(next.map(\.id))
        faulty_disk_fail(0, 0, false)
        time.advance(.seconds(20))
        await store.tick()
        #expect(store.problem == nil)
        try await store.flush()
        #expect(try await store.backlog().map(\.count) == [0])
        await store.close()
    }

    /// The message is gone, so that its acknowledgement waits until the record is safe.
    @Test(arguments: [ClassLimits.Overflow.dropNewest, .rejectNewest])
    func whatIsDroppedIsAcknowledgedWithItsRecord(overflow: ClassLimits.Overflow) async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        var limits = ClassLimits(overflow: overflow, commitAfter: .milliseconds(10))
        limits.maximumCount = 1
        let sinks = Sinks()
        let store = try sinks.open(
            OutboxStore.Configuration(
                path: "\(disk.path)/outbox.db", classes: [.telemetry: limits], time: time, boot: BootID("one")
            ) { "gaps/\($0.name)" })
        try await store.append([.test("1", time: time.now(), token: 1)])
        try await store.flush()
        faulty_disk_fail(1, Self.full, true)
        try await store.append([.test("2", time: time.now(), token: 2)])
        try await store.append([.test("3", time: time.now(), token: 3)])
        #expect(sinks.settled.flatMap { $0 }.map(\.publication) == [1])
        #expect(sinks.rejected.flatMap { $0 }.map(\.publication) == (overflow == .rejectNewest ? [2, 3] : []))
        faulty_disk_fail(0, 0, false)
        try await store.flush()
        #expect(
            sinks.settled.flatMap { $0 }.map(\.publication) == (overflow == .rejectNewest ? [1] : [1, 2, 3]))
        await store.close()
    }

    /// Devices that are refused come again and again: that must not wear out the flash.
    @Test func refusalsAreNotStoredOneByOne() async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        var limits = ClassLimits(overflow: .rejectNewest, commitAfter: .milliseconds(10))
        limits.maximumCount = 1
        let store = try store(limits, disk)
        try await store.append([.test("1", time: time.now())])
        try await store.flush()
        faulty_disk_fail(0, 0, false)
        for number in 1...48 {
            try await store.append([.test("\(number)", time: time.now(), token: UInt64(number))])
            time.advance(.milliseconds(100))
            await store.tick()
        }
        #expect(faulty_disk_calls() == 0)
        time.advance(.milliseconds(300))
        await store.tick()
        #expect(faulty_disk_calls() > 0)
        #expect(try await store.backlog().map(\.count) == [2])
        await store.close()
    }

    /// Another file takes the place of a damaged one: records in memory stay records, of the new stream's sequences.
    @Test func recordsGoAlongIntoAnotherFile() async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        var limits = ClassLimits(overflow: .dropNewest, commitAfter: .seconds(60))
        limits.maximumCount = 3
        let sinks = Sinks()
        let store = try sinks.open(
            OutboxStore.Configuration(
                path: "\(disk.path)/outbox.db", classes: [.telemetry: limits], time: time, boot: BootID("one")
            ) { "gaps/\($0.name)" })
        await store.attach()
        try await store.append((1...5).map { .test("\($0)", time: time.now(), token: UInt64($0)) })
        let claimed = try await store.claim(limit: 3, byteLimit: 1 << 20)
        #expect(claimed.map(\.text) == ["1", "2", "3"])
        faulty_disk_fail(1, 11, false)  // SQLITE_CORRUPT
        _ = try await store.setAside([(claimed[1].id, "not allowed")])
        #expect(await eventually { !store.damagedFiles.isEmpty })
        var renewed: [OutboxStore.Claimed] = []
        #expect(
            await eventually {
                renewed = (try? await store.claim(limit: 9, byteLimit: 1 << 20)) ?? []
                return !renewed.isEmpty
            })
        #expect(renewed.map(\.sequence) == [1, 2, 3, 5] && Set(renewed.map(\.epoch)).count == 1)
        #expect(renewed[0].epoch != claimed[0].epoch)
        #expect(renewed[0].text == "1" && renewed[2].text == "3")
        #expect(renewed[1].text.contains(#""count":1,"first_seq":2,"last_seq":2,"#), "\(renewed[1].text)")
        #expect(renewed[1].text.contains(#""reason":"refused""#))
        #expect(renewed[3].text.contains(#""count":2,"first_seq":4,"last_seq":5,"#))
        try await store.settle(renewed.map(\.id))
        #expect(sinks.settled.flatMap { $0 }.map(\.publication).sorted() == [1, 2, 3, 4, 5])
        #expect(try await store.backlog().map(\.count) == [0])
        await store.close()
    }

    /// The disk that brought the damage takes no other file: what comes goes through memory, and is acknowledged when the
    /// upstream has it.
    @Test func withoutAFileItGoesOnInMemory() async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        try #require(mkdir("\(disk.path)/data", 0o755) == 0)
        let sinks = Sinks()
        let store = try sinks.open(
            OutboxStore.Configuration(
                path: "\(disk.path)/data/outbox.db", classes: [.telemetry: ClassLimits(commitAfter: .seconds(60))],
                time: time, boot: BootID("one")
            ) { "gaps/\($0.name)" })
        var acknowledged: [UInt64] { sinks.settled.flatMap { $0 }.map(\.publication).sorted() }
        await store.attach()
        try await store.append([.test("1", time: time.now(), token: 1)])
        let before = try await store.claim(limit: 9, byteLimit: 1 << 20)
        #expect(before.map(\.text) == ["1"])
        try #require(rename("\(disk.path)/data", "\(disk.path)/gone") == 0)
        faulty_disk_fail(1, 11, false)  // SQLITE_CORRUPT
        await #expect(throws: OutboxError.self) { try await store.flush() }
        var claimed: [OutboxStore.Claimed] = []
        func claim() async -> Bool {
            claimed = (try? await store.claim(limit: 9, byteLimit: 1 << 20)) ?? []
            return !claimed.isEmpty
        }
        // What was on its way comes once more, under the epoch of what stands in for the file.
        #expect(await eventually { await claim() })
        #expect(claimed.map(\.text) == ["1"] && claimed.map(\.epoch) != before.map(\.epoch) && store.problem != nil)
        try await store.settle(claimed.map(\.id))
        try await store.append([.test("2", time: time.now(), token: 2)])
        await #expect(throws: OutboxError.self) { try await store.flush() }
        #expect(acknowledged == [1])
        // The line goes: what is left stays in memory until there is a file again.
        await store.release()
        #expect(acknowledged == [1] && store.problem != nil)
        try #require(rename("\(disk.path)/gone", "\(disk.path)/data") == 0)
        #expect(await eventually { acknowledged == [1, 2] })
        #expect(store.problem == nil)
        await store.attach()
        #expect(await eventually { await claim() })
        #expect(claimed.map(\.text).contains("2"))
        await store.close()
    }

    /// A first start on a full disk: it works in memory, tries again, and leaves nothing behind that looks damaged.
    @Test(arguments: [Int64(1), 9, 20]) func aFullDiskAtTheFirstStartIsNoDamage(call: Int64) async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        let sinks = Sinks()
        var configuration = OutboxStore.Configuration(
            path: "\(disk.path)/outbox.db", classes: [.telemetry: ClassLimits(commitAfter: .milliseconds(10))],
            time: time, boot: BootID("one")
        ) { "gaps/\($0.name)" }
        configuration.startsWithoutFile = true
        faulty_disk_fail(call, Self.full, true)
        let store = try sinks.open(configuration)
        #expect(await eventually { store.condition.memoryOnly?.remedy?.contains("free space") == true })
        try await store.append([.test("1", time: time.now(), token: 1)])
        // It has tried a few times.
        let calls = faulty_disk_calls()
        #expect(await eventually { faulty_disk_calls() >= calls + 3 })
        #expect(sinks.settled.isEmpty)
        #expect(disk.names.allSatisfy { !$0.contains("corrupt") }, "\(disk.names)")
        faulty_disk_fail(0, 0, false)
        #expect(await eventually { store.condition.memoryOnly == nil })
        #expect(await eventually { sinks.settled.flatMap { $0 }.map(\.publication) == [1] })
        #expect(sinks.notices.last == .fileInUse(path: "\(disk.path)/outbox.db"))
        #expect(disk.names.allSatisfy { !$0.contains("corrupt") }, "\(disk.names)")
        await store.close()
    }

    /// Only what is reserved could be stored, and the power fails: the sequences of what went upstream before, of which
    /// the file knows nothing, are not used again.
    @Test(arguments: Int64(0)...12) func aPartialCommitForgetsNothing(failures: Int64) async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        let path = "\(disk.path)/outbox.db"
        var telemetry = ClassLimits(commitAfter: .seconds(60))
        telemetry.maximumCount = 100
        var events = telemetry
        events.isReserved = true
        func open(_ boot: String) throws -> OutboxStore {
            try Sinks().open(
                OutboxStore.Configuration(
                    path: path, classes: [.telemetry: telemetry, .events: events], time: time, boot: BootID(boot)
                ) { "gaps/\($0.name)" })
        }
        faulty_disk_cache(true)
        defer { faulty_disk_cache(false) }
        var names: Set<String> = []
        func deliver(_ store: OutboxStore, _ texts: [String]) async throws {
            await store.attach()
            try await store.append(texts.map { .test($0, time: time.now()) })
            let claimed = try await store.claim(limit: 50, byteLimit: 1 << 20)
            for each in claimed where each.stream == "telemetry" {
                #expect(names.insert("\(each.epoch) \(each.sequence)").inserted, "\(failures)")
            }
            try await store.settle(claimed.map(\.id))
        }
        let store = try open("one")
        try await deliver(store, ["1", "2", "3"])
        faulty_disk_fail_for(1, Self.full, failures)
        try await store.append([.test("event", .events, time: time.now())])
        await store.release()
        faulty_disk_cut(UInt64(failures))
        await store.close()
        faulty_disk_fail(0, 0, false)
        try await deliver(try open("two"), ["4", "5", "6"])
    }

    @Test(arguments: UInt64(1)...40) func thePowerFails(seed: UInt64) async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        let path = "\(disk.path)/outbox.db"
        let ledger = Ledger()
        var random = SplitMix64(seed: seed)
        for boot in 1...4 {
            faulty_disk_cache(true)
            let sinks = Sinks()
            let store = try open(path, sinks, boot: "boot-\(boot)")
            // What a cut leaves of the log is no damage.
            #expect(store.recovery == nil, "seed \(seed), boot \(boot)")
            // Somewhere in between, not after a round.
            faulty_disk_fail(Int64.random(in: 1...120, using: &random), Self.writeError, true)
            await work(store, sinks, ledger, rounds: Int.random(in: 1...30, using: &random))
            faulty_disk_cut(random.next())
            faulty_disk_cache(false)
            faulty_disk_fail(0, 0, false)
            await store.close()
        }
        try await check(path, ledger, "seed \(seed)")
    }
}
