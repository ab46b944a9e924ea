import Outbox
import Readings
import TestSupport
import Testing

/// Messages that are of no use after some time, by their publisher's word or their class's.
@Suite struct ExpiryTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    private func open(
        commitAfter: Duration = .zero, boot: String = "boot-1", _ limits: ClassLimits = ClassLimits()
    ) throws -> OutboxStore {
        try sinks.open(
            .test(folder, classes: [.telemetry: limits], time: time, boot: boot, commitAfter: commitAfter))
    }

    private func append(_ store: OutboxStore, _ text: String, expiry: Duration? = nil, token: UInt64? = nil)
        async throws
    {
        var entry = OutboxStore.Entry.test(text, time: time.now(), token: token)
        entry.message.expiry = expiry
        try await store.append([entry])
    }

    private func claim(_ store: OutboxStore) async throws -> [OutboxStore.Claimed] {
        await store.attach()
        return try await store.claim(limit: 100, byteLimit: 1 << 20)
    }

    @Test func whatIsLeftOfItGoesAlong() async throws {
        let store = try open()
        try await append(store, "a", expiry: .seconds(60))
        try await append(store, "b")
        time.advance(.seconds(25))
        let claimed = try await claim(store)
        #expect(claimed.map(\.text) == ["a", "b"])
        #expect(claimed.map(\.remaining) == [.seconds(35), nil])
    }

    /// Stored ones become one record, wherever they stand among others.
    @Test func aGapRecordStandsInTheirPlace() async throws {
        let store = try open()
        for (text, expiry) in [("a", 10), ("b", 10), ("c", nil), ("d", 10), ("e", 99)] as [(String, Int64?)] {
            try await append(store, text, expiry: expiry.map { .seconds($0) }, token: 1)
        }
        time.advance(.seconds(10))
        var claimed: [OutboxStore.Claimed] = []
        while case let more = try await claim(store), !more.isEmpty { claimed += more }
        #expect(claimed.map(\.sequence) == [2, 3, 4, 5])
        #expect(claimed.map(\.message.topic) == ["gaps/telemetry", "t", "gaps/telemetry", "t"])
        #expect(claimed[0].text.contains(#""count":2,"first_seq":1,"last_seq":2"#))
        #expect(claimed[0].text.contains(#""reason":"expired""#))
        #expect(claimed[2].text.contains(#""count":1,"first_seq":4,"last_seq":4"#))
        try await store.settle(claimed.map(\.id))
        let backlog = try await store.backlog()[0]
        #expect(backlog.count == 0 && backlog.bytes == 0 && backlog.dropped == 3)
    }

    /// In memory alone, too, and its publisher is not kept waiting for ever.
    @Test func inMemory() async throws {
        let store = try open(commitAfter: .seconds(60))
        await store.attach()
        try await append(store, "a", expiry: .seconds(5), token: 7)
        try await append(store, "b", expiry: .seconds(50), token: 8)
        time.advance(.seconds(5))
        let claimed = try await claim(store)
        #expect(claimed.map(\.message.topic) == ["gaps/telemetry", "t"])
        #expect(claimed[0].text.contains(#""count":1,"first_seq":1,"last_seq":1"#))
        #expect(claimed[1].remaining == .seconds(45))
        #expect(sinks.settled.isEmpty)
        try await store.settle(claimed.map(\.id))
        #expect(sinks.settled.flatMap { $0.map(\.publication) } == [7, 8])
        let backlog = try await store.backlog()[0]
        #expect(backlog.count == 0 && backlog.bytes == 0 && backlog.dropped == 1)
    }

    /// On a thread that must not wait for the disk nothing is dropped; the outbox's own does it soon afterwards.
    @Test func aVisitorLeavesItToTheOutbox() async throws {
        let store = try open()
        try await append(store, "a", expiry: .seconds(5))
        try await append(store, "b")
        await store.attach()
        time.advance(.seconds(5))
        let visited = try await eventually {
            try store.visit { try $0.claim(limit: 9, byteLimit: 999).isEmpty } == true
        }
        #expect(visited)
        let claimed = try await eventuallyClaim(store, count: 2)
        #expect(claimed.map(\.message.topic) == ["gaps/telemetry", "t"])
    }

    private func eventuallyClaim(_ store: OutboxStore, count: Int) async throws -> [OutboxStore.Claimed] {
        var all: [OutboxStore.Claimed] = []
        _ = try await eventually {
            all += (try store.visit { try $0.claim(limit: 9, byteLimit: 999) }) ?? []
            return all.count == count
        }
        return all
    }

    @Test func theShorterOneOfTwoCounts() async throws {
        var limits = ClassLimits()
        limits.expiry = .seconds(30)
        let store = try open(limits)
        for expiry in [nil, .seconds(10), .seconds(99)] as [Duration?] { try await append(store, "x", expiry: expiry) }
        #expect(try await claim(store).map(\.remaining) == [.seconds(30), .seconds(10), .seconds(30)])
    }

    /// Over a reboot only what this process has seen of it counts, and a wall clock that jumps does not.
    @Test func onlyElapsedTimeCounts() async throws {
        var store = try open()
        try await append(store, "a", expiry: .seconds(10))
        await store.close()
        time.advance(.seconds(-900))
        time.setWallClock(unixSeconds: 4_000_000_000)
        store = try open(boot: "boot-2")
        time.advance(.seconds(4))
        #expect(try await claim(store).map(\.remaining) == [.seconds(6)])
        await store.release()
        time.setWallClock(unixSeconds: 0)
        time.advance(.seconds(6))
        #expect(try await claim(store).map(\.message.topic) == ["gaps/telemetry"])
    }

    @Test func whatPublishersSayIsKept() async throws {
        let properties = MessageProperties(
            isText: true, contentType: "application/json", responseTopic: "r/1", correlationData: [0, 255],
            user: [.init("a", "1"), .init("a", "2"), .init("", "ü")], hops: ["boot-7", "boot-8"])
        var store = try open()
        var entry = OutboxStore.Entry.test("a", time: time.now())
        entry.message.properties = properties
        try await store.append([entry])
        let bytes = try await store.backlog()[0].bytes
        await store.close()
        store = try open()
        #expect(try await store.backlog()[0].bytes == bytes)
        let claimed = try await claim(store)
        #expect(claimed.map(\.message.properties) == [properties])
        // Set aside and taken back it is the same.
        _ = try await store.setAside(claimed.map { ($0.id, "no") })
        #expect(try await store.setAside(limit: 9, byteLimit: 999).map(\.message.properties) == [properties])
        #expect(try await store.takeBack() == (1, 0))
        #expect(try await claim(store).map(\.message.properties) == [properties])
    }
}
