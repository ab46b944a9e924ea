import MQTT
import NIOCore
import Testing

@Suite struct OutboundWindowTests {
    private static func delivery(_ text: String, qos: QoS = .atLeastOnce, expiry: UInt32? = nil) -> Delivery {
        Delivery(
            message: QueuedMessage(
                Publish(
                    topic: "t", payload: ByteBuffer(string: text), qos: qos,
                    properties: Properties(expiry.map { [.messageExpiryInterval($0)] } ?? [])), receivedAt: 0),
            qos: qos)
    }

    /// What is sent next, in short: "1 a", "1 a dup", "rel 1", "hold 1".
    private static func next(
        _ window: inout OutboundWindow, keeps: Bool = true, committed: UInt64 = .max - 1, now: Int64 = 0
    ) -> String? {
        switch window.next(keeps: keeps, committed: committed, now: now) {
        case nil: nil
        case .publish(let delivery, let identifier, let dup):
            "\(identifier) \(String(buffer: delivery.message.publish.payload))\(dup ? " dup" : "")"
        case .pubrel(let identifier): "rel \(identifier)"
        case .assigned(_, let identifier): "hold \(identifier)"
        case .expired: "expired"
        }
    }

    @Test func theWindowBoundsWhatIsSentAndTheQueueWhatWaits() {
        var window = OutboundWindow(queueLimit: 2, queueByteLimit: 1_000)
        window.resume(window: 2)
        let admissions = (0..<5).map { _ in
            window.admit(Self.delivery("x"), qos: .atLeastOnce, size: 1, hasRoom: true)
        }
        #expect(admissions == [.send(packetIdentifier: 1), .send(packetIdentifier: 2), .queued, .queued, .dropped])
        #expect(window.dropped == 1)
        #expect(Self.next(&window, keeps: false) == nil)
        guard case .done = window.acknowledged(1, phase: .puback) else {
            Issue.record("not known")
            return
        }
        #expect(Self.next(&window, keeps: false) == "3 x")
        #expect(Self.next(&window, keeps: false) == nil)
        guard case .unknown = window.acknowledged(77, phase: .puback) else {
            Issue.record("known")
            return
        }
        #expect(Self.next(&window, keeps: false) == nil)
    }

    @Test func everythingUnacknowledgedIsSentAgainInItsOrder() {
        var window = OutboundWindow(queueLimit: 10, queueByteLimit: 1_000)
        for text in ["a", "b", "c", "d"] { _ = window.enqueue(Self.delivery(text), size: 1) }
        window.resume(window: 3)
        #expect((0..<4).map { _ in Self.next(&window) } == ["1 a", "2 b", "3 c", nil])
        _ = window.acknowledged(2, phase: .puback)
        window.resume(window: 10)
        #expect((0..<4).map { _ in Self.next(&window) } == ["1 a dup", "3 c dup", "4 d", nil])
        // A client that takes less at once than before gets the rest later.
        window.resume(window: 1)
        #expect((0..<2).map { _ in Self.next(&window) } == ["1 a dup", nil])
        _ = window.acknowledged(1, phase: .puback)
        #expect((0..<2).map { _ in Self.next(&window) } == ["3 c dup", nil])
    }

    @Test func qoS2IsSentOnceItsIdentifierIsStoredAndReleasedInItsOrder() {
        var window = OutboundWindow(queueLimit: 10, queueByteLimit: 1_000)
        for text in ["a", "b"] { _ = window.enqueue(Self.delivery(text, qos: .exactlyOnce), size: 1) }
        window.resume(window: 10)
        #expect(Self.next(&window, committed: 6) == "hold 1")
        window.hold(until: 7)
        #expect(Self.next(&window, committed: 6) == nil)
        #expect(Self.next(&window, committed: 7) == "1 a")
        #expect(Self.next(&window, committed: 7) == "hold 2")
        window.hold(until: 7)
        #expect(Self.next(&window, committed: 7) == "2 b")
        guard case .received(_, .some) = window.received(1) else {
            Issue.record("not received")
            return
        }
        // The PUBREC again, with nothing to let go of any more.
        guard case .received(_, nil) = window.received(1) else {
            Issue.record("not received")
            return
        }
        window.resume(window: 10)
        #expect((0..<3).map { _ in Self.next(&window) } == ["rel 1", "2 b dup", nil])
        guard case .outOfPlace = window.acknowledged(2, phase: .pubcomp),
            case .done = window.acknowledged(1, phase: .pubcomp)
        else {
            Issue.record("phases are mixed up")
            return
        }
    }

    /// Each QoS has its own acknowledgements (MQTT 5.0 §4.3); an identifier that is not in use is another matter.
    @Test func anAcknowledgementOfAnotherQoSIsOutOfPlace() {
        var window = OutboundWindow(queueLimit: 10, queueByteLimit: 1_000)
        window.resume(window: 10)
        #expect(
            window.admit(Self.delivery("a"), qos: .atLeastOnce, size: 1, hasRoom: true) == .send(packetIdentifier: 1))
        #expect(
            window.admit(Self.delivery("b", qos: .exactlyOnce), qos: .exactlyOnce, size: 1, hasRoom: true)
                == .send(packetIdentifier: 2))
        func isOutOfPlace(_ outcome: OutboundWindow.Outcome) -> Bool {
            if case .outOfPlace = outcome { true } else { false }
        }
        #expect(isOutOfPlace(window.received(1)))
        #expect(isOutOfPlace(window.acknowledged(1, phase: .pubrec)))
        #expect(isOutOfPlace(window.acknowledged(1, phase: .pubcomp)))
        #expect(isOutOfPlace(window.acknowledged(2, phase: .puback)))
        #expect(isOutOfPlace(window.acknowledged(2, phase: .pubcomp)))
        _ = window.received(2)
        #expect(isOutOfPlace(window.acknowledged(2, phase: .puback)))
        // A PUBREC once more, with an error: too late, and no harm.
        guard case .unknown = window.acknowledged(2, phase: .pubrec), case .unknown = window.received(9),
            case .unknown = window.acknowledged(9, phase: .puback), case .done = window.acknowledged(1, phase: .puback),
            case .done = window.acknowledged(2, phase: .pubcomp)
        else {
            Issue.record("phases are mixed up")
            return
        }
    }

    @Test func whatWaitedTooLongIsNotSent() {
        var window = OutboundWindow(queueLimit: 10, queueByteLimit: 1_000)
        _ = window.enqueue(Self.delivery("a", expiry: 5), size: 1)
        _ = window.enqueue(Self.delivery("b", expiry: 6), size: 1)
        window.resume(window: 1)
        #expect(Self.next(&window, now: 5_000_000_000) == "expired")
        guard
            case .publish(let delivery, let identifier, _)? = window.next(keeps: true, committed: 0, now: 5_000_000_000)
        else {
            Issue.record("nothing to send")
            return
        }
        let publish = delivery.publish(packetIdentifier: identifier, dup: false, now: 5_000_000_000)
        #expect(publish.properties.messageExpiryInterval == 1)
    }

    @Test func identifiersWrapAroundPastThoseInFlight() {
        var window = OutboundWindow(queueLimit: 1, queueByteLimit: 1_000)
        window.resume(window: 3)
        func admit() -> OutboundWindow.Admission {
            window.admit(Self.delivery("x"), qos: .atLeastOnce, size: 1, hasRoom: true)
        }
        #expect(admit() == .send(packetIdentifier: 1))
        for expected in Array(2...65_535) + [2] as [UInt16] {
            #expect(admit() == .send(packetIdentifier: expected))
            _ = window.acknowledged(expected, phase: .puback)
        }
    }
}
