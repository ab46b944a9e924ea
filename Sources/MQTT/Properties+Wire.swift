import NIOCore

/// The packets a property may stand in (MQTT 5.0 table 2-4).
struct PropertyHolders: OptionSet {
    let rawValue: UInt16

    static let connect = Self(rawValue: 1 << 0)
    static let connack = Self(rawValue: 1 << 1)
    static let publish = Self(rawValue: 1 << 2)
    static let will = Self(rawValue: 1 << 3)
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    static let acknowledgement = Self(rawValue: 1 << 4)
    static let subscribe = Self(rawValue: 1 << 5)
    /// SUBACK and UNSUBACK.
    static let suback = Self(rawValue: 1 << 6)
    static let unsubscribe = Self(rawValue: 1 << 7)
    static let disconnect = Self(rawValue: 1 << 8)
    static let auth = Self(rawValue: 1 << 9)
    static let all = Self(rawValue: (1 << 10) - 1)
}

/// The property identifiers (MQTT 5.0 table 2-4).
enum PropertyIdentifier: UInt8, CaseIterable {
    case payloadFormatIndicator = 0x01
    case messageExpiryInterval = 0x02
    case contentType = 0x03
    case responseTopic = 0x08
    case correlationData = 0x09
    case subscriptionIdentifier = 0x0B
    case sessionExpiryInterval = 0x11
    case assignedClientIdentifier = 0x12
    case serverKeepAlive = 0x13
    case authenticationMethod = 0x15
    case authenticationData = 0x16
    case requestProblemInformation = 0x17
    case willDelayInterval = 0x18
    case requestResponseInformation = 0x19
    case responseInformation = 0x1A
    case serverReference = 0x1C
    case reasonString = 0x1F
    case receiveMaximum = 0x21
    case topicAliasMaximum = 0x22
    case topicAlias = 0x23
    case maximumQoS = 0x24
    case retainAvailable = 0x25
    case userProperty = 0x26
    case maximumPacketSize = 0x27
    case wildcardSubscriptionAvailable = 0x28
    case subscriptionIdentifierAvailable = 0x29
    case sharedSubscriptionAvailable = 0x2A

    var holders: PropertyHolders {
        switch self {
        case .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic, .correlationData:
            [.publish, .will]
        case .subscriptionIdentifier: [.publish, .subscribe]
        case .sessionExpiryInterval: [.connect, .connack, .disconnect]
        case .assignedClientIdentifier, .serverKeepAlive, .responseInformation, .maximumQoS, .retainAvailable,
            .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable, .sharedSubscriptionAvailable:
            .connack
        case .authenticationMethod, .authenticationData: [.connect, .connack, .auth]
        case .requestProblemInformation, .requestResponseInformation: .connect
        case .willDelayInterval: .will
        case .serverReference: [.connack, .disconnect]
        case .reasonString: [.connack, .acknowledgement, .suback, .disconnect, .auth]
        case .receiveMaximum, .topicAliasMaximum, .maximumPacketSize: [.connect, .connack]
        case .topicAlias: .publish
        case .userProperty: .all
        }
    }
}

extension WireReader {
    /// The properties of a packet, or of its will: known, allowed there, none twice but user properties (and, from a
    /// server, subscription identifiers), each in its range.
    mutating func properties(in holder: PropertyHolders) throws(MQTTError) -> Properties {
        let length = try variableByteInteger("property length")
        guard length > 0 else { return Properties() }
        var part = try part(length: length, "properties")
        var list: [Property] = []
        var seen: UInt64 = 0
        while !part.isAtEnd {
            let code = try part.byte("property identifier")
            guard let identifier = PropertyIdentifier(rawValue: code) else {
                throw malformed("has a property of unknown identifier \(code)")
            }
            guard identifier.holders.contains(holder) else {
                throw malformed("must not have the property \(identifier) (§2.2.2.2)")
            }
            let bit = UInt64(1) << UInt64(code)
            let mayRepeat = identifier == .userProperty || identifier == .subscriptionIdentifier && holder == .publish
            guard seen & bit == 0 || mayRepeat else { throw protocolError("has the property \(identifier) twice") }
            seen |= bit
            list.append(try part.property(identifier))
        }
        return Properties(list)
    }

