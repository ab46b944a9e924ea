internal import CMosquitto
internal import Outbox
internal import Readings

/// A claimed message as it goes over the wire.
struct Envelope {
    /// The last epoch, and its digits.
    private var known: (epoch: UInt64, digits: String) = (0, "")

    /// Bytes of the PUBLISH packet (MQTT 5.0 §3.3, 3.1.1 §3.3), to compare with the broker's maximum packet size:
    /// libmosquitto 2.0's own check forgets two bytes, and the broker would close the connection over them.
    func packetBytes(of claimed: OutboxStore.Claimed, payloadBytes: Int, version: WireVersion) -> Int {
        var remaining = 2 + claimed.message.topic.utf8.count + 2 + payloadBytes
        if version == .v5 {
            let values =
                claimed.stream.utf8.count + 16 + decimalDigits(claimed.sequence)
                + claimed.boot.name.utf8.count + claimed.message.time.quality.rawValue.utf8.count
                + decimalDigits(unixMilliseconds(claimed))
            let names = "stream".utf8.count + "epoch".utf8.count + "seq".utf8.count + "boot".utf8.count + 2 + 2
            let historical = claimed.isHistorical ? 5 + "historical".utf8.count + "1".utf8.count : 0
            let up = upMilliseconds(claimed)
            let upBytes = up < 0 ? 0 : 5 + "up".utf8.count + decimalDigits(up)
            let expiry = claimed.remaining == nil ? 0 : 5
            let properties =
                6 * 5 + names + values + upBytes + historical + expiry
                + (claimed.message.properties?.packetBytes ?? 0)
            remaining += variableLengthBytes(properties) + properties
        }
        return 1 + variableLengthBytes(remaining) + remaining
    }

    /// Calls `body` with the user properties as C strings.
    mutating func withProperties<R>(
        of claimed: OutboxStore.Claimed, _ body: (UnsafePointer<cmosquitto_envelope>) -> R
    ) -> R {
        if known.epoch != claimed.epoch { known = (claimed.epoch, claimed.epochDigits) }
        let epoch = known.digits
        return claimed.stream.withCString { stream in
            epoch.withCString { epoch in
                claimed.boot.name.withCString { boot in
                    claimed.message.time.quality.rawValue.withCString { quality in
                        var properties = cmosquitto_envelope(
                            stream: stream, epoch: epoch, boot: boot, time_quality: quality,
                            sequence: claimed.sequence, unix_milliseconds: unixMilliseconds(claimed),
                            up_milliseconds: upMilliseconds(claimed), is_historical: claimed.isHistorical
                        )
                        return body(&properties)
                    }
                }
            }
        }
    }

    /// What the publisher said of the message, and how long it is of use, as properties of the library's, which
    /// whoever gets them frees. What a broker may end the connection for is left out.
    func properties(of claimed: OutboxStore.Claimed) throws(LinkFault) -> OpaquePointer? {
        guard claimed.remaining != nil || claimed.message.properties != nil else { return nil }
        var list = PropertyList()
        if let remaining = claimed.remaining {
            list.add(MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, UInt32(clamping: max(1, remaining.components.seconds)))
        }
        if let properties = claimed.message.properties {
            if properties.isText { list.add(MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, UInt8(1)) }
            if let type = properties.contentType, type.isPublishable { list.add(MQTT_PROP_CONTENT_TYPE, type) }
            if let topic = properties.responseTopic, topic.isPublishable { list.add(MQTT_PROP_RESPONSE_TOPIC, topic) }
            if let data = properties.correlationData { list.add(MQTT_PROP_CORRELATION_DATA, data) }
            for hop in properties.hops where hop.isPublishable { list.add(MessageProperties.hopName, hop) }
            for property in properties.user where property.name.isPublishable && property.value.isPublishable {
                list.add(property.name, property.value)
            }
        }
        return try list.take()
    }

    private func unixMilliseconds(_ claimed: OutboxStore.Claimed) -> Int64 {
        claimed.message.time.unixNanoseconds / 1_000_000
    }

    /// Where nobody vouches for the wall clock, the boot's own is what is known.
    private func upMilliseconds(_ claimed: OutboxStore.Claimed) -> Int64 {
        claimed.message.time.quality == .unsynced ? max(0, claimed.message.time.instant.nanoseconds / 1_000_000) : -1
    }

    private func decimalDigits(_ number: Int64) -> Int {
        var rest = number.magnitude
        var digits = number < 0 ? 2 : 1
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        return digits
    }

    /// MQTT 5.0 §1.5.5.
    private func variableLengthBytes(_ value: Int) -> Int {
        switch value {
        case ..<128: 1
        case ..<16_384: 2
        case ..<2_097_152: 3
        default: 4
        }
    }
}

extension String {
    /// Without the characters that a receiver may close the connection over (MQTT 5.0 §1.5.4); libmosquitto does not
    /// send most of them.
    fileprivate var isPublishable: Bool {
        unicodeScalars.allSatisfy { scalar in
            switch scalar.value {
            case 0...0x1F, 0x7F...0x9F, 0xFDD0...0xFDEF: false
            case let value: value & 0xFFFE != 0xFFFE
            }
        }
    }
}

extension MessageProperties {
    /// Bytes that they take in a packet (MQTT 5.0 §2.2.2.2).
    fileprivate var packetBytes: Int {
        var bytes = isText ? 2 : 0
        if let contentType { bytes += 3 + contentType.utf8.count }
        if let responseTopic { bytes += 3 + responseTopic.utf8.count }
        if let correlationData { bytes += 3 + correlationData.count }
        for hop in hops { bytes += 5 + Self.hopName.utf8.count + hop.utf8.count }
        for property in user { bytes += 5 + property.name.utf8.count + property.value.utf8.count }
        return bytes
    }
}
