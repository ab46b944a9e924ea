import Database
import Outbox
import Readings
import TestSupport
import Testing

/// What the upstream will never take is kept beside the queue, and the stream says so.
@Suite struct RefusedMessagesTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    func open(commitAfter: Duration) throws -> OutboxStore {
        try sinks.open(.test(folder, time: time, commitAfter: commitAfter))
    }

    func record(_ sequence: Int64) -> String {
        #"{"gap":{"class":"telemetry","count":1,"first_seq":\#(sequence),"last_seq":\#(sequence),"#
            + #""from":"2026-11-23T11:32:00.000Z","to":"2026-11-23T11:32:00.000Z","reason":"refused"}}"#
    }

    @Test(arguments: [Duration.zero, .milliseconds(250)])
    func itIsSetAsideAndARecordGoesInItsPlace(commitAfter: Duration) async throws {
        var store = try open(commitAfter: commitAfter)
        await store.attach()
        try await store.append((1...4).map { .test("m\($0)", time: time.now(), token: UInt64($0)) })
        let claimed = try await store.claim(limit: 3, byteLimit: 1000)
        let records = try await store.setAside([(claimed[1].id, "not allowed")])
        #expect(records.map(\.text) == [record(2)])
        #expect(records.map(\.message.topic) == ["gaps/telemetry"])
        #expect(records.map(\.sequence) == [2] && records.map(\.id) == [claimed[1].id])
        // Its publisher need not repeat it once the record is safe.
        #expect(sinks.settled.flatMap { $0 }.map(\.publication).contains(2) == (commitAfter == .zero))
        #expect(try await store.backlog().map(\.setAside) == [1])
        #expect(try await store.backlog().map(\.count) == [4])

        // Not acknowledged before the link went: it comes again in its place.
        await store.release()
        let again = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(again.map(\.text) == ["m1", record(2), "m3", "m4"])
        #expect(again.map(\.sequence) == [1, 2, 3, 4])
        #expect(sinks.settled.flatMap { $0 }.map(\.publication).contains(2))
        try await store.settle(again.map(\.id))
        #expect(try await store.backlog().map(\.count) == [0])
        #expect(try await store.backlog().map(\.bytes) == [0])
        await store.close()
        store = try open(commitAfter: commitAfter)
        #expect(try await store.backlog().map(\.setAside) == [1])
        #expect(try await store.claim(limit: 9, byteLimit: 1000).isEmpty)
    }

    @Test(arguments: [Duration.zero, .milliseconds(250)])
    func aRecordThatIsRefusedItselfGoes(commitAfter: Duration) async throws {
        let store = try open(commitAfter: commitAfter)
        await store.attach()
        try await store.append([.test("m1", time: time.now())])
        let claimed = try await store.claim(limit: 3, byteLimit: 1000)
        let records = try await store.setAside([(claimed[0].id, "not allowed")])
        #expect(try await store.setAside(records.map { ($0.id, "nor this") }).isEmpty)
        #expect(try await store.backlog().map(\.count) == [0])
        #expect(try await store.backlog().map(\.setAside) == [1])
        // Nor is anything done about what is not on its way.
        #expect(try await store.setAside([(claimed[0].id, "again"), (MessageID(rawValue: -1), "")]).isEmpty)
        #expect(try await store.backlog().map(\.setAside) == [1])
    }

    /// A record in memory is stored as what it is, and not taken for a message of its own.
    @Test func aRecordThatWasStoredMeanwhileGoesToo() async throws {
        let store = try open(commitAfter: .milliseconds(250))
        await store.attach()
        try await store.append([.test("m1", time: time.now())])
        let claimed = try await store.claim(limit: 3, byteLimit: 1000)
        let records = try await store.setAside([(claimed[0].id, "not allowed")])
        #expect(records.map(\.text) == [record(1)])
        try await store.flush()
        #expect(try await store.waiting(limit: 9, byteLimit: 1000).map(\.isGap) == [true])
        #expect(try await store.setAside(records.map { ($0.id, "nor this") }).isEmpty)
        #expect(try await store.backlog().map(\.count) == [0])
        #expect(try await store.backlog().map(\.bytes) == [0])
        #expect(try await store.backlog().map(\.setAside) == [1])
    }

    @Test func theOldestGiveWay() async throws {
        let store = try open(commitAfter: .zero)
        for _ in 0..<11 {
            try await store.append((0..<100).map { .test("m\($0)", time: time.now()) })
            let claimed = try await store.claim(limit: 100, byteLimit: 1 << 20)
            let records = try await store.setAside(claimed.map { ($0.id, "not allowed") })
            #expect(records.count == 100)
            try await store.settle(records.map(\.id))
        }
        #expect(try await store.backlog().map(\.setAside) == [1_000])
    }
}