    private mutating func property(_ identifier: PropertyIdentifier) throws(MQTTError) -> Property {
        let name = "\(identifier)"
        switch identifier {
        case .payloadFormatIndicator: return .payloadFormatIndicator(try flag(name))
        case .messageExpiryInterval: return .messageExpiryInterval(try fourBytes(name))
        case .contentType: return .contentType(try string(name))
        case .responseTopic:
            let topic = try string(name)
            guard Topic.isValidName(topic) else { throw protocolError("\(name) is not a topic name [MQTT-3.3.2-14]") }
            return .responseTopic(topic)
        case .correlationData: return .correlationData(try binary(name))
        case .subscriptionIdentifier:
            let value = try variableByteInteger(name)
            guard value > 0 else { throw protocolError("\(name) is 0") }
            return .subscriptionIdentifier(UInt32(value))
        case .sessionExpiryInterval: return .sessionExpiryInterval(try fourBytes(name))
        case .assignedClientIdentifier: return .assignedClientIdentifier(try string(name))
        case .serverKeepAlive: return .serverKeepAlive(try twoBytes(name))
        case .authenticationMethod: return .authenticationMethod(try string(name))
        case .authenticationData: return .authenticationData(try binary(name))
        case .requestProblemInformation: return .requestProblemInformation(try flag(name))
        case .willDelayInterval: return .willDelayInterval(try fourBytes(name))
        case .requestResponseInformation: return .requestResponseInformation(try flag(name))
        case .responseInformation: return .responseInformation(try string(name))
        case .serverReference: return .serverReference(try string(name))
        case .reasonString: return .reasonString(try string(name))
        case .receiveMaximum: return .receiveMaximum(try notZero(try twoBytes(name), name))
        case .topicAliasMaximum: return .topicAliasMaximum(try twoBytes(name))
        case .topicAlias:
            let alias = try twoBytes(name)
            guard alias != 0 else { throw MQTTError(.topicAliasInvalid, "\(packet) \(name) is 0 [MQTT-3.3.2-8]") }
            return .topicAlias(alias)
        case .maximumQoS: return .maximumQoS(try flag(name))
        case .retainAvailable: return .retainAvailable(try flag(name))
        case .userProperty: return .userProperty(name: try string("\(name) name"), value: try string("\(name) value"))
        case .maximumPacketSize: return .maximumPacketSize(try notZero(try fourBytes(name), name))
        case .wildcardSubscriptionAvailable: return .wildcardSubscriptionAvailable(try flag(name))
        case .subscriptionIdentifierAvailable: return .subscriptionIdentifierAvailable(try flag(name))
        case .sharedSubscriptionAvailable: return .sharedSubscriptionAvailable(try flag(name))
        }
    }

    private mutating func flag(_ name: String) throws(MQTTError) -> UInt8 {
        let value = try byte(name)
        guard value <= 1 else { throw protocolError("\(name) is \(value), not 0 or 1") }
        return value
    }

    private func notZero<T: BinaryInteger>(_ value: T, _ name: String) throws(MQTTError) -> T {
        guard value != 0 else { throw protocolError("\(name) is 0") }
        return value
    }
}

extension Property {
    /// Bytes on the wire, identifier included.
    var wireSize: Int {
        switch self {
        case .payloadFormatIndicator, .requestProblemInformation, .requestResponseInformation, .maximumQoS,
            .retainAvailable, .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable,
            .sharedSubscriptionAvailable:
            2
        case .serverKeepAlive, .receiveMaximum, .topicAliasMaximum, .topicAlias: 3
        case .messageExpiryInterval, .sessionExpiryInterval, .willDelayInterval, .maximumPacketSize: 5
        case .contentType(let text), .responseTopic(let text), .assignedClientIdentifier(let text),
            .authenticationMethod(let text), .responseInformation(let text), .serverReference(let text),
            .reasonString(let text):
            3 + text.utf8.count
        case .correlationData(let data), .authenticationData(let data): 3 + data.readableBytes
        case .subscriptionIdentifier(let value): 1 + VariableByteInteger.size(Int(value))
        case .userProperty(let name, let value): 5 + name.utf8.count + value.utf8.count
        }
    }

