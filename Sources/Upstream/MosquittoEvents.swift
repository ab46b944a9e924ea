internal import CMosquitto
internal import Glibc
internal import Readings

/// What libmosquitto's callbacks reported, until the link's thread picks it up after the call that caused them.
///
/// The callbacks get this object, never the client: it owns nothing that could call back into the library. Bounded by
/// what one read handles: the window's acknowledgements and as many messages.
final class MosquittoEvents {
    struct Answer: Hashable {
        /// Zero for success.
        var code: UInt8
        /// The broker has kept our session: subscriptions, and messages that came meanwhile.
        var isSessionPresent = false
        var receiveMaximum: Int?
        var maximumPacketBytes: Int?
        var supportsQoS1 = true
        var supportsSubscriptionIdentifiers = true
        /// The client identifier that the broker chose, as we had none.
        var assignedIdentifier: String?
    }

    struct Acknowledgement: Hashable {
        var packetIdentifier: Int32
        var reason: UInt8
    }

    struct SubscriptionAnswer: Hashable {
        var packetIdentifier: Int32
        var reason: UInt8
    }

    /// A message as it came.
    struct Incoming {
        var arrival: UpstreamArrival
        /// Of the subscriptions that it came for, as far as the broker says.
        var subscriptions: [UInt32]
    }

    var answer: Answer?
    var acknowledgements: [Acknowledgement] = []
    var subscriptions: [SubscriptionAnswer] = []
    /// Packet identifiers of UNSUBACKs.
    var unsubscriptions: [Int32] = []
    var incoming: [Incoming] = []
    /// The reason code of the broker's DISCONNECT.
    var disconnectReason: UInt8?
    /// The library's last complaint, for a person to read.
    var complaint: String?
    /// A message has come that the library acknowledges.
    var wantsAcknowledgement = false
    /// Messages that were larger than allowed.
    var discarded: UInt64 = 0

    private let maximumPayloadBytes: Int

    init(maximumPayloadBytes: Int) { self.maximumPayloadBytes = maximumPayloadBytes }

    /// Sets the callbacks of a client that was made with this object's address.
    static func listen(to client: OpaquePointer) {
        mosquitto_connect_v5_callback_set(client) { _, events, code, flags, properties in
            MosquittoEvents.at(events)?.answered(code, flags: flags, properties)
        }
        mosquitto_disconnect_v5_callback_set(client) { client, events, code, _ in
            // Also called for errors of the library's own, which the loop's return value tells better.
            guard (0x81...0xFF).contains(code) else { return }
            MosquittoEvents.at(events)?.disconnectReason = UInt8(code)
        }
        mosquitto_publish_v5_callback_set(client) { _, events, packetIdentifier, reason, _ in
            MosquittoEvents.at(events)?.acknowledgements.append(
                Acknowledgement(packetIdentifier: packetIdentifier, reason: UInt8(clamping: reason))
            )
        }
        mosquitto_subscribe_v5_callback_set(client) { _, events, packetIdentifier, count, granted, _ in
            guard count > 0, let granted else { return }
            MosquittoEvents.at(events)?.subscriptions.append(
                SubscriptionAnswer(packetIdentifier: packetIdentifier, reason: UInt8(clamping: granted[0]))
            )
        }
        mosquitto_unsubscribe_v5_callback_set(client) { _, events, packetIdentifier, _ in
            MosquittoEvents.at(events)?.unsubscriptions.append(packetIdentifier)
        }
        mosquitto_message_v5_callback_set(client) { _, events, message, properties in
            guard let message else { return }
            MosquittoEvents.at(events)?.received(message.pointee, properties)
        }
        mosquitto_log_callback_set(client) { _, events, level, text in
            guard level & Int32(MOSQ_LOG_ERR | MOSQ_LOG_WARNING) != 0, let text else { return }
            MosquittoEvents.at(events)?.complaint = String(cString: text)
        }
    }

    /// The library writes a line for each packet for as long as somebody listens, which costs it as much as sending
    /// the packet does. What it complains of is of interest until the broker has let us in.
    static func ignoreLog(of client: OpaquePointer) { mosquitto_log_callback_set(client, nil) }

    private static func at(_ pointer: UnsafeMutableRawPointer?) -> MosquittoEvents? {
        pointer.map { Unmanaged<MosquittoEvents>.fromOpaque($0).takeUnretainedValue() }
    }

