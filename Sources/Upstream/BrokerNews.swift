internal import CMosquitto

/// What libmosquitto's callbacks reported, until the link's thread picks it up after the call that caused them.
///
/// The callbacks get this object, never the client: it owns nothing that could call back into the library. Bounded by
/// what one read handles: the window's acknowledgements and as many messages.
final class BrokerNews {
    struct Answer: Hashable {
        /// Zero for success.
        var code: UInt8
        var receiveMaximum: Int?
        var maximumPacketBytes: Int?
        var supportsQoS1 = true
    }

    struct Acknowledgement: Hashable {
        var packetIdentifier: Int32
        var reason: UInt8
    }

    struct SubscriptionAnswer: Hashable {
        var packetIdentifier: Int32
        var reason: UInt8
    }

    var answer: Answer?
    var acknowledgements: [Acknowledgement] = []
    var subscriptions: [SubscriptionAnswer] = []
    var arrivals: [UpstreamArrival] = []
    /// The reason code of the broker's DISCONNECT.
    var disconnectReason: UInt8?
    /// The library's last complaint, for a person to read.
    var complaint: String?
    var discarded: UInt64 = 0

    private let filters: [String]
    private let maximumPayloadBytes: Int

    init(filters: [String], maximumPayloadBytes: Int) {
        self.filters = filters
        self.maximumPayloadBytes = maximumPayloadBytes
    }

    /// Sets the callbacks of a client that was made with this object's address.
    static func listen(to client: OpaquePointer) {
        mosquitto_connect_v5_callback_set(client) { _, news, code, _, properties in
            BrokerNews.at(news)?.answered(code, properties)
        }
        mosquitto_disconnect_v5_callback_set(client) { client, news, code, _ in
            // Also called for errors of the library's own, which the loop's return value tells better.
            guard (0x81...0xFF).contains(code) else { return }
            BrokerNews.at(news)?.disconnectReason = UInt8(code)
        }
        mosquitto_publish_v5_callback_set(client) { _, news, packetIdentifier, reason, _ in
            BrokerNews.at(news)?.acknowledgements.append(
                Acknowledgement(packetIdentifier: packetIdentifier, reason: UInt8(clamping: reason))
            )
        }
        mosquitto_subscribe_v5_callback_set(client) { _, news, packetIdentifier, count, granted, _ in
            guard count > 0, let granted else { return }
            BrokerNews.at(news)?.subscriptions.append(
                SubscriptionAnswer(packetIdentifier: packetIdentifier, reason: UInt8(clamping: granted[0]))
            )
        }
        mosquitto_message_v5_callback_set(client) { _, news, message, _ in
            guard let message else { return }
            BrokerNews.at(news)?.received(message.pointee)
        }
        mosquitto_log_callback_set(client) { _, news, level, text in
            guard level & Int32(MOSQ_LOG_ERR | MOSQ_LOG_WARNING) != 0, let text else { return }
            BrokerNews.at(news)?.complaint = String(cString: text)
        }
    }

    private static func at(_ pointer: UnsafeMutableRawPointer?) -> BrokerNews? {
        pointer.map { Unmanaged<BrokerNews>.fromOpaque($0).takeUnretainedValue() }
    }

    private func answered(_ code: Int32, _ properties: OpaquePointer?) {
        var answer = Answer(code: UInt8(clamping: code))
        var receiveMaximum: UInt16 = 0
        if mosquitto_property_read_int16(properties, Int32(MQTT_PROP_RECEIVE_MAXIMUM.rawValue), &receiveMaximum, false)
            != nil
        {
            answer.receiveMaximum = Int(receiveMaximum)
        }
        var maximumPacketBytes: UInt32 = 0
        if mosquitto_property_read_int32(
            properties, Int32(MQTT_PROP_MAXIMUM_PACKET_SIZE.rawValue), &maximumPacketBytes, false
        ) != nil {
            answer.maximumPacketBytes = Int(maximumPacketBytes)
        }
        var maximumQoS: UInt8 = 0
        if mosquitto_property_read_byte(properties, Int32(MQTT_PROP_MAXIMUM_QOS.rawValue), &maximumQoS, false) != nil {
            answer.supportsQoS1 = maximumQoS >= 1
        }
        self.answer = answer
    }

    /// A session may still hold subscriptions of an earlier configuration, hence the check against the filters.
    private func received(_ message: mosquitto_message) {
        let length = Int(message.payloadlen)
        guard let topic = message.topic, length <= maximumPayloadBytes,
            filters.contains(where: { filter in
                var matches = false
                return mosquitto_topic_matches_sub(filter, topic, &matches) == MOSQ_ERR_SUCCESS.intValue && matches
            })
        else {
            discarded += 1
            return
        }
        arrivals.append(
            UpstreamArrival(
                topic: String(cString: topic),
                payload: [UInt8](UnsafeRawBufferPointer(start: message.payload, count: length)), retain: message.retain
            )
        )
    }
}
