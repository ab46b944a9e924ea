/// Names one accepted publish whose acknowledgement is still owed to a device. Made and understood by the broker
/// alone; everybody else hands it back once the message is safe.
package struct SettleToken: Hashable, Sendable {
    /// The network connection the publish came in on; never reused while the process lives.
    package var connection: UInt64
    /// The publish's place in that connection's order.
    package var publication: UInt64

    package init(connection: UInt64, publication: UInt64) {
        self.connection = connection
        self.publication = publication
    }
}

/// One inbound item: a LAN device's publish or a sensor's sample, with where it came from and when.
package struct Arrival: Sendable {
    package enum Source: Hashable, Sendable {
        /// A LAN client, by its client identifier.
        case device(DeviceID)
        /// A local sensor, by its `id` in the settings.
        case sensor(DeviceID)
    }

    package enum Body: Hashable, Sendable {
        /// Bytes as they came, up to the listener's maximum packet size or a framing's maximum length.
        case payload([UInt8])
        /// Values a driver has already decoded; published together, with one time.
        case samples([Sample])
        /// No values: the sensor has failed, and why.
        case unavailable(reason: String)
    }

    package var source: Source
    /// The topic a device published to, or a sensor's `topic`. A valid MQTT topic name.
    package var topic: String
    package var body: Body
    /// The publisher asked that the message be retained.
    package var retain: Bool
    package var time: Timestamp
    /// How long after `time` the message is of no use any more; `nil`: it stays of use.
    package var expiry: Duration?
    /// What the publisher said of it beside the payload; `nil` where that is nothing.
    package var properties: MessageProperties?
    /// What to hand back once the message is safe; `nil` where nobody waits (QoS 0, sensors).
    package var settle: SettleToken?

    package init(
        source: Source, topic: String, body: Body, retain: Bool = false, time: Timestamp, expiry: Duration? = nil,
        properties: MessageProperties? = nil, settle: SettleToken? = nil
    ) {
        self.source = source
        self.topic = topic
        self.body = body
        self.retain = retain
        self.time = time
        self.expiry = expiry
        self.properties = properties
        self.settle = settle
    }
}
