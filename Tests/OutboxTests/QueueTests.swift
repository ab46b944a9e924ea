import Database
import Outbox
import Readings
import TestSupport
import Testing

/// What a person does with the queue.
@Suite struct QueueTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    func open(
        classes: [DeliveryClass: ClassLimits] = [.telemetry: ClassLimits()], commitAfter: Duration = .zero
    ) throws -> OutboxStore {
        try sinks.open(.test(folder, classes: classes, time: time, commitAfter: commitAfter))
    }

    @Test func lookingShowsWhatWaitsWhereverItIsAndChangesNothing() async throws {
        let store = try open(
            classes: [.telemetry: ClassLimits(), .events: ClassLimits()], commitAfter: .milliseconds(250))
        try await store.append((1...3).map { .test("m\($0)", time: time.now()) })
        try await store.flush()
        await store.attach()
        let claimed = try await store.claim(limit: 1, byteLimit: 1000)
        try await store.append([.test("e1", .events, time: time.now())])
        #expect(try await store.backlog().map(\.unstored).reduce(0, +) == 1)

        let all = try await store.waiting(limit: 99, byteLimit: 1 << 20)
        #expect(Set(all.map { String(decoding: $0.message.payload, as: UTF8.self) }) == ["m1", "m2", "m3", "e1"])
        let pages = try await Self.pages(store, .telemetry, of: 2)
        #expect(pages.map(\.sequence) == [1, 2, 3])
        // A message larger than a page is a page.
        #expect(try await store.waiting(.telemetry, limit: 9, byteLimit: 1).count == 1)

        try await store.settle(claimed.map(\.id))
        #expect(try await store.waiting(.telemetry, limit: 9, byteLimit: 1000).map(\.sequence) == [2, 3])
        #expect(try await store.claim(limit: 9, byteLimit: 1000).count == 3)
    }

    private static func pages(
        _ store: OutboxStore, _ name: DeliveryClass?, of limit: Int
    ) async throws -> [OutboxStore.Waiting] {
        var all: [OutboxStore.Waiting] = []
        while true {
            let page = try await store.waiting(name, after: all.last?.id, limit: limit, byteLimit: 1000)
            if page.isEmpty { return all }
            all += page
        }
    }

    @Test func purgingLeavesWhatIsOnItsWayAndTellsTheRest() async throws {
        let store = try open(classes: [.telemetry: ClassLimits(), .events: ClassLimits()])
        // More than one transaction drops.
        for start in stride(from: 0, to: 25_000, by: 500) {
            try await store.append((start..<start + 500).map { .test("m\($0)", time: time.now()) })
        }
        try await store.append([.test("e", .events, time: time.now(), token: 7)])
        await store.attach()
        let claimed = try await store.claim(limit: 2, byteLimit: 1000)
        let underWay = claimed.filter { $0.stream == "telemetry" }
        let dropped = try await store.purge(.telemetry)
        #expect(dropped == 25_000 - Int64(underWay.count))
        let left = try await store.claim(limit: 99, byteLimit: 1 << 20).filter { $0.stream == "telemetry" }
        let first = underWay.count + 1
        #expect(
            left.map(\.text) == [
                #"{"gap":{"class":"telemetry","count":\#(dropped),"first_seq":\#(first),"last_seq":25000,"#
                    + #""from":"2026-11-23T11:32:00.000Z","to":"2026-11-23T11:32:00.000Z","reason":"purged"}}"#
            ])
        #expect(try await store.backlog().map(\.count).reduce(0, +) == Int64(underWay.count) + 2)
        // Nothing that waits is left to drop, and the record is not dropped either.
        #expect(try await store.purge(.telemetry) == 0)
    }

    @Test func whatWasRefusedWaitsOnceMoreBehindTheOthers() async throws {
        let store = try open(commitAfter: .milliseconds(250))
        await store.attach()
        try await store.append((1...3).map { .test("m\($0)", time: time.now()) })
        let claimed = try await store.claim(limit: 2, byteLimit: 1000)
        let records = try await store.setAside(claimed.map { ($0.id, "not allowed") })
        try await store.settle(records.map(\.id))
        let refused = try await store.setAside(limit: 9, byteLimit: 1000)
        #expect(refused.map(\.reason) == ["not allowed", "not allowed"])
        #expect(refused.map(\.message.payload) == [Array("m1".utf8), Array("m2".utf8)])
        #expect(refused.map(\.message.deliveryClass) == [.telemetry, .telemetry])
        #expect(refused.map(\.boot) == [BootID("boot-1"), BootID("boot-1")])

        let result = try await store.takeBack(.telemetry)
        #expect(result == (2, 0))
        #expect(try await store.setAside(limit: 9, byteLimit: 1000).isEmpty)
        let again = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(again.map(\.text) == ["m3", "m1", "m2"])
        #expect(again.map(\.sequence) == [3, 4, 5])
        try await store.settle(again.map(\.id))
        #expect(try await store.backlog().map(\.bytes) == [0])
    }

    @Test func whatFindsNoRoomStaysAside() async throws {
        var limits = ClassLimits()
        limits.maximumCount = 2
        let store = try open(classes: [.telemetry: limits])
        await store.attach()
        try await store.append((1...2).map { .test("m\($0)", time: time.now()) })
        let claimed = try await store.claim(limit: 2, byteLimit: 1000)
        let records = try await store.setAside(claimed.map { ($0.id, "no") })
        try await store.settle(records.suffix(1).map(\.id))
        #expect(try await store.takeBack() == (1, 1))
        #expect(try await store.setAside(limit: 9, byteLimit: 1000).count == 1)
        #expect(try await store.purgeSetAside(.telemetry) == 1)
        #expect(try await store.backlog().map(\.setAside) == [0])
    }

    @Test func anUnknownClassIsNoEmptyOne() async throws {
        let store = try open()
        let name = DeliveryClass("nope")
        await #expect(throws: OutboxError.unknownClass(name)) {
            _ = try await store.waiting(name, limit: 1, byteLimit: 1)
        }
        await #expect(throws: OutboxError.unknownClass(name)) { _ = try await store.purge(name) }
        await #expect(throws: OutboxError.unknownClass(name)) { _ = try await store.takeBack(name) }
        await #expect(throws: OutboxError.unknownClass(name)) { _ = try await store.purgeSetAside(name) }
    }

    @Test func theTimeLeftFollowsTheRateAndTheBounds() async throws {
        var limits = ClassLimits(maximumBytes: 1_000_000, maximumAge: nil)
        let bytes = OutboxStore.bytesPerMessage + 2
        let store = try open(classes: [.telemetry: limits])
        #expect(try await store.backlog().map(\.timeLeft) == [nil])
        // One a second, for long enough.
        for _ in 0..<900 {
            time.advance(.seconds(1))
            try await store.append([.test("x", time: time.now())])
        }
        var backlog = try #require(try await store.backlog().first)
        #expect(abs(backlog.messagesPerSecond - 1) < 0.02)
        #expect(abs(backlog.bytesPerSecond - Double(bytes)) < 1)
        let expected = Double(1_000_000 - backlog.bytes) / backlog.bytesPerSecond
        let left = try #require(backlog.timeLeft)
        #expect(abs(Double(left.wholeNanoseconds) / 1e9 - expected) < 1)
        // What came to an end counts less and less.
        time.advance(.seconds(1_500))
        backlog = try #require(try await store.backlog().first)
        #expect(backlog.messagesPerSecond < 0.01)
        await store.close()

        // The oldest would be dropped before the class is full.
        limits.maximumAge = .seconds(10_000)
        let next = try open(classes: [.telemetry: limits])
        try await next.append([.test("x", time: time.now())])
        time.advance(.seconds(100))
        backlog = try #require(try await next.backlog().first)
        #expect(backlog.timeLeft == .seconds(10_000) - (try #require(backlog.oldestAge)))
    }

    @Test func theTimeToDrainFollowsWhatLeaves() async throws {
        let store = try open()
        try await store.append((1...1_000).map { .test("m\($0)", time: time.now()) })
        time.advance(.seconds(7_200))
        await store.attach()
        #expect(try await store.backlog().first?.timeToDrain == nil)
        // Five a second.
        for _ in 0..<100 {
            time.advance(.seconds(1))
            try await store.settle(try await store.claim(limit: 5, byteLimit: 1000).map(\.id))
        }
        let drain = try #require(try await store.backlog().first?.timeToDrain)
        #expect(drain > .seconds(90) && drain < .seconds(110), "\(drain)")
    }
}