    private func answered(_ code: Int32, flags: Int32, _ properties: OpaquePointer?) {
        var answer = Answer(code: UInt8(clamping: code), isSessionPresent: flags & 1 != 0)
        answer.receiveMaximum = properties.integer16(MQTT_PROP_RECEIVE_MAXIMUM).map { Int($0) }
        answer.maximumPacketBytes = properties.integer32(MQTT_PROP_MAXIMUM_PACKET_SIZE).map { Int($0) }
        answer.supportsQoS1 = properties.byte(MQTT_PROP_MAXIMUM_QOS) != 0
        answer.supportsSubscriptionIdentifiers = properties.byte(MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE) != 0
        answer.assignedIdentifier = properties.text(MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER)
        self.answer = answer
    }

    private func received(_ message: mosquitto_message, _ properties: OpaquePointer?) {
        let length = Int(message.payloadlen)
        guard let topic = message.topic, length <= maximumPayloadBytes else {
            discarded += 1
            return
        }
        if message.qos > 0 { wantsAcknowledgement = true }
        var arrival = UpstreamArrival(
            topic: String(cString: topic),
            payload: [UInt8](UnsafeRawBufferPointer(start: message.payload, count: length)), retain: message.retain)
        guard properties != nil else {
            incoming.append(Incoming(arrival: arrival, subscriptions: []))
            return
        }
        arrival.expiry = properties.integer32(MQTT_PROP_MESSAGE_EXPIRY_INTERVAL).map { .seconds(Int64($0)) }
        arrival.properties = .received(
            isText: properties.byte(MQTT_PROP_PAYLOAD_FORMAT_INDICATOR) == 1,
            contentType: properties.text(MQTT_PROP_CONTENT_TYPE),
            responseTopic: properties.text(MQTT_PROP_RESPONSE_TOPIC),
            correlationData: properties.data(MQTT_PROP_CORRELATION_DATA), user: properties.userProperties)
        incoming.append(Incoming(arrival: arrival, subscriptions: properties.subscriptionIdentifiers))
    }
}

/// A list of properties as the library hands it to a callback; reading it changes nothing.
extension OpaquePointer? {
    fileprivate func byte(_ kind: mqtt5_property) -> UInt8? {
        var value: UInt8 = 0
        return mosquitto_property_read_byte(self, Int32(kind.rawValue), &value, false) == nil ? nil : value
    }

    fileprivate func integer16(_ kind: mqtt5_property) -> UInt16? {
        var value: UInt16 = 0
        return mosquitto_property_read_int16(self, Int32(kind.rawValue), &value, false) == nil ? nil : value
    }

    fileprivate func integer32(_ kind: mqtt5_property) -> UInt32? {
        var value: UInt32 = 0
        return mosquitto_property_read_int32(self, Int32(kind.rawValue), &value, false) == nil ? nil : value
    }

    fileprivate func text(_ kind: mqtt5_property) -> String? {
        var value: UnsafeMutablePointer<CChar>?
        guard mosquitto_property_read_string(self, Int32(kind.rawValue), &value, false) != nil, let value else {
            return nil
        }
        defer { free(value) }
        return String(cString: value)
    }

    fileprivate func data(_ kind: mqtt5_property) -> [UInt8]? {
        var value: UnsafeMutableRawPointer?
        var length: UInt16 = 0
        guard mosquitto_property_read_binary(self, Int32(kind.rawValue), &value, &length, false) != nil else {
            return nil
        }
        defer { free(value) }
        return [UInt8](UnsafeRawBufferPointer(start: value, count: Int(length)))
    }

    fileprivate var userProperties: [MessageProperties.UserProperty] {
        var found: [MessageProperties.UserProperty] = []
        var position = self
        while true {
            var name: UnsafeMutablePointer<CChar>?
            var value: UnsafeMutablePointer<CChar>?
            position = mosquitto_property_read_string_pair(
                position, Int32(MQTT_PROP_USER_PROPERTY.rawValue), &name, &value, !found.isEmpty)
            guard position != nil, let name, let value else { return found }
            found.append(MessageProperties.UserProperty(String(cString: name), String(cString: value)))
            free(name)
            free(value)
        }
    }

    fileprivate var subscriptionIdentifiers: [UInt32] {
        var found: [UInt32] = []
        var position = self
        while true {
            var value: UInt32 = 0
            position = mosquitto_property_read_varint(
                position, Int32(MQTT_PROP_SUBSCRIPTION_IDENTIFIER.rawValue), &value, !found.isEmpty)
            guard position != nil else { return found }
            found.append(value)
        }
    }
}
