import NIOCore

/// One message that waits for sessions, shared by all of them.
///
/// Belongs to the event loop of the broker that made it: not Sendable, and its counters need no lock.
package final class QueuedMessage {
    /// As it was published, with a payload of its own: it must not keep the read alive that it was a slice of. Without
    /// packet identifier, DUP and subscription identifiers.
    package let publish: Publish
    /// Monotonic nanoseconds; waiting counts from here.
    package let receivedAt: Int64
    /// Its number in the session store; 0: it is not there.
    package var storeNumber: UInt64 = 0
    /// Queues of stored sessions that hold it.
    package var references = 0

    package init(_ publish: Publish, receivedAt: Int64) {
        var own = publish
        own.payload = ByteBuffer(bytes: publish.payload.readableBytesView)
        own.packetIdentifier = nil
        own.dup = false
        self.publish = own
        self.receivedAt = receivedAt
    }

    /// What it counts against a byte bound.
    package var size: Int { publish.queuedSize }

    /// Its message expiry has passed [MQTT-3.3.2-5].
    package func isExpired(now: Int64) -> Bool {
        guard let expiry = publish.properties.messageExpiryInterval else { return false }
        return now - receivedAt >= Int64(expiry) * 1_000_000_000
    }
}

/// One message on its way to one session, as that session gets it.
package struct Delivery {
    package var message: QueuedMessage
    package var qos: QoS
    package var retain: Bool
    package var subscriptionIdentifiers: [UInt32]
    /// Its place in the session's order, never used twice in a session; names it in the session store.
    package var number: UInt64

    package init(
        message: QueuedMessage, qos: QoS, retain: Bool = false, subscriptionIdentifiers: [UInt32] = [],
        number: UInt64 = 0
    ) {
        self.message = message
        self.qos = qos
        self.retain = retain
        self.subscriptionIdentifiers = subscriptionIdentifiers
        self.number = number
    }

    /// The packet to send, its message expiry lowered by the time it waited.
    package func publish(packetIdentifier: UInt16?, dup: Bool, now: Int64) -> Publish {
        var publish = message.publish
        publish.qos = qos
        publish.retain = retain
        publish.dup = dup
        publish.packetIdentifier = packetIdentifier
        publish.properties = publish.properties.waited((now - message.receivedAt) / 1_000_000_000)
        for identifier in subscriptionIdentifiers {
            publish.properties.list.append(.subscriptionIdentifier(identifier))
        }
        return publish
    }
}
