internal import MQTT
internal import NIOCore

/// A PUBLISH as the state file keeps it: its MQTT 5.0 wire form, so that the file needs no format of its own.
enum PublishBlob {
    static func encode(_ publish: Publish) -> [UInt8] {
        var publish = publish
        // The wire form has a packet identifier above QoS 0; which one is of no meaning here.
        publish.packetIdentifier = publish.qos == .atMostOnce ? nil : 1
        publish.dup = false
        var buffer = ByteBuffer()
        publish.write(into: &buffer, version: .v5_0)
        return Array(buffer.readableBytesView)
    }

    /// `nil` for bytes that are no PUBLISH: a damaged row, which is skipped.
    static func decode(_ bytes: [UInt8]) -> Publish? {
        var decoder = PacketDecoder(role: .client, version: .v5_0, maximumPacketSize: .max)
        var buffer = ByteBuffer(bytes: bytes)
        guard case .publish(var publish)? = try? decoder.next(from: &buffer) else { return nil }
        publish.packetIdentifier = nil
        return publish
    }
}

extension Will {
    /// The will as a PUBLISH; its delay, which a PUBLISH cannot carry, apart.
    var publish: (Publish, delay: UInt32) {
        var publish = Publish(topic: topic, payload: payload, qos: qos, retain: retain, properties: properties)
        publish.properties.removeHopProperties()
        return (publish, properties.willDelayInterval ?? 0)
    }

    init(_ publish: Publish, delay: UInt32) {
        var properties = publish.properties
        if delay > 0 { properties.list.append(.willDelayInterval(delay)) }
        self.init(
            topic: publish.topic, payload: publish.payload, qos: publish.qos, retain: publish.retain,
            properties: properties)
    }
}
