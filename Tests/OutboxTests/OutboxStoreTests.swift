import Database
import Outbox
import Readings
import Testing

@Suite struct OutboxStoreTests {
    let folder: TemporaryFolder
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryFolder() }

    @Test func messagesLeaveInOrderUnderAGaplessSequence() async throws {
        let store = try sinks.open(.test(folder, time: time))
        let now = time.now()
        try await store.append((1...5).map { .test("m\($0)", time: now, token: UInt64($0)) })
        #expect(sinks.settled == [(1...5).map { SettleToken(connection: 1, publication: UInt64($0)) }])
        #expect(sinks.rejected.isEmpty)
        #expect(sinks.available == 1)

        let first = try await store.claim(limit: 3, byteLimit: 1 << 20)
        #expect(first.map(\.text) == ["m1", "m2", "m3"])
        #expect(first.map(\.sequence) == [1, 2, 3])
        #expect(first.map(\.stream) == ["telemetry", "telemetry", "telemetry"])
        let second = try await store.claim(limit: 3, byteLimit: 1 << 20)
        #expect(second.map(\.text) == ["m4", "m5"])
        #expect(try await store.claim(limit: 3, byteLimit: 1 << 20).isEmpty)

        try await store.settle([first[1].id, second[0].id])
        await store.release()
        let again = try await store.claim(limit: 10, byteLimit: 1 << 20)
        #expect(again.map(\.text) == ["m1", "m3", "m5"])
        #expect(again.map(\.sequence) == [1, 3, 5])
        try await store.settle(again.map(\.id))
        let backlog = try await store.backlog()
        #expect(backlog.map(\.count) == [0])
        #expect(backlog.map(\.bytes) == [0])
    }
}
