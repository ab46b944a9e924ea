import Broker
import MQTT
import NIOCore
import Registry
import TestSupport
import Testing

/// Changes that wait are kept once per key: written, they come to the same as all of them one after the other.
@Suite(.timeLimit(.minutes(1))) struct PendingChangesTests {
    private struct Model {
        var random: SplitMix64
        var nextMessage: UInt64 = 1
        /// Sessions that there are, with what waits for them.
        var sessions: [SessionID: (queue: [UInt64: UInt64], received: Set<UInt16>, next: UInt64)] = [:]

        init(seed: UInt64) { random = SplitMix64(seed: seed) }

        mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

        /// A change that a listener could make now, with what comes of it.
        mutating func step() -> [SessionChange] {
            let id = SessionID(client: "c\(pick(3))", user: pick(2) == 0 ? nil : "u\(pick(2))")
            guard var session = sessions[id] else {
                sessions[id] = ([:], [], 1)
                return [.session(SessionRecord(id: id, expiryInterval: UInt32(pick(9)), awaySince: nil, will: nil))]
            }
            defer { if sessions[id] != nil { sessions[id] = session } }
            switch pick(10) {
            case 0:
                sessions[id] = nil
                return [.sessionEnded(id)] + session.queue.values.map { .messageEnded(number: $0) }
            case 1: return [.session(SessionRecord(id: id, expiryInterval: UInt32(pick(9)), awaySince: 5, will: nil))]
            case 2: return [.subscription(id, filter: "f/\(pick(4))", options: UInt8(pick(3)), identifier: nil)]
            case 3: return [.subscriptionEnded(id, filter: "f/\(pick(4))")]
            case 4, 5:
                let (message, number) = (nextMessage, session.next)
                nextMessage += 1
                session.next += 1
                session.queue[number] = message
                let publish = Publish(topic: "t/\(message)", payload: ByteBuffer(string: "x"))
                return [
                    .message(number: message, publish: publish, receivedAt: 0),
                    .queued(
                        id, number: number, message: message, qos: .exactlyOnce, retain: false,
                        subscriptionIdentifiers: [1]),
                ]
            case 6:
                guard let number = session.queue.keys.min() else { return [] }
                return [.inFlight(id, number: number, packetIdentifier: UInt16(number), phase: .pubrec)]
            case 7:
                guard let number = session.queue.keys.min(), let message = session.queue.removeValue(forKey: number)
                else { return [] }
                return [.dequeued(id, number: number), .messageEnded(number: message)]
            case 8:
                let identifier = UInt16(pick(4) + 1)
                return session.received.insert(identifier).inserted ? [.received(id, packetIdentifier: identifier)] : []
            default:
                guard let identifier = session.received.min() else { return [] }
                session.received.remove(identifier)
                return [.released(id, packetIdentifier: identifier)]
            }
        }
    }

    private static func text(_ stored: StoredSessions) -> [String] {
        let sessions = stored.sessions.map { session in
            "\(session.record) \(session.subscriptions.map { "\($0.filter) \($0.options)" }.sorted())"
                + " \(session.queue.map { "\($0.number) \($0.message ?? 0) \($0.packetIdentifier ?? 0)" })"
                + " \(session.received.sorted())"
        }
        return sessions.sorted() + stored.messages.map { "\($0.number) \($0.publish.topic)" }.sorted()
    }

    @Test(arguments: [UInt64](1...12)) func onceEachIsAsGoodAsAllOfThem(seed: UInt64) async throws {
        let folder = try TemporaryDirectory()
        let plain = try StateStore(path: folder["plain.db"], boot: "b", time: KernelTime())
        let once = try StateStore(path: folder["once.db"], boot: "b", time: KernelTime())
        var model = Model(seed: seed)
        for _ in 0..<12 {
            var pending = PendingChanges()
            var all: [SessionChange] = []
            for _ in 0..<(1 + model.pick(60)) {
                for change in model.step() {
                    pending.note(change)
                    all.append(change)
                }
            }
            try await plain.commit(all)
            let list = pending.list()
            #expect(list.count <= all.count)
            try await once.commit(list)
        }
        await plain.close()
        await once.close()
        let expected = await (try StateStore(path: folder["plain.db"], boot: "b", time: KernelTime())).load()
        let found = await (try StateStore(path: folder["once.db"], boot: "b", time: KernelTime())).load()
        #expect(Self.text(found) == Self.text(expected))
    }

    /// However often things change, what waits is bounded by what there is.
    @Test func whatWaitsIsBoundedByWhatThereIs() {
        let id = SessionID(client: "c")
        var pending = PendingChanges()
        pending.note(.session(SessionRecord(id: id, expiryInterval: .max, awaySince: nil, will: nil)))
        for round in 1...10_000 as ClosedRange<UInt64> {
            pending.note(.message(number: round, publish: Publish(topic: "t", payload: ByteBuffer()), receivedAt: 0))
            pending.note(
                .queued(
                    id, number: round, message: round, qos: .atLeastOnce, retain: false, subscriptionIdentifiers: []))
            pending.note(.dequeued(id, number: round))
            pending.note(.messageEnded(number: round))
            pending.note(.subscription(id, filter: "f", options: UInt8(round % 3), identifier: nil))
            pending.note(.received(id, packetIdentifier: UInt16(round % 7)))
            pending.note(.released(id, packetIdentifier: UInt16(round % 7)))
            pending.note(retained: "r/\(round % 5)")
        }
        #expect(pending.list().count <= 1 + 1 + 7)
        #expect(pending.retainedTopics.count == 5)
    }
}
