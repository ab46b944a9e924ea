import Database
import Outbox
import Readings
import TestSupport
import Testing

@Suite struct OutboxStoreTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()
    let events = DeliveryClass("events")

    init() throws { folder = try TemporaryDirectory() }

    @Test func messagesLeaveInOrderUnderAGaplessSequence() async throws {
        let store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        try await store.append((1...5).map { .test("m\($0)", time: now, token: UInt64($0)) })
        let first = try await store.claim(limit: 3, byteLimit: 1 << 20)
        #expect(first.map(\.text) == ["m1", "m2", "m3"])
        #expect(first.map(\.sequence) == [1, 2, 3])
        #expect(first.map(\.stream) == ["telemetry", "telemetry", "telemetry"])
        let second = try await store.claim(limit: 3, byteLimit: 1 << 20)
        #expect(second.map(\.text) == ["m4", "m5"])
        #expect(try await store.claim(limit: 3, byteLimit: 1 << 20).isEmpty)
    }

    @Test func theSinksHearOfEachAppendOnce() async throws {
        let store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        try await store.append([
            .test("a", time: now, token: 7), .test("b", time: now), .test("c", time: now, token: 3),
        ])
        try await store.append([.test("d", time: now)])
        #expect(try await store.append([]).isEmpty)
        let claimed = try await store.claim(limit: 10, byteLimit: 1000)
        try await store.settle(claimed.map(\.id))
        #expect(sinks.settled.map { $0.map(\.publication) } == [[7, 3]])
        #expect(sinks.rejected.isEmpty)
        #expect(sinks.available == 2)
    }

    @Test func everythingOfAMessageComesBack() async throws {
        let message = Message(
            topic: "grüße/🌊", payload: [0, 255, 0x27, 10], format: .reading, retain: true, deliveryClass: .telemetry,
            time: Timestamp(instant: Instant(nanoseconds: 5), unixNanoseconds: -1, quality: .synced)
        )
        let empty = Message(
            topic: "t", payload: [],
            time: Timestamp(instant: Instant(nanoseconds: .max), unixNanoseconds: .max, quality: .restamped)
        )
        var unsynced = empty
        unsynced.time.quality = .unsynced
        let store = try sinks.open(.test(folder, time: time))
        try await store.append([.init(message: message), .init(message: empty), .init(message: unsynced)])
        try await store.flush()
        #expect(try await store.waiting(limit: 9, byteLimit: 1000).map(\.message) == [message, empty, unsynced])
        let claimed = try await store.claim(limit: 2, byteLimit: 1000)
        #expect(claimed.map(\.message) == [message, empty])
        #expect(claimed.map(\.boot.name) == ["boot-1", "boot-1"])
    }

    @Test func releaseHandsOutAgainInTheOriginalOrderWhatIsNotSettled() async throws {
        let store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        try await store.append((1...6).map { .test("m\($0)", time: now) })
        let claimed = try await store.claim(limit: 5, byteLimit: 1000)
        try await store.settle([claimed[3].id, claimed[1].id])
        #expect(try await store.backlog().map(\.claimed) == [3])
        await store.release()
        let again = try await store.claim(limit: 10, byteLimit: 1000)
        #expect(again.map(\.text) == ["m1", "m3", "m5", "m6"])
        #expect(again.map(\.sequence) == [1, 3, 5, 6])
        try await store.settle(again.map(\.id))
        #expect(try await store.backlog().map(\.count) == [0])
        #expect(try await store.backlog().map(\.bytes) == [0])
    }

    @Test func settlingWhatIsNotOnItsWayChangesNothing() async throws {
        let store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        try await store.append((1...3).map { .test("m\($0)", time: now) })
        let claimed = try await store.claim(limit: 2, byteLimit: 1000)
        // Unknown stream, unclaimed, twice in one call, again in the next.
        let unclaimed = MessageID(rawValue: claimed[1].id.rawValue + 1)
        try await store.settle([MessageID(rawValue: -1), MessageID(rawValue: .max), unclaimed])
        #expect(try await store.backlog().map(\.count) == [3])
        try await store.settle([claimed[0].id, claimed[0].id])
        try await store.settle([claimed[0].id])
        #expect(try await store.backlog().map(\.count) == [2])
        // Handed out before the release: the link it belongs to is gone.
        await store.release()
        try await store.settle([claimed[1].id])
        #expect(try await store.claim(limit: 5, byteLimit: 1000).map(\.text) == ["m2", "m3"])
    }

    @Test func theByteLimitHoldsButLetsALargeMessageThrough() async throws {
        let store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        try await store.append(["12345", "12345", String(repeating: "x", count: 500)].map { .test($0, time: now) })
        #expect(try await store.claim(limit: 9, byteLimit: 12).map(\.sequence) == [1, 2])
        #expect(try await store.claim(limit: 9, byteLimit: 12).map(\.sequence) == [3])
        #expect(try await store.claim(limit: 0, byteLimit: 12).isEmpty)
    }

    @Test func aLongBacklogOfOneClassDoesNotHoldUpAnother() async throws {
        let store = try sinks.open(
            .test(folder, classes: [.telemetry: ClassLimits(), events: ClassLimits()], time: time)
        )
        let now = time.now()
        try await store.append((1...100).map { .test("t\($0)", time: now) })
        try await store.append((1...3).map { .test("e\($0)", events, time: now) })
        let claimed = try await store.claim(limit: 10, byteLimit: 10_000)
        #expect(claimed.count == 10)
        #expect(claimed.filter { $0.stream == "events" }.map(\.text) == ["e1", "e2", "e3"])
        #expect(claimed.filter { $0.stream == "telemetry" }.map(\.sequence) == Array(1...7))
        #expect(try await store.claim(limit: 1, byteLimit: 10_000).map(\.text) == ["t8"])
    }

    /// One entry keeps no other from being taken, and is not lost itself.
    @Test func aClassWithoutSettingsIsTakenAndDelivered() async throws {
        var store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        #expect(
            try await store.append([.test("a", time: now, token: 1), .test("b", events, time: now, token: 2)]).isEmpty)
        try await store.note([Loss(DeliveryClass("alarms"), count: 3, from: now, to: now)])
        try await store.flush()
        #expect(sinks.settled.flatMap { $0 }.map(\.publication) == [1, 2])
        #expect(try await store.backlog().map(\.count) == [1, 1, 1])
        await store.close()
        store = try sinks.open(.test(folder, time: time))
        let claimed = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(claimed.map(\.stream).sorted() == ["alarms", "events", "telemetry"])
        #expect(claimed.filter { $0.stream != "alarms" }.map(\.text).sorted() == ["a", "b"])
        try await store.settle(claimed.map(\.id))
        #expect(try await store.backlog().map(\.count) == [0, 0, 0])
        await store.close()
    }

    @Test func backlogCountsPerClass() async throws {
        let store = try sinks.open(
            .test(folder, classes: [.telemetry: ClassLimits(), events: ClassLimits()], time: time)
        )
        let first = time.now()
        try await store.append([.test("abc", time: first)])
        time.advance(.seconds(5))
        try await store.append([.test("de", time: time.now())])
        let backlog = try await store.backlog()
        #expect(backlog.map(\.deliveryClass) == [events, .telemetry])
        #expect(backlog.map(\.count) == [0, 2])
        #expect(backlog[1].bytes == 2 * (OutboxStore.bytesPerMessage + 1) + 5)
        #expect(backlog[1].oldest == first)
        #expect(backlog[1].oldestAge == .seconds(5))
        #expect(backlog[0].oldest == nil)
    }

    @Test func aClosedStoreSaysSo() async throws {
        let store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        try await store.append([.test("a", time: now)])
        await store.close()
        #expect(folder.bytes(of: "outbox.db-wal")?.count == 0)
        await #expect(throws: OutboxError.closed) { try await store.append([.test("b", time: now)]) }
        await #expect(throws: OutboxError.closed) { try await store.claim(limit: 1, byteLimit: 1) }
        await #expect(throws: OutboxError.closed) { try await store.settle([MessageID(rawValue: 1)]) }
        await #expect(throws: OutboxError.closed) { try await store.backlog() }
        await store.release()
        await store.close()
    }

    @Test func spaceIsGivenBackAfterAnOutage() async throws {
        let store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        let large = String(repeating: "x", count: 10_000)
        for _ in 0..<10 { try await store.append((0..<100).map { _ in .test(large, time: now) }) }
        while case let claimed = try await store.claim(limit: 200, byteLimit: 1 << 30), !claimed.isEmpty {
            try await store.settle(claimed.map(\.id))
        }
        for _ in 0..<3 {
            try await store.append([.test("small", time: now)])
            try await store.settle(try await store.claim(limit: 1, byteLimit: 100).map(\.id))
        }
        await store.close()
        let size = try #require(folder.bytes(of: "outbox.db")?.count)
        #expect(size < 6 << 20, "the file still has \(size) bytes")
    }
}
