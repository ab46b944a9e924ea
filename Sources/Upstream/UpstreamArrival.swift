package import Readings

/// A message that came from upstream on one of the subscribed filters.
package struct UpstreamArrival: Hashable, Sendable {
    /// The upstream topic, not remapped yet.
    package var topic: String
    package var payload: [UInt8]
    /// With MQTT 5.0 as the publisher set it; with 3.1.1 only set on what was stored before the subscription.
    package var retain: Bool
    /// How long it is still of use (5.0); `nil`: it stays of use.
    package var expiry: Duration?
    /// What its publisher said of it (5.0).
    package var properties: MessageProperties?
    /// The broker may have kept it for a while: it is retained, or came just after a session was taken up again.
    package var mayHaveWaited: Bool

    package init(
        topic: String, payload: [UInt8], retain: Bool, expiry: Duration? = nil,
        properties: MessageProperties? = nil, mayHaveWaited: Bool = false
    ) {
        self.topic = topic
        self.payload = payload
        self.retain = retain
        self.expiry = expiry
        self.properties = properties
        self.mayHaveWaited = mayHaveWaited
    }
}