    func write(into buffer: inout ByteBuffer) {
        switch self {
        case .payloadFormatIndicator(let value): buffer.write(.payloadFormatIndicator, value)
        case .messageExpiryInterval(let value): buffer.write(.messageExpiryInterval, value)
        case .contentType(let text): buffer.write(.contentType, text)
        case .responseTopic(let text): buffer.write(.responseTopic, text)
        case .correlationData(let data): buffer.write(.correlationData, data)
        case .subscriptionIdentifier(let value):
            buffer.writeInteger(PropertyIdentifier.subscriptionIdentifier.rawValue)
            VariableByteInteger.write(Int(value), into: &buffer)
        case .sessionExpiryInterval(let value): buffer.write(.sessionExpiryInterval, value)
        case .assignedClientIdentifier(let text): buffer.write(.assignedClientIdentifier, text)
        case .serverKeepAlive(let value): buffer.write(.serverKeepAlive, value)
        case .authenticationMethod(let text): buffer.write(.authenticationMethod, text)
        case .authenticationData(let data): buffer.write(.authenticationData, data)
        case .requestProblemInformation(let value): buffer.write(.requestProblemInformation, value)
        case .willDelayInterval(let value): buffer.write(.willDelayInterval, value)
        case .requestResponseInformation(let value): buffer.write(.requestResponseInformation, value)
        case .responseInformation(let text): buffer.write(.responseInformation, text)
        case .serverReference(let text): buffer.write(.serverReference, text)
        case .reasonString(let text): buffer.write(.reasonString, text)
        case .receiveMaximum(let value): buffer.write(.receiveMaximum, value)
        case .topicAliasMaximum(let value): buffer.write(.topicAliasMaximum, value)
        case .topicAlias(let value): buffer.write(.topicAlias, value)
        case .maximumQoS(let value): buffer.write(.maximumQoS, value)
        case .retainAvailable(let value): buffer.write(.retainAvailable, value)
        case .userProperty(let name, let value):
            buffer.write(.userProperty, name)
            buffer.writeMQTTString(value)
        case .maximumPacketSize(let value): buffer.write(.maximumPacketSize, value)
        case .wildcardSubscriptionAvailable(let value): buffer.write(.wildcardSubscriptionAvailable, value)
        case .subscriptionIdentifierAvailable(let value): buffer.write(.subscriptionIdentifierAvailable, value)
        case .sharedSubscriptionAvailable(let value): buffer.write(.sharedSubscriptionAvailable, value)
        }
    }
}

extension Properties {
    /// Bytes of the properties without their length.
    var contentSize: Int { list.reduce(0) { $0 + $1.wireSize } }

    /// Bytes on the wire, the length included.
    var wireSize: Int {
        let content = contentSize
        return VariableByteInteger.size(content) + content
    }

    func write(into buffer: inout ByteBuffer) {
        VariableByteInteger.write(contentSize, into: &buffer)
        for property in list { property.write(into: &buffer) }
    }
}

extension ByteBuffer {
    fileprivate mutating func write(_ identifier: PropertyIdentifier, _ value: some FixedWidthInteger) {
        writeInteger(identifier.rawValue)
        writeInteger(value)
    }

    fileprivate mutating func write(_ identifier: PropertyIdentifier, _ text: String) {
        writeInteger(identifier.rawValue)
        writeMQTTString(text)
    }

    fileprivate mutating func write(_ identifier: PropertyIdentifier, _ data: ByteBuffer) {
        writeInteger(identifier.rawValue)
        writeMQTTBinary(data)
    }

    /// Length and bytes; what is longer than 65,535 bytes cannot be written, and never gets here: it came off the wire
    /// or was checked where it was made.
    mutating func writeMQTTString(_ text: String) {
        precondition(text.utf8.count <= 65_535, "an MQTT string has at most 65,535 bytes")
        writeInteger(UInt16(text.utf8.count))
        writeString(text)
    }

    mutating func writeMQTTBinary(_ data: ByteBuffer) {
        precondition(data.readableBytes <= 65_535, "MQTT binary data has at most 65,535 bytes")
        writeInteger(UInt16(data.readableBytes))
        writeImmutableBuffer(data)
    }
}
