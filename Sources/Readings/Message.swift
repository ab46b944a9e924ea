/// The name of a delivery class: bounds, overflow and order are set per class, and each class is one stream with
/// its own gapless sequence. Letters, digits, `-` and `_`, 1…32 bytes (checked by the settings).
package struct DeliveryClass: Hashable, Sendable, CustomStringConvertible {
    package var name: String

    package init(_ name: String) { self.name = name }

    package var description: String { name }

    /// Built in; readings fall into it unless a rule says otherwise.
    package static let telemetry = DeliveryClass("telemetry")
    /// Built in for what happened and must not be missed: alarms, transactions.
    package static let events = DeliveryClass("events")
    /// Built in for what may wait: logs, files, pictures.
    package static let bulk = DeliveryClass("bulk")
}

/// What goes upstream, always at least once (QoS 1): QoS 0 would lose it and QoS 2 adds a round trip to a
/// promise that stream, epoch and sequence already give.
package struct Message: Hashable, Sendable {
    package enum Format: UInt8, Hashable, Sendable {
        /// A device's payload, kept byte for byte.
        case opaque = 0
        /// A JSON object written by the pipeline; its sequence is added when it is sent.
        case reading = 1
    }

    /// The upstream topic, remapped already; a valid MQTT topic name.
    package var topic: String
    package var payload: [UInt8]
    package var format: Format
    package var retain: Bool
    package var deliveryClass: DeliveryClass
    package var time: Timestamp
    /// How long after `time` it is of no use any more, in elapsed time; `nil`: it stays of use.
    package var expiry: Duration?
    /// What its publisher said of it beside the payload.
    package var properties: MessageProperties?

    package init(
        topic: String, payload: [UInt8], format: Format = .opaque, retain: Bool = false,
        deliveryClass: DeliveryClass = .telemetry, time: Timestamp, expiry: Duration? = nil,
        properties: MessageProperties? = nil
    ) {
        self.topic = topic
        self.payload = payload
        self.format = format
        self.retain = retain
        self.deliveryClass = deliveryClass
        self.time = time
        self.expiry = expiry
        self.properties = properties
    }
}

/// What the gateway itself publishes to the LAN: a sensor's reading, or a command accepted from upstream.
package struct LocalMessage: Hashable, Sendable {
    /// A valid MQTT topic name.
    package var topic: String
    package var payload: [UInt8]
    package var retain: Bool
    /// For how long it is of use; `nil`: it stays so.
    package var expiry: Duration?
    package var properties: MessageProperties?

    package init(
        topic: String, payload: [UInt8], retain: Bool = false, expiry: Duration? = nil,
        properties: MessageProperties? = nil
    ) {
        self.topic = topic
        self.payload = payload
        self.retain = retain
        self.expiry = expiry
        self.properties = properties
    }
}
