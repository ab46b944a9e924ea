package import NIOCore

extension Packet {
    /// Appends the packet's exact wire form for `version` to `buffer`, its size reserved first. In 3.1.1, reasons and
    /// properties are left out or mapped; a DISCONNECT or AUTH from a server does not exist there and must not be
    /// asked for.
    package func write(into buffer: inout ByteBuffer, version: ProtocolVersion) {
        let isV5 = version == .v5_0
        switch self {
        case .connect(let packet): packet.write(into: &buffer)
        case .connack(let packet):
            Self.frame(.connack, 2 + (isV5 ? packet.properties.wireSize : 0), into: &buffer) { buffer in
                buffer.writeInteger(UInt8(packet.sessionPresent ? 1 : 0))
                buffer.writeInteger(isV5 ? packet.reason.rawValue : packet.reason.connectReturnCode)
                if isV5 { packet.properties.write(into: &buffer) }
            }
        case .publish(let packet): packet.write(into: &buffer, version: version)
        case .puback(let packet): packet.write(.puback, into: &buffer, version: version)
        case .pubrec(let packet): packet.write(.pubrec, into: &buffer, version: version)
        case .pubrel(let packet): packet.write(.pubrel, into: &buffer, version: version)
        case .pubcomp(let packet): packet.write(.pubcomp, into: &buffer, version: version)
        case .subscribe(let packet):
            let size = packet.filters.reduce(2 + (isV5 ? packet.properties.wireSize : 0)) {
                $0 + 3 + $1.filter.utf8.count
            }
            Self.frame(.subscribe, size, into: &buffer) { buffer in
                buffer.writeInteger(packet.packetIdentifier)
                if isV5 { packet.properties.write(into: &buffer) }
                for filter in packet.filters {
                    buffer.writeMQTTString(filter.filter)
                    buffer.writeInteger(isV5 ? filter.options : filter.qos.rawValue)
                }
            }
        case .suback(let packet):
            let size = 2 + (isV5 ? packet.properties.wireSize : 0) + packet.reasons.count
            Self.frame(.suback, size, into: &buffer) { buffer in
                buffer.writeInteger(packet.packetIdentifier)
                if isV5 { packet.properties.write(into: &buffer) }
                for reason in packet.reasons {
                    // 3.1.1 knows one failure only [MQTT-3.9.3-2].
                    buffer.writeInteger(isV5 || !reason.isError ? reason.rawValue : 0x80)
                }
            }
        case .unsubscribe(let packet):
            let size = packet.filters.reduce(2 + (isV5 ? packet.properties.wireSize : 0)) { $0 + 2 + $1.utf8.count }
            Self.frame(.unsubscribe, size, into: &buffer) { buffer in
                buffer.writeInteger(packet.packetIdentifier)
                if isV5 { packet.properties.write(into: &buffer) }
                for filter in packet.filters { buffer.writeMQTTString(filter) }
            }
        case .unsuback(let packet):
            let size = isV5 ? 2 + packet.properties.wireSize + packet.reasons.count : 2
            Self.frame(.unsuback, size, into: &buffer) { buffer in
                buffer.writeInteger(packet.packetIdentifier)
                if isV5 {
                    packet.properties.write(into: &buffer)
                    for reason in packet.reasons { buffer.writeInteger(reason.rawValue) }
                }
            }
        case .pingreq: Self.frame(.pingreq, 0, into: &buffer) { _ in }
        case .pingresp: Self.frame(.pingresp, 0, into: &buffer) { _ in }
        case .disconnect(let packet):
            Self.reasoned(
                .disconnect, isV5 ? packet.reason : .success, isV5 ? packet.properties : Properties(), into: &buffer)
        case .auth(let packet): Self.reasoned(.auth, packet.reason, packet.properties, into: &buffer)
        }
    }

    /// Bytes on the wire, the fixed header included.
    package func wireSize(version: ProtocolVersion) -> Int {
        if case .publish(let publish) = self { return publish.wireSize(version: version) }
        var buffer = ByteBuffer()
        write(into: &buffer, version: version)
        return buffer.readableBytes
    }

    /// Fixed header and body of a packet other than PUBLISH.
    fileprivate static func frame(
        _ type: PacketType, _ length: Int, into buffer: inout ByteBuffer, _ body: (inout ByteBuffer) -> Void
    ) {
        buffer.reserveCapacity(minimumWritableBytes: 5 + length)
        buffer.writeInteger(type.rawValue << 4 | type.flags)
        VariableByteInteger.write(length, into: &buffer)
        body(&buffer)
    }

