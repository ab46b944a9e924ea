package import NIOCore

/// Turns a stream of bytes into packets (MQTT 3.1.1 and 5.0 §2, §3). Sans-IO: the owner feeds a buffer, the decoder
/// takes whole packets off it. After an error the connection is to be closed; the decoder is of no more use.
package struct PacketDecoder: Sendable {
    /// Which end of the connection decodes: each may send only its own packets.
    package enum Role: Sendable {
        case server
        case client
    }

    /// `nil` until the CONNECT is read (server role): then only a CONNECT decodes [MQTT-3.1.0-1].
    package private(set) var version: ProtocolVersion?
    /// Largest whole packet accepted, in bytes; checked on the fixed header, before anything is buffered.
    package var maximumPacketSize: Int
    /// The protocol level of a CONNECT that was refused for it: tells whether the client may understand a 5.0 answer.
    package private(set) var refusedLevel: UInt8?
    private let role: Role

    package init(role: Role = .server, version: ProtocolVersion? = nil, maximumPacketSize: Int) {
        self.role = role
        self.version = version
        self.maximumPacketSize = maximumPacketSize
    }

    /// The next whole packet, or `nil` when more bytes are needed. Copies topics and other strings, nothing else.
    package mutating func next(from buffer: inout ByteBuffer) throws(MQTTError) -> Packet? {
        var ahead = buffer
        guard let first = ahead.readInteger(as: UInt8.self) else { return nil }
        // What can be refused on the first byte is: the rest of a huge or hostile packet is never waited for.
        let type = try packetType(first)
        let length: Int
        switch VariableByteInteger.read(from: &ahead) {
        case .incomplete: return nil
        case .malformed: throw MQTTError(.malformedPacket, "\(type) remaining length is malformed [MQTT-1.5.5-1]")
        case .value(let value): length = value
        }
        let size = ahead.readerIndex - buffer.readerIndex + length
        guard size <= maximumPacketSize else {
            throw MQTTError(
                .packetTooLarge, "\(type) of \(size) bytes, \(maximumPacketSize) are accepted [MQTT-3.2.2-15]")
        }
        guard let body = ahead.readSlice(length: length) else { return nil }
        buffer = ahead
        var reader = WireReader(body, packet: "\(type)")
        if type == .connect { return .connect(try connect(&reader)) }
        guard let version else { preconditionFailure("only CONNECT is let through while there is no version") }
        return try packet(type, flags: first & 0x0F, version: version, &reader)
    }

    /// Checks type, direction and flags of the fixed header (§2.1).
    private func packetType(_ first: UInt8) throws(MQTTError) -> PacketType {
        if version == nil, let other = Self.otherProtocol(first) {
            throw MQTTError(.malformedPacket, "\(other) came where MQTT is spoken [MQTT-3.1.0-1]")
        }
        guard let type = PacketType(rawValue: first >> 4) else {
            throw MQTTError(.malformedPacket, "packet type \(first >> 4) is reserved")
        }
        if version == nil, type != .connect {
            throw MQTTError(.protocolError, "\(type) came before CONNECT [MQTT-3.1.0-1]")
        }
        if version != nil, type == .connect, role == .server {
            throw MQTTError(.protocolError, "a second CONNECT came [MQTT-3.1.0-2]")
        }
        guard type.senders.contains(role == .server ? .client : .server) else {
            throw MQTTError(.protocolError, "\(type) is not for this end of the connection to receive")
        }
        if type == .auth, version != .v5_0 {
            throw MQTTError(.malformedPacket, "packet type 15 is reserved in 3.1.1 [MQTT-2.2.2-1]")
        }
        // 3.1 sets DUP where a SUBSCRIBE, UNSUBSCRIBE or PUBREL is sent again (§2.1 there); 3.1.1 did away with it.
        let mayRepeat = version == .v3_1 && type.flags != 0
        if type != .publish, first & (mayRepeat ? 0x07 : 0x0F) != type.flags {
            throw MQTTError(.malformedPacket, "\(type) flags are \(first & 0x0F), not \(type.flags) [MQTT-2.1.3-1]")
        }
        return type
    }

    /// What else begins with such a byte, and never MQTT: most often a device has the wrong port.
    private static func otherProtocol(_ first: UInt8) -> String? {
        switch first {
        // A handshake record (RFC 8446 §5.1): as MQTT, CONNECT with flags.
        case 0x16: "TLS"
        // GET, HEAD, OPTIONS: as MQTT, PUBACK with flags.
        case UInt8(ascii: "G"), UInt8(ascii: "H"), UInt8(ascii: "O"): "HTTP"
        default: nil
        }
    }

    private func packet(
        _ type: PacketType, flags: UInt8, version: ProtocolVersion, _ reader: inout WireReader
    ) throws(MQTTError) -> Packet {
        switch type {
        case .connect: preconditionFailure("CONNECT is decoded before there is a version")
        case .connack: return .connack(try connack(&reader, version))
        case .publish: return .publish(try publish(&reader, flags, version))
        case .puback: return .puback(try acknowledgement(&reader, version, Self.publishReasons))
        case .pubrec: return .pubrec(try acknowledgement(&reader, version, Self.publishReasons))
        case .pubrel: return .pubrel(try acknowledgement(&reader, version, [.success, .packetIdentifierNotFound]))
        case .pubcomp: return .pubcomp(try acknowledgement(&reader, version, [.success, .packetIdentifierNotFound]))
        case .subscribe: return .subscribe(try subscribe(&reader, version))
        case .suback: return .suback(try suback(&reader, version))
        case .unsubscribe: return .unsubscribe(try unsubscribe(&reader, version))
        case .unsuback: return .unsuback(try unsuback(&reader, version))
        case .pingreq:
            try reader.expectEnd()
            return .pingreq
        case .pingresp:
            try reader.expectEnd()
            return .pingresp
        case .disconnect: return .disconnect(try disconnect(&reader, version))
        case .auth: return .auth(try auth(&reader))
        }
    }

    // MARK: CONNECT (§3.1)

    private mutating func connect(_ reader: inout WireReader) throws(MQTTError) -> Connect {
        let name = try reader.string("protocol name")
        let level = try reader.byte("protocol level")
        guard name == "MQTT" || name == "MQIsdp" else {
            refusedLevel = level
            throw MQTTError(.unsupportedProtocolVersion, "CONNECT protocol name is not \"MQTT\" [MQTT-3.1.2-1]")
        }
        guard let version = ProtocolVersion(rawValue: level), version.protocolName == name else {
            refusedLevel = level
            throw MQTTError(.unsupportedProtocolVersion, "CONNECT protocol level \(level) is not served [MQTT-3.1.2-2]")
        }
        self.version = version
        let flags = try reader.byte("connect flags")
        // 3.1 leaves the bit unused (§3.1 there): whatever a client has in it, it is served.
        guard flags & 0x01 == 0 || version == .v3_1 else {
            throw reader.malformed("reserved connect flag is set [MQTT-3.1.2-3]")
        }
        let hasWill = flags & 0x04 != 0
        guard let willQoS = QoS(rawValue: flags >> 3 & 0x03) else {
            throw reader.malformed("will QoS is 3 [MQTT-3.1.2-12]")
        }
        if !hasWill, flags & 0x38 != 0 {
            throw reader.malformed("has will QoS or will retain without a will [MQTT-3.1.2-11] [MQTT-3.1.2-13]")
        }
        let hasUserName = flags & 0x80 != 0
        let hasPassword = flags & 0x40 != 0
        if version != .v5_0, hasPassword, !hasUserName {
            throw reader.malformed("has a password without a user name [MQTT-3.1.2-22]")
        }
        let keepAlive = try reader.twoBytes("keep alive")
        let properties = version == .v5_0 ? try reader.properties(in: .connect) : Properties()
        let identifier = try reader.string("client identifier")
        var will: Will?
        if hasWill {
            let willProperties = version == .v5_0 ? try reader.properties(in: .will) : Properties()
            let topic = try reader.string("will topic")
            guard Topic.isValidName(topic) else {
                throw MQTTError(.topicNameInvalid, "CONNECT will topic is not a topic name [MQTT-3.3.2-2]")
            }
            will = Will(
                topic: topic, payload: try reader.binary("will payload"), qos: willQoS, retain: flags & 0x20 != 0,
                properties: willProperties)
        }
        // 3.1 lets a client set these flags without the strings, for the sake of its forerunner (§3.1 there).
        let mayEnd = version == .v3_1
        let userName = hasUserName && !(mayEnd && reader.isAtEnd) ? try reader.string("user name") : nil
        let password = hasPassword && !(mayEnd && reader.isAtEnd) ? try reader.binary("password") : nil
        try reader.expectEnd()
        if properties.authenticationData != nil, properties.authenticationMethod == nil {
            throw reader.protocolError("has authentication data without a method")
        }
        return Connect(
            version: version, cleanStart: flags & 0x02 != 0, keepAlive: keepAlive, clientIdentifier: identifier,
            will: will, userName: userName, password: password, properties: properties)
    }

    // MARK: CONNACK (§3.2)

    private func connack(_ reader: inout WireReader, _ version: ProtocolVersion) throws(MQTTError) -> Connack {
        let flags = try reader.byte("acknowledge flags")
        guard flags <= 1 else { throw reader.malformed("acknowledge flags are reserved [MQTT-3.2.2-1]") }
        let code = try reader.byte("reason code")
        let reason: ReasonCode
        if version == .v5_0 {
            guard let known = ReasonCode(rawValue: code), known == .success || known.isError else {
                throw reader.malformed("reason code \(code) is not one of its own [MQTT-3.2.2-8]")
            }
            reason = known
        } else {
            guard let known = ReasonCode(connectReturnCode: code) else {
                throw reader.malformed("return code \(code) is reserved")
            }
            reason = known
        }
        let properties = version == .v5_0 ? try reader.properties(in: .connack) : Properties()
        try reader.expectEnd()
        return Connack(sessionPresent: flags == 1, reason: reason, properties: properties)
    }

    // MARK: PUBLISH (§3.3)

    private func publish(
        _ reader: inout WireReader, _ flags: UInt8, _ version: ProtocolVersion
    ) throws(MQTTError) -> Publish {
        guard let qos = QoS(rawValue: flags >> 1 & 0x03) else { throw reader.malformed("QoS is 3 [MQTT-3.3.1-4]") }
        let dup = flags & 0x08 != 0
        if dup, qos == .atMostOnce { throw reader.malformed("DUP is set with QoS 0 [MQTT-3.3.1-2]") }
        let topic = try reader.string("topic name")
        let identifier = qos == .atMostOnce ? nil : try reader.packetIdentifier()
        let properties = version == .v5_0 ? try reader.properties(in: .publish) : Properties()
        if topic.isEmpty {
            guard properties.topicAlias != nil else {
                throw reader.protocolError("has neither a topic name nor a topic alias [MQTT-4.7.3-1]")
            }
        } else if !Topic.isValidName(topic) {
            throw MQTTError(.topicNameInvalid, "PUBLISH topic name holds a wildcard [MQTT-3.3.2-2]")
        }
        if role == .server,
            properties.list.contains(where: { if case .subscriptionIdentifier = $0 { true } else { false } })
        {
            throw reader.protocolError("from a client has a subscription identifier [MQTT-3.3.4-6]")
        }
        return Publish(
            topic: topic, payload: reader.rest(), qos: qos, retain: flags & 0x01 != 0, dup: dup,
            packetIdentifier: identifier, properties: properties)
    }

    // MARK: PUBACK, PUBREC, PUBREL, PUBCOMP (§3.4 … §3.7)

    private static let publishReasons: Set<ReasonCode> = [
        .success, .noMatchingSubscribers, .unspecifiedError, .implementationSpecificError, .notAuthorized,
        .topicNameInvalid, .packetIdentifierInUse, .quotaExceeded, .payloadFormatInvalid,
    ]

    private func acknowledgement(
        _ reader: inout WireReader, _ version: ProtocolVersion, _ reasons: Set<ReasonCode>
    ) throws(MQTTError) -> Acknowledgement {
        let identifier = try reader.packetIdentifier()
        // Without reason and properties it means success: the form of 3.1.1, and the short one of 5.0.
        guard version == .v5_0, !reader.isAtEnd else {
            try reader.expectEnd()
            return Acknowledgement(packetIdentifier: identifier)
        }
        let reason = try reason(&reader, among: reasons)
        let properties = reader.isAtEnd ? Properties() : try reader.properties(in: .acknowledgement)
        try reader.expectEnd()
        return Acknowledgement(packetIdentifier: identifier, reason: reason, properties: properties)
    }

    private func reason(_ reader: inout WireReader, among reasons: Set<ReasonCode>) throws(MQTTError) -> ReasonCode {
        let code = try reader.byte("reason code")
        guard let reason = ReasonCode(rawValue: code), reasons.contains(reason) else {
            throw reader.malformed("reason code \(code) is not one of its own")
        }
        return reason
    }

    // MARK: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (§3.8 … §3.11)

    private func subscribe(_ reader: inout WireReader, _ version: ProtocolVersion) throws(MQTTError) -> Subscribe {
        let identifier = try reader.packetIdentifier()
        let properties = version == .v5_0 ? try reader.properties(in: .subscribe) : Properties()
        var filters: [Subscribe.Filter] = []
        repeat {
            guard !reader.isAtEnd else { throw reader.protocolError("has no topic filter [MQTT-3.8.3-2]") }
            let filter = try topicFilter(&reader, version)
            let options = try reader.byte("subscription options")
            guard let qos = QoS(rawValue: options & 0x03) else {
                throw reader.protocolError("requested QoS is 3 [MQTT-3.8.3-4]")
            }
            guard options & (version == .v5_0 ? 0xC0 : 0xFC) == 0 else {
                throw reader.malformed("reserved subscription options are set [MQTT-3.8.3-5]")
            }
            guard let handling = Subscribe.RetainHandling(rawValue: options >> 4 & 0x03) else {
                throw reader.protocolError("retain handling is 3")
            }
            let noLocal = options & 0x04 != 0
            if noLocal, Topic.isShared(filter) {
                throw reader.protocolError("has no local on a shared subscription [MQTT-3.8.3-4]")
            }
            filters.append(
                Subscribe.Filter(
                    filter, qos: qos, noLocal: noLocal, retainAsPublished: options & 0x08 != 0, retainHandling: handling
                ))
        } while !reader.isAtEnd
        return Subscribe(packetIdentifier: identifier, filters: filters, properties: properties)
    }

    /// At least one character [MQTT-4.7.3-1]; in 5.0 what begins as a shared subscription is one [MQTT-4.8.2-1]
    /// [MQTT-4.8.2-2]. Wildcards in wrong places are the owner's to refuse, filter by filter.
    private func topicFilter(_ reader: inout WireReader, _ version: ProtocolVersion) throws(MQTTError) -> String {
        let filter = try reader.string("topic filter")
        guard !filter.isEmpty else { throw reader.malformed("topic filter is empty [MQTT-4.7.3-1]") }
        if version == .v5_0, Topic.isShared(filter), !Topic.hasShareName(filter) {
            throw reader.protocolError(
                "shared subscription has no valid ShareName, or no filter behind it [MQTT-4.8.2-1] [MQTT-4.8.2-2]")
        }
        return filter
    }

    private func suback(_ reader: inout WireReader, _ version: ProtocolVersion) throws(MQTTError) -> Suback {
        let identifier = try reader.packetIdentifier()
        let properties = version == .v5_0 ? try reader.properties(in: .suback) : Properties()
        return Suback(
            packetIdentifier: identifier,
            reasons: try reasons(&reader, version, among: [.success, .grantedQoS1, .grantedQoS2]),
            properties: properties)
    }

    private func unsubscribe(_ reader: inout WireReader, _ version: ProtocolVersion) throws(MQTTError) -> Unsubscribe {
        let identifier = try reader.packetIdentifier()
        let properties = version == .v5_0 ? try reader.properties(in: .unsubscribe) : Properties()
        var filters: [String] = []
        repeat {
            guard !reader.isAtEnd else { throw reader.protocolError("has no topic filter [MQTT-3.10.3-2]") }
            filters.append(try topicFilter(&reader, version))
        } while !reader.isAtEnd
        return Unsubscribe(packetIdentifier: identifier, filters: filters, properties: properties)
    }

    private func unsuback(_ reader: inout WireReader, _ version: ProtocolVersion) throws(MQTTError) -> Unsuback {
        let identifier = try reader.packetIdentifier()
        guard version == .v5_0 else {
            try reader.expectEnd()
            return Unsuback(packetIdentifier: identifier, reasons: [])
        }
        let properties = try reader.properties(in: .suback)
        return Unsuback(
            packetIdentifier: identifier,
            reasons: try reasons(&reader, version, among: [.success, .noSubscriptionExisted]),
            properties: properties)
    }

    /// One of the successes or, in 5.0, any failure; 3.1.1 knows 0x80 alone [MQTT-3.9.3-2].
    private func reasons(
        _ reader: inout WireReader, _ version: ProtocolVersion, among successes: Set<ReasonCode>
    ) throws(MQTTError) -> [ReasonCode] {
        var reasons: [ReasonCode] = []
        while !reader.isAtEnd {
            let code = try reader.byte("reason code")
            guard let reason = ReasonCode(rawValue: code),
                successes.contains(reason) || (version == .v5_0 ? reason.isError : reason == .unspecifiedError)
            else {
                throw reader.malformed("reason code \(code) is not one of its own")
            }
            reasons.append(reason)
        }
        return reasons
    }

    // MARK: DISCONNECT, AUTH (§3.14, §3.15)

    private func disconnect(_ reader: inout WireReader, _ version: ProtocolVersion) throws(MQTTError) -> Disconnect {
        guard version == .v5_0, !reader.isAtEnd else {
            try reader.expectEnd()
            return Disconnect()
        }
        let code = try reader.byte("reason code")
        guard let reason = ReasonCode(rawValue: code),
            reason.isDisconnectReason(fromClient: role == .server)
        else { throw reader.malformed("reason code \(code) is not one of its own [MQTT-3.14.2-1]") }
        let properties = reader.isAtEnd ? Properties() : try reader.properties(in: .disconnect)
        try reader.expectEnd()
        return Disconnect(reason: reason, properties: properties)
    }

    private func auth(_ reader: inout WireReader) throws(MQTTError) -> Auth {
        // The short form means success, which only a server may say; every AUTH names its method (§3.15.2.2.2).
        guard !reader.isAtEnd else { throw reader.protocolError("has no authentication method") }
        let reason = try reason(
            &reader,
            among: role == .server ? [.continueAuthentication, .reAuthenticate] : [.success, .continueAuthentication])
        let properties = reader.isAtEnd ? Properties() : try reader.properties(in: .auth)
        try reader.expectEnd()
        guard properties.authenticationMethod != nil else {
            throw reader.protocolError("has no authentication method")
        }
        return Auth(reason: reason, properties: properties)
    }
}
