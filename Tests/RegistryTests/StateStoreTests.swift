import MQTT
import NIOCore
import Readings
import Registry
import TestSupport
import Testing

struct StateStoreTests {
    private static let anna = SessionID(client: "a", user: "anna")

    private static func publish(_ topic: String, _ text: String, qos: QoS = .exactlyOnce) -> Publish {
        Publish(
            topic: topic, payload: ByteBuffer(string: text), qos: qos,
            properties: Properties([.contentType("text/plain"), .userProperty(name: "a", value: "b")]))
    }

    @Test func everythingComesBackAfterARestart() async throws {
        let folder = try TemporaryDirectory()
        let path = "\(folder.path)/state.db"
        let will = Will(
            topic: "will", payload: ByteBuffer(string: "gone"), qos: .atLeastOnce, retain: true,
            properties: Properties([.willDelayInterval(7)]))
        let time = KernelTime()
        let first = try StateStore(path: path, boot: "one", time: time)
        let instant = time.now().instant.nanoseconds
        try await first.commit([
            .session(SessionRecord(client: "a", user: "anna", expiryInterval: .max, awaySince: nil, will: will)),
            .session(SessionRecord(client: "e\u{301}", expiryInterval: 60, awaySince: instant, will: nil)),
            .session(SessionRecord(client: "\u{E9}", expiryInterval: 61, awaySince: instant, will: nil)),
            .subscription(Self.anna, filter: "x/#", options: 0x2E, identifier: 9),
            .subscription(Self.anna, filter: "y", options: 1, identifier: nil),
            .subscriptionEnded(Self.anna, filter: "y"),
            .message(number: 5, publish: Self.publish("x/1", "hello"), receivedAt: instant - 3_000_000_000),
            .queued(
                Self.anna, number: 1, message: 5, qos: .exactlyOnce, retain: true, subscriptionIdentifiers: [9, 7]),
            .queued(Self.anna, number: 2, message: 5, qos: .atLeastOnce, retain: false, subscriptionIdentifiers: []),
            .queued(Self.anna, number: 3, message: 5, qos: .atLeastOnce, retain: false, subscriptionIdentifiers: []),
            .inFlight(Self.anna, number: 1, packetIdentifier: 77, phase: .pubcomp),
            .dequeued(Self.anna, number: 3),
            .received(Self.anna, packetIdentifier: 4), .received(Self.anna, packetIdentifier: 5),
            .released(Self.anna, packetIdentifier: 4),
            .retained(Self.publish("r", "1", qos: .atMostOnce), storedAt: instant),
            .retained(Self.publish("s", "2"), storedAt: instant), .retainedEnded(topic: "s"),
        ])
        await first.close()

        let second = try StateStore(path: path, boot: "one", time: time)
        let stored = await second.load()
        #expect(stored.sessions.map(\.record.id.client.utf8.count) == [1, 3, 2])
        let session = try #require(stored.sessions.first)
        #expect(session.record.id.user == "anna" && session.record.expiryInterval == .max)
        #expect(session.record.awaySince == nil)
        #expect(session.record.will == will)
        #expect(stored.sessions[1].record.awaySince == instant)
        #expect(session.subscriptions.map(\.filter) == ["x/#"])
        #expect(session.subscriptions.first?.options == 0x2E)
        #expect(session.subscriptions.first?.identifier == 9)
        #expect(session.queue.map(\.number) == [1, 2])
        #expect(session.queue[0].phase == .pubcomp)
        #expect(session.queue[0].packetIdentifier == 77)
        #expect(session.queue[0].message == nil)
        #expect(session.queue[0].subscriptionIdentifiers == [9, 7])
        #expect(session.queue[1].message == 5)
        #expect(session.received == [5])
        var expected = Self.publish("x/1", "hello")
        expected.packetIdentifier = nil
        #expect(stored.messages.map(\.publish) == [expected])
        #expect(try #require(stored.messages.first).waitedNanoseconds >= 3_000_000_000)
        #expect(stored.retained.map(\.publish.topic) == ["r"])

        try await second.commit([.sessionEnded(Self.anna), .messageEnded(number: 5)])
        await second.close()
        let third = try StateStore(path: path, boot: "two", time: time)
        let rest = await third.load()
        #expect(rest.sessions.map(\.record.expiryInterval) == [60, 61])
        #expect(rest.messages.isEmpty)
        // Another boot's clock says nothing: being away counts from now.
        #expect(try #require(rest.sessions[0].record.awaySince) >= instant)
        await third.close()
    }

    @Test func aBatchThatFailsLeavesNothing() async throws {
        let folder = try TemporaryDirectory()
        let path = "\(folder.path)/state.db"
        let store = try StateStore(path: path, boot: "one", time: KernelTime())
        try await store.commit([.session(SessionRecord(client: "a", expiryInterval: 1, awaySince: nil, will: nil))])
        await #expect(throws: (any Error).self) {
            let locked = try StateStore(path: path, boot: "one", time: KernelTime(), lockTimeoutMilliseconds: 10)
            await locked.close()
        }
        await store.close()
    }

    @Test func aDamagedFileIsMovedAside() async throws {
        let folder = try TemporaryDirectory()
        let path = try folder.write(String(repeating: "no database at all ", count: 300), to: "state.db")
        let store = try StateStore(path: path, boot: "one", time: KernelTime())
        #expect(store.recovery?.quarantined == "\(path).corrupt-1")
        #expect(await store.load().sessions.isEmpty)
        await store.close()
    }
}
