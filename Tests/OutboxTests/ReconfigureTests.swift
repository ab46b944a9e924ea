import Glibc
import Outbox
import Readings
import TestSupport
import Testing

/// Other settings while messages wait and are on their way.
@Suite struct ReconfigureTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()
    let alarms = DeliveryClass("alarms")

    init() throws { folder = try TemporaryDirectory() }

    private func limits(
        count: Int64? = nil, _ overflow: ClassLimits.Overflow = .dropOldest, commitAfter: Duration = .zero
    ) -> ClassLimits {
        var limits = ClassLimits(overflow: overflow, commitAfter: commitAfter)
        limits.maximumCount = count
        return limits
    }

    private func open(_ classes: [DeliveryClass: ClassLimits]) throws -> OutboxStore {
        try sinks.open(.test(folder, classes: classes, time: time))
    }

    private func change(_ store: OutboxStore, _ classes: [DeliveryClass: ClassLimits]) async throws {
        try await store.reconfigure(classes: classes, minimumFree: 0, window: .max)
    }

    private func append(_ store: OutboxStore, _ numbers: ClosedRange<Int>, _ name: DeliveryClass = .telemetry)
        async throws
    {
        try await store.append(numbers.map { .test("m\($0)", name, time: time.now(), token: UInt64($0)) })
        try await store.flush()
    }

    private var settled: [UInt64] { sinks.settled.flatMap { $0 }.map(\.publication).sorted() }

    @Test func aNewClassHasItsStreamAndKeepsIt() async throws {
        var store = try open([.telemetry: limits()])
        try await append(store, 1...2)
        let first = try await store.claim(limit: 9, byteLimit: 1000)
        try await change(store, [.telemetry: limits(), alarms: limits()])
        #expect(try await store.backlog().map(\.deliveryClass) == [.telemetry, alarms])
        try await append(store, 3...4, alarms)
        // What was on its way before still is.
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["m3", "m4"])
        try await store.settle(first.map(\.id))
        #expect(try await store.backlog().map(\.count) == [0, 2])
        await store.close()
        store = try open([.telemetry: limits(), alarms: limits()])
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.sequence) == [1, 2])
        await store.close()
    }

    @Test func aClassThatIsGoneDeliversWhatItHolds() async throws {
        let store = try open([.telemetry: limits(), alarms: limits(count: 5, .rejectNewest)])
        try await append(store, 1...4, alarms)
        let first = try await store.claim(limit: 1, byteLimit: 1000)
        try await change(store, [.telemetry: limits()])
        // The bounds that it had, for what still comes from rules that are about to go.
        try await append(store, 5...7, alarms)
        #expect(sinks.rejected.flatMap { $0 }.map(\.publication) == [6, 7])
        let rest = try await store.claim(limit: 9, byteLimit: 1 << 20)
        #expect(rest.prefix(4).map(\.text) == ["m2", "m3", "m4", "m5"])
        #expect(try await store.backlog().map(\.deliveryClass).contains(alarms))
        try await store.settle((first + rest).map(\.id))
        #expect(try await store.backlog().map(\.deliveryClass) == [.telemetry])
        // It comes back, and its sequence goes on.
        try await change(store, [.telemetry: limits(), alarms: limits()])
        try await append(store, 8...8, alarms)
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.sequence) == [8])
        await store.close()
    }

    /// After a restart without its settings, too, and however much it is.
    @Test func aClassThatIsGoneLosesNothingAfterARestart() async throws {
        var store = try open([.telemetry: limits(), alarms: limits()])
        try await append(store, 1...10, alarms)
        await store.close()
        time.advance(.seconds(400 * 86_400))
        store = try open([.telemetry: limits()])
        try await append(store, 11...11)
        #expect(try await store.backlog().map(\.dropped) == [0, 0])
        #expect(try await store.claim(limit: 99, byteLimit: 1 << 20).count == 11)
        await store.close()
    }

    @Test func aLowerBoundCostsWhatItsPolicySays() async throws {
        let store = try open([.telemetry: limits(), .events: limits(.rejectNewest), .bulk: limits(.dropNewest)])
        for name in [DeliveryClass.telemetry, .events, .bulk] { try await append(store, 1...10, name) }
        let claimed = try await store.claim(limit: 3, byteLimit: 1000)
        try await change(
            store,
            [
                .telemetry: limits(count: 4), .events: limits(count: 4, .rejectNewest),
                .bulk: limits(count: 4, .dropNewest),
            ])
        try await store.flush()
        let backlog = Dictionary(
            uniqueKeysWithValues: try await store.backlog().map { ($0.deliveryClass, [$0.count, $0.dropped]) })
        #expect(backlog[.events] == [10, 0] && backlog[.bulk] == [10, 0])
        // One record speaks for the oldest that were not on their way.
        let telemetry = try #require(backlog[.telemetry])
        #expect(telemetry[0] <= 4 && telemetry[0] + telemetry[1] - 1 == 10)
        // New ones find no room where the policy says so.
        try await append(store, 20...20, .events)
        #expect(sinks.rejected.flatMap { $0 }.map(\.publication) == [20])
        try await store.settle(claimed.map(\.id))
        try await change(store, [.telemetry: limits(), .events: limits(.rejectNewest), .bulk: limits()])
        try await append(store, 21...21, .events)
        #expect(settled.contains(21))
        await store.close()
    }

    @Test func theWindowAndTheTimeInMemoryChangeAtOnce() async throws {
        let store = try open([.telemetry: limits(commitAfter: .zero)])
        try await append(store, 1...10)
        try await store.reconfigure(classes: [.telemetry: limits()], minimumFree: 0, window: 3)
        let first = try await store.claim(limit: 99, byteLimit: 1 << 20)
        #expect(first.count == 3)
        try await store.reconfigure(classes: [.telemetry: limits()], minimumFree: 0, window: 7)
        #expect(try await store.claim(limit: 99, byteLimit: 1 << 20).count == 4)
        await store.release()
        _ = try await store.drain()
        // Nothing is written while the upstream is quick.
        try await change(store, [.telemetry: limits(commitAfter: .seconds(60))])
        try await store.append([.test("m11", time: time.now(), token: 11)])
        #expect(!settled.contains(11))
        try await change(store, [.telemetry: limits(commitAfter: .zero)])
        #expect(settled.contains(11))
        await store.close()
    }

    /// A class that the file does not know yet, while there is no file.
    @Test func whatANewClassHoldsInMemoryComesIntoTheFile() async throws {
        let place = "\(folder.path)/later"
        var configuration = OutboxStore.Configuration(
            path: "\(place)/outbox.db", classes: [.telemetry: limits()], time: time, boot: BootID("one")
        ) { "gaps/\($0.name)" }
        configuration.startsWithoutFile = true
        let store = try sinks.open(configuration)
        try await change(store, [.telemetry: limits(), alarms: limits()])
        try await store.append([
            .test("a", alarms, time: time.now(), token: 1),
            .test("b", DeliveryClass("unknown"), time: time.now(), token: 2),
            .test("c", time: time.now(), token: 3),
        ])
        #expect(settled.isEmpty)
        try #require(mkdir(place, 0o755) == 0)
        #expect(await eventually { settled == [1, 2, 3] })
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text).sorted() == ["a", "b", "c"])
        await store.close()
    }
}
