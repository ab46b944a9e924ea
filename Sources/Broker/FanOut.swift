import MQTT
import NIOCore

/// One publish on its way to many subscribers: encoded once for each protocol version and QoS that is among them, and
/// shared from then on.
struct FanOut {
    private struct Encoded {
        var bytes: ByteBuffer
        /// Where the packet identifier stands; `nil` for QoS 0.
        var place: Int?
    }

    let publish: Publish
    private let allocator: ByteBufferAllocator
    private let now: Int64
    /// One place for each QoS in 3.1.1 (and 3.1, which is the same here), then in 5.0.
    private var encoded = InlineArray<6, Encoded?>(repeating: nil)
    private var waiting: QueuedMessage?

    init(_ publish: Publish, allocator: ByteBufferAllocator, now: Int64) {
        self.publish = publish
        self.allocator = allocator
        self.now = now
    }

    /// The publish as one subscriber gets it.
    func copy(qos: QoS, retain: Bool, subscriptionIdentifiers: [UInt32]) -> Publish {
        var copy = publish
        copy.qos = qos
        copy.retain = retain
        copy.dup = false
        copy.packetIdentifier = nil
        for identifier in subscriptionIdentifiers {
            copy.properties.list.append(.subscriptionIdentifier(identifier))
        }
        return copy
    }

    /// The message for queues, shared by all of them.
    mutating func queued() -> QueuedMessage {
        if let waiting { return waiting }
        let message = QueuedMessage(publish, receivedAt: now)
        waiting = message
        return message
    }

    /// The shared encoding without retain and without subscription identifiers, which is what nearly all get.
    mutating func shared(qos: QoS, version: ProtocolVersion) -> (bytes: ByteBuffer, place: Int?) {
        let slot = (version == .v5_0 ? 3 : 0) + Int(qos.rawValue)
        if let known = encoded[slot] { return (known.bytes, known.place) }
        let copy = copy(qos: qos, retain: false, subscriptionIdentifiers: [])
        var bytes = allocator.buffer(capacity: copy.wireSize(version: version))
        let place = copy.write(into: &bytes, version: version)
        encoded[slot] = Encoded(bytes: bytes, place: place)
        return (bytes, place)
    }
}