    /// DISCONNECT and AUTH: nothing at all for plain success, the reason alone without properties (§3.14.2.1).
    private static func reasoned(
        _ type: PacketType, _ reason: ReasonCode, _ properties: Properties, into buffer: inout ByteBuffer
    ) {
        if reason == .success, properties.isEmpty { return frame(type, 0, into: &buffer) { _ in } }
        frame(type, 1 + (properties.isEmpty ? 0 : properties.wireSize), into: &buffer) { buffer in
            buffer.writeInteger(reason.rawValue)
            if !properties.isEmpty { properties.write(into: &buffer) }
        }
    }
}

extension Subscribe.Filter {
    /// The 5.0 subscription options byte (§3.8.3.1).
    package var options: UInt8 {
        qos.rawValue | (noLocal ? 0x04 : 0) | (retainAsPublished ? 0x08 : 0) | retainHandling.rawValue << 4
    }
}

extension Acknowledgement {
    /// Success without properties takes the short form (§3.4.2.1).
    fileprivate func write(_ type: PacketType, into buffer: inout ByteBuffer, version: ProtocolVersion) {
        if version != .v5_0 || reason == .success && properties.isEmpty {
            return Packet.frame(type, 2, into: &buffer) { $0.writeInteger(packetIdentifier) }
        }
        Packet.frame(type, 3 + (properties.isEmpty ? 0 : properties.wireSize), into: &buffer) { buffer in
            buffer.writeInteger(packetIdentifier)
            buffer.writeInteger(reason.rawValue)
            if !properties.isEmpty { properties.write(into: &buffer) }
        }
    }
}

extension Publish {
    /// Bytes on the wire, the fixed header included.
    package func wireSize(version: ProtocolVersion) -> Int {
        let length = remainingLength(version: version)
        return 1 + VariableByteInteger.size(length) + length
    }

    private func remainingLength(version: ProtocolVersion) -> Int {
        2 + topic.utf8.count + (qos == .atMostOnce ? 0 : 2) + (version == .v5_0 ? properties.wireSize : 0)
            + payload.readableBytes
    }

    /// Appends the packet; returns where its packet identifier stands, for a copy that differs only there.
    @discardableResult
    package func write(into buffer: inout ByteBuffer, version: ProtocolVersion) -> Int? {
        let length = remainingLength(version: version)
        buffer.reserveCapacity(minimumWritableBytes: 5 + length)
        let flags: UInt8 = (dup ? 0x08 : 0) | qos.rawValue << 1 | (retain ? 0x01 : 0)
        buffer.writeInteger(PacketType.publish.rawValue << 4 | flags)
        VariableByteInteger.write(length, into: &buffer)
        buffer.writeMQTTString(topic)
        var place: Int?
        if qos != .atMostOnce {
            place = buffer.writerIndex
            buffer.writeInteger(packetIdentifier ?? 0)
        }
        if version == .v5_0 { properties.write(into: &buffer) }
        buffer.writeImmutableBuffer(payload)
        return place
    }
}

extension Connect {
    fileprivate func write(into buffer: inout ByteBuffer) {
        let isV5 = version == .v5_0
        var length =
            6 + version.protocolName.utf8.count + (isV5 ? properties.wireSize : 0) + 2 + clientIdentifier.utf8.count
        var flags: UInt8 = cleanStart ? 0x02 : 0
        if let will {
            flags |= 0x04 | will.qos.rawValue << 3 | (will.retain ? 0x20 : 0)
            length += (isV5 ? will.properties.wireSize : 0) + 4 + will.topic.utf8.count + will.payload.readableBytes
        }
        if let userName {
            flags |= 0x80
            length += 2 + userName.utf8.count
        }
        if let password {
            flags |= 0x40
            length += 2 + password.readableBytes
        }
        Packet.frame(.connect, length, into: &buffer) { buffer in
            buffer.writeMQTTString(version.protocolName)
            buffer.writeInteger(version.rawValue)
            buffer.writeInteger(flags)
            buffer.writeInteger(keepAlive)
            if isV5 { properties.write(into: &buffer) }
            buffer.writeMQTTString(clientIdentifier)
            if let will {
                if isV5 { will.properties.write(into: &buffer) }
                buffer.writeMQTTString(will.topic)
                buffer.writeMQTTBinary(will.payload)
            }
            if let userName { buffer.writeMQTTString(userName) }
            if let password { buffer.writeMQTTBinary(password) }
        }
    }
}
