import Database
import Outbox
import Readings
import TestSupport
import Testing

/// Counters and rows of the file say the same after every transaction, and where they do not, the rows are right.
@Suite struct CountersTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    private func open(
        _ folder: TemporaryDirectory? = nil, classes: [DeliveryClass: ClassLimits] = [.telemetry: ClassLimits()],
        commitAfter: Duration = .zero
    ) throws -> OutboxStore {
        try sinks.open(.test(folder ?? self.folder, classes: classes, time: time, commitAfter: commitAfter))
    }

    private func append(_ store: OutboxStore, _ numbers: ClosedRange<Int>) async throws {
        try await store.append(numbers.map { .test("m\($0)", time: time.now()) })
        try await store.flush()
    }

    /// What a power cut leaves.
    private func afterCrash() throws -> TemporaryDirectory {
        let copy = try TemporaryDirectory()
        for name in ["outbox.db", "outbox.db-wal"] {
            if let bytes = folder.bytes(of: name) { try copy.write(bytes, to: name) }
        }
        return copy
    }

    /// A file whose counters say something else than its rows, as an earlier version left it.
    private func miscount(_ folder: TemporaryDirectory, _ change: String, isCounted: Bool = true) throws {
        let connection = try Connection.open("\(folder.path)/outbox.db")
        try connection.execute(
            "UPDATE stream SET \(change); UPDATE store SET counted = \(isCounted ? 1 : 0)", doing: "miscount")
        // Closed by a later one, it looks sound.
        if !isCounted { try connection.checkpoint() }
    }

    private func mended(_ told: Int64, _ counted: Int64) -> OutboxNotice {
        .mended(CountDifference(deliveryClass: .telemetry, told: told, counted: counted))
    }

    @Test func aCrashAfterAMessageWasSetAsideLosesNothing() async throws {
        let store = try open(commitAfter: .milliseconds(250))
        try await append(store, 1...3)
        await store.attach()
        let claimed = try await store.claim(limit: 3, byteLimit: 1000)
        try await store.settle([claimed[2].id])
        let records = try await store.setAside([(claimed[1].id, "not allowed")])
        #expect(records.map(\.sequence) == [2])
        let copy = try afterCrash()
        await store.close()
        _ = try ModelTests.truth(copy)

        let again = try open(copy, commitAfter: .milliseconds(250))
        await again.attach()
        let rest = try await again.claim(limit: 9, byteLimit: 1000)
        try await again.settle(rest.map(\.id))
        try await again.flush()
        #expect(try await again.backlog().map(\.count) == [0])
        // A comes before B, and is not taken for sent.
        try await again.append([.test("A", time: time.now())])
        try await again.flush()
        try await again.append([.test("B", time: time.now())])
        let next = try await again.claim(limit: 9, byteLimit: 1000)
        #expect(next.map(\.text) == ["A", "B"])
        try await again.flush()
        try await again.settle(next.map(\.id))
        try await again.flush()
        #expect(try await again.backlog().map(\.count) == [0])
        #expect(sinks.notices.isEmpty)
        await again.close()
    }

    /// Settled out of their order, and not recorded when something else is written.
    @Test(arguments: ["set aside", "purge", "requeue"])
    func whateverIsWrittenDeletesWhatTheCountersLeaveOut(what: String) async throws {
        let store = try open(classes: [.telemetry: ClassLimits(), .events: ClassLimits()])
        try await append(store, 1...8)
        let first = try await store.claim(limit: 2, byteLimit: 1000)
        _ = try await store.setAside([(first[0].id, "not allowed")])
        let claimed = try await store.claim(limit: 4, byteLimit: 1000)
        try await store.settle([claimed[1].id, claimed[3].id])
        switch what {
        case "set aside": _ = try await store.setAside([(claimed[0].id, "not allowed")])
        case "purge": _ = try await store.purge(.telemetry)
        default: #expect(try await store.takeBack(.telemetry) == (1, 0))
        }
        let copy = try afterCrash()
        let count = try await store.backlog().map(\.count).reduce(0, +)
        await store.close()
        let truth = try ModelTests.truth(copy)
        #expect(truth["telemetry"]?[1] == count)
    }

    /// No row is passed over because a counter says that there is none, also before the rows are counted.
    @Test(arguments: [-1, 0, 1] as [Int64])
    func whatIsStoredIsDeliveredWhateverTheCountersSay(count: Int64) async throws {
        let store = try open()
        try await append(store, 1...1)
        let copy = try afterCrash()
        await store.close()
        try miscount(copy, "count = \(count), bytes = 0")

        let again = try open(copy, commitAfter: .milliseconds(250))
        await again.attach()
        try await again.append([.test("m2", time: time.now())])
        let claimed = try await again.claim(limit: 9, byteLimit: 1000)
        #expect(claimed.map(\.text) == ["m1", "m2"])
        try await again.settle(claimed.suffix(1).map(\.id))
        try await again.flush()
        await again.release()
        #expect(try await again.claim(limit: 9, byteLimit: 1000).map(\.text) == ["m1"])
        #expect(try await eventually { try await again.backlog().map(\.count) == [1] })
        await again.close()
        #expect(try ModelTests.truth(copy)["telemetry"]?[1] == 1)
    }

    /// Nothing waits for the counting, and what happens meanwhile is counted with the rest.
    @Test(arguments: UInt64(1)...6) func theRowsAreCountedBesideEverythingElse(seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        var limits = ClassLimits()
        limits.maximumCount = 21_000
        let classes: [DeliveryClass: ClassLimits] = [.telemetry: limits]
        let store = try open(classes: classes)
        for start in stride(from: 1, to: 20_000, by: 500) { try await append(store, start...start + 499) }
        await store.close()
        try miscount(folder, "count = count - 17, bytes = bytes - 1000")

        let again = try open(classes: classes)
        await again.attach()
        var claimed: [OutboxStore.Claimed] = []
        var wait = 200
        while sinks.notices.isEmpty, wait > 0 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0: try await append(again, 1...Int.random(in: 1...400, using: &random))
            case 1, 2: claimed += try await again.claim(limit: 300, byteLimit: 1 << 20)
            case 3:
                claimed.shuffle(using: &random)
                try await again.settle(claimed.prefix(200).map(\.id))
                claimed.removeFirst(min(200, claimed.count))
            case 4:
                _ = try await again.setAside(claimed.prefix(3).map { ($0.id, "not allowed") })
            default:
                try? await Task.sleep(for: .milliseconds(5))
                wait -= 1
            }
        }
        #expect(await eventually { !sinks.notices.isEmpty })
        guard case .mended(let difference) = sinks.notices.first else {
            Issue.record("\(sinks.notices)")
            return
        }
        #expect(difference.counted - difference.told == 17)
        let told = try #require(try await again.backlog().first)
        await again.close()
        let truth = try #require(try ModelTests.truth(folder)["telemetry"])
        #expect(Array(truth[1...2]) == [told.count, told.bytes])
        #expect(sinks.notices.count == 1)
        // That was it.
        let third = try open(classes: classes)
        await third.close()
        #expect(sinks.notices.count == 1)
    }

    /// Whoever closes the file before its rows are counted leaves the doubt to the next.
    @Test func aCloseDoesNotEndTheDoubt() async throws {
        let store = try open()
        for start in stride(from: 1, to: 20_000, by: 500) { try await append(store, start...start + 499) }
        await store.close()
        try miscount(folder, "count = 3")
        let hasty = try open()
        await hasty.close()
        #expect(folder.bytes(of: "outbox.db-wal")?.count == 0)
        #expect(sinks.notices.isEmpty)
        let patient = try open()
        #expect(await eventually { !sinks.notices.isEmpty })
        #expect(sinks.notices == [mended(3, 20_000)])
        await patient.close()
        #expect(try ModelTests.truth(folder)["telemetry"]?[1] == 20_000)
    }

    /// An earlier version may have left wrong counters and closed the file after that.
    @Test func aFileOfAnEarlierVersionIsCountedOnce() async throws {
        var store = try open()
        try await append(store, 1...3)
        await store.close()
        try miscount(folder, "count = -15", isCounted: false)
        #expect(folder.bytes(of: "outbox.db-wal")?.count == 0)
        store = try open()
        #expect(await eventually { sinks.notices == [mended(-15, 3)] })
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["m1", "m2", "m3"])
        await store.close()
        #expect(try ModelTests.truth(folder)["telemetry"]?[1] == 3)
    }

    /// Its counters say that what a salvage brought is drained: the rows say that it is not.
    @Test func aSalvagedStreamIsForgottenWhenItHasNoRows() async throws {
        var store = try open()
        try await append(store, 1...5)
        await store.close()
        var bytes = try #require(folder.bytes(of: "outbox.db"))
        for place in 0..<100 { bytes[place] = 0 }
        try folder.write(bytes, to: "outbox.db")
        store = try open()
        for file in store.damagedFiles { _ = try await store.salvage(file.path, number: file.number) }
        await store.close()
        try miscount(folder, "count = 0, bytes = 0")
        store = try open()
        #expect(try await store.drain().map(\.text) == (1...5).map { "m\($0)" })
        await store.close()
    }
}
