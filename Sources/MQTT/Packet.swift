package import NIOCore

/// One MQTT control packet, 3.1.1 or 5.0. Where the versions differ, the 5.0 form is the one kept: properties are
/// empty and reason codes are mapped for 3.1.1.
///
/// Payloads and other binary fields are slices of the buffer they were read from, so decoding copies no payload.
/// The large packets are boxed: an enum that passes through a channel pipeline stays small.
package enum Packet: Hashable, Sendable {
    indirect case connect(Connect)
    indirect case connack(Connack)
    indirect case publish(Publish)
    case puback(Acknowledgement)
    case pubrec(Acknowledgement)
    case pubrel(Acknowledgement)
    case pubcomp(Acknowledgement)
    indirect case subscribe(Subscribe)
    indirect case suback(Suback)
    indirect case unsubscribe(Unsubscribe)
    indirect case unsuback(Unsuback)
    case pingreq
    case pingresp
    case disconnect(Disconnect)
    /// 5.0 only.
    case auth(Auth)
}

/// CONNECT (MQTT 5.0 §3.1).
package struct Connect: Hashable, Sendable {
    package var version: ProtocolVersion
    /// Clean Start, called Clean Session in 3.1.1.
    package var cleanStart: Bool
    /// Seconds; 0 turns the keep-alive off.
    package var keepAlive: UInt16
    /// Empty when the client leaves the choice to the server.
    package var clientIdentifier: String
    package var will: Will?
    package var userName: String?
    package var password: ByteBuffer?
    package var properties: Properties

    package init(
        version: ProtocolVersion, cleanStart: Bool = true, keepAlive: UInt16 = 60, clientIdentifier: String,
        will: Will? = nil, userName: String? = nil, password: ByteBuffer? = nil, properties: Properties = Properties()
    ) {
        self.version = version
        self.cleanStart = cleanStart
        self.keepAlive = keepAlive
        self.clientIdentifier = clientIdentifier
        self.will = will
        self.userName = userName
        self.password = password
        self.properties = properties
    }
}

/// The message a server publishes for a client that ended abnormally (MQTT 5.0 §3.1.2.5).
package struct Will: Hashable, Sendable {
    package var topic: String
    package var payload: ByteBuffer
    package var qos: QoS
    package var retain: Bool
    package var properties: Properties

    package init(
        topic: String, payload: ByteBuffer, qos: QoS = .atMostOnce, retain: Bool = false,
        properties: Properties = Properties()
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
    }
}

/// CONNACK (§3.2). The encoder maps `reason` to a 3.1.1 return code.
package struct Connack: Hashable, Sendable {
    package var sessionPresent: Bool
    package var reason: ReasonCode
    package var properties: Properties

    package init(sessionPresent: Bool = false, reason: ReasonCode, properties: Properties = Properties()) {
        self.sessionPresent = sessionPresent
        self.reason = reason
        self.properties = properties
    }
}

/// PUBLISH (§3.3).
package struct Publish: Hashable, Sendable {
    package var topic: String
    package var payload: ByteBuffer
    package var qos: QoS
    package var retain: Bool
    /// This may be a redelivery of an earlier attempt.
    package var dup: Bool
    /// Set exactly when `qos` is above 0; never 0.
    package var packetIdentifier: UInt16?
    package var properties: Properties

    package init(
        topic: String, payload: ByteBuffer, qos: QoS = .atMostOnce, retain: Bool = false, dup: Bool = false,
        packetIdentifier: UInt16? = nil, properties: Properties = Properties()
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packetIdentifier = packetIdentifier
        self.properties = properties
    }
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP (§3.4 … §3.7).
package struct Acknowledgement: Hashable, Sendable {
    package var packetIdentifier: UInt16
    package var reason: ReasonCode
    package var properties: Properties

    package init(packetIdentifier: UInt16, reason: ReasonCode = .success, properties: Properties = Properties()) {
        self.packetIdentifier = packetIdentifier
        self.reason = reason
        self.properties = properties
    }
}

/// SUBSCRIBE (§3.8).
package struct Subscribe: Hashable, Sendable {
    package enum RetainHandling: UInt8, Hashable, Sendable {
        case send = 0
        case sendIfNew = 1
        case doNotSend = 2
    }

    package struct Filter: Hashable, Sendable {
        package var filter: String
        package var qos: QoS
        package var noLocal: Bool
        package var retainAsPublished: Bool
        package var retainHandling: RetainHandling

        package init(
            _ filter: String, qos: QoS, noLocal: Bool = false, retainAsPublished: Bool = false,
            retainHandling: RetainHandling = .send
        ) {
            self.filter = filter
            self.qos = qos
            self.noLocal = noLocal
            self.retainAsPublished = retainAsPublished
            self.retainHandling = retainHandling
        }
    }

    package var packetIdentifier: UInt16
    package var filters: [Filter]
    package var properties: Properties

    package init(packetIdentifier: UInt16, filters: [Filter], properties: Properties = Properties()) {
        self.packetIdentifier = packetIdentifier
        self.filters = filters
        self.properties = properties
    }
}

/// SUBACK (§3.9): one reason per filter, in the order of SUBSCRIBE.
package struct Suback: Hashable, Sendable {
    package var packetIdentifier: UInt16
    package var reasons: [ReasonCode]
    package var properties: Properties

    package init(packetIdentifier: UInt16, reasons: [ReasonCode], properties: Properties = Properties()) {
        self.packetIdentifier = packetIdentifier
        self.reasons = reasons
        self.properties = properties
    }
}

/// UNSUBSCRIBE (§3.10).
package struct Unsubscribe: Hashable, Sendable {
    package var packetIdentifier: UInt16
    package var filters: [String]
    package var properties: Properties

    package init(packetIdentifier: UInt16, filters: [String], properties: Properties = Properties()) {
        self.packetIdentifier = packetIdentifier
        self.filters = filters
        self.properties = properties
    }
}

/// UNSUBACK (§3.11). 3.1.1 has no reasons: the list is then empty.
package struct Unsuback: Hashable, Sendable {
    package var packetIdentifier: UInt16
    package var reasons: [ReasonCode]
    package var properties: Properties

    package init(packetIdentifier: UInt16, reasons: [ReasonCode], properties: Properties = Properties()) {
        self.packetIdentifier = packetIdentifier
        self.reasons = reasons
        self.properties = properties
    }
}

/// DISCONNECT (§3.14). 3.1.1 carries neither reason nor properties, and only clients send it.
package struct Disconnect: Hashable, Sendable {
    package var reason: ReasonCode
    package var properties: Properties

    package init(reason: ReasonCode = .success, properties: Properties = Properties()) {
        self.reason = reason
        self.properties = properties
    }
}

/// AUTH (§3.15), 5.0 only.
package struct Auth: Hashable, Sendable {
    package var reason: ReasonCode
    package var properties: Properties

    package init(reason: ReasonCode, properties: Properties = Properties()) {
        self.reason = reason
        self.properties = properties
    }
}
