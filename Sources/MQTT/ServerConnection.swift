/// One client's network connection as the server sees it: what may come when, what must be answered, and when it has
/// been silent for too long (MQTT 5.0 §3, §4.12, §4.13). A value: no socket, no clock. Times are monotonic nanoseconds.
package struct ServerConnection: Sendable {
    /// What the server grants a connection.
    package struct Limits: Hashable, Sendable {
        /// Nanoseconds from accept to CONNECT.
        package var connectTimeout: Int64 = 10_000_000_000
        /// QoS 1 and 2 publishes taken and not yet acknowledged: the receive maximum told to 5.0 clients.
        package var receiveMaximum: UInt16 = 1_000
        /// Topics that a 5.0 client may give a number (§3.3.2.3.4); each takes up to 64 KiB.
        package var topicAliasMaximum: UInt16 = 16
        /// The longest keep-alive that a 5.0 client may have, in seconds; it is told so where it asks for a longer one, or
        /// for none (§3.2.2.3.14). An older one cannot be told, and keeps its own. 0: any.
        package var maximumKeepAlive: UInt16 = 0
        /// Largest packet accepted, in bytes.
        package var maximumPacketSize: UInt32 = 256 << 10
        /// Messages sent to the client and not yet acknowledged by it, at most.
        package var sendWindow = 100
        /// Messages that wait behind those, in number and bytes.
        package var queueCount = 1_000
        package var queueBytes = 1 << 20

        package init() {}
    }

    /// What a packet asks of the server.
    package enum Request: Hashable, Sendable {
        /// The client introduces itself: decide, then call `accept` or `refuse`.
        case connect(Connect)
        /// A message to distribute. With a publication number its acknowledgement is owed until that is settled.
        case publish(Publish, publication: UInt64?)
        /// A message of the session's window was acknowledged: PUBACK, PUBREC or PUBCOMP.
        case puback(Acknowledgement)
        case pubrec(Acknowledgement)
        case pubcomp(Acknowledgement)
        /// The client lets a QoS 2 packet identifier go: answer with PUBCOMP [MQTT-4.3.3-11].
        case pubrel(Acknowledgement)
        case subscribe(Subscribe)
        case unsubscribe(Unsubscribe)
        /// Answer with PINGRESP [MQTT-3.12.4-1].
        case ping
        /// The client leaves; `withWill`: its will is to be published all the same, since the reason is not "normal
        /// disconnection" [MQTT-3.14.4-3] [MQTT-3.1.2-8]. `sessionExpiryInterval`: replaces the session's, in seconds.
        case disconnect(withWill: Bool, sessionExpiryInterval: UInt32?)
        /// Nothing to do.
        case nothing
    }

    /// What a timer that went off leads to.
    package enum TimerAction: Hashable, Sendable {
        case wake(at: Int64)
        case close(MQTTError)
        case nothing
    }

    private enum State: Sendable {
        /// May go to `deciding` or `closed`.
        case awaitingConnect(deadline: Int64)
        /// The owner decides on the CONNECT. May go to `live` or `closed`.
        case deciding(Connect)
        /// May go to `closed`.
        case live
        case closed
    }

    private let limits: Limits
    private var state: State
    private var inbound = InboundWindow()
    /// The topics behind the client's topic aliases; they end with the connection [MQTT-3.3.2-7].
    private var aliases: [UInt16: String] = [:]
    /// The session expiry of CONNECT, in seconds.
    private var sessionExpiryInterval: UInt32 = 0
    /// Messages that may be on their way to the client at once.
    package private(set) var sendWindow = 0
    /// Aliases that the client accepts from the server.
    package private(set) var clientTopicAliasMaximum: UInt16 = 0
    /// Nanoseconds of silence that end the connection; `nil`: none do.
    private var grace: Int64?
    private var lastReceived: Int64

    /// `nil` before CONNECT.
    package private(set) var version: ProtocolVersion?
    /// The largest packet the client accepts [MQTT-3.1.2-24].
    package private(set) var clientMaximumPacketSize = Int.max
    /// The client wants reason strings and user properties on failures.
    private var wantsProblemInformation = true

    package init(limits: Limits, now: Int64) {
        self.limits = limits
        state = .awaitingConnect(deadline: now + limits.connectTimeout)
        lastReceived = now
    }

    package var isLive: Bool { if case .live = state { true } else { false } }

    /// As many acknowledgements are owed as are granted: take no more until some have left. A 3.1.1 client does not
    /// know the limit, so the owner stops reading instead of closing.
    package var isSaturated: Bool { inbound.count >= Int(limits.receiveMaximum) }

    /// Publishes taken whose acknowledgement is still owed.
    package var owedAcknowledgements: Int { inbound.count }

    /// A PUBREL under that packet identifier would belong to a publish of QoS 1, which has none (§4.3.2).
    package func owesPuback(_ packetIdentifier: UInt16) -> Bool { inbound.owesPuback(packetIdentifier) }

    // MARK: Packets

    /// Takes one packet. An error ends the connection: call `closing` with it.
    package mutating func receive(_ packet: Packet, now: Int64) throws(MQTTError) -> Request {
        lastReceived = now
        switch (state, packet) {
        case (.awaitingConnect, .connect(let connect)):
            state = .deciding(connect)
            version = connect.version
            wantsProblemInformation = connect.properties.requestProblemInformation != 0
            if let size = connect.properties.maximumPacketSize { clientMaximumPacketSize = Int(size) }
            return .connect(connect)
        case (.live, .publish(let publish)): return try take(publish)
        case (.live, .puback(let acknowledgement)): return .puback(acknowledgement)
        case (.live, .pubrec(let acknowledgement)): return .pubrec(acknowledgement)
        case (.live, .pubrel(let acknowledgement)): return .pubrel(acknowledgement)
        case (.live, .pubcomp(let acknowledgement)): return .pubcomp(acknowledgement)
        case (.live, .subscribe(let subscribe)): return .subscribe(subscribe)
        case (.live, .unsubscribe(let unsubscribe)): return .unsubscribe(unsubscribe)
        case (.live, .pingreq): return .ping
        case (.live, .disconnect(let disconnect)):
            let expiry = disconnect.properties.sessionExpiryInterval
            if let expiry, expiry != 0, sessionExpiryInterval == 0 {
                throw MQTTError(
                    .protocolError, "DISCONNECT sets a session expiry that CONNECT did not have [MQTT-3.14.2-2]")
            }
            state = .closed
            return .disconnect(withWill: disconnect.reason != .success, sessionExpiryInterval: expiry)
        case (.live, .auth):
            throw MQTTError(
                .protocolError, "AUTH came, but the connection has no authentication method [MQTT-4.12.0-6]")
        case (.closed, _): return .nothing
        default: throw MQTTError(.protocolError, "a packet came that has no place there")
        }
    }

    private mutating func take(_ received: Publish) throws(MQTTError) -> Request {
        var publish = received
        if let alias = publish.properties.topicAlias {
            guard alias <= limits.topicAliasMaximum else {
                throw MQTTError(
                    .topicAliasInvalid,
                    "PUBLISH topic alias is \(alias), \(limits.topicAliasMaximum) are granted [MQTT-3.3.2-9]")
            }
            if !publish.topic.isEmpty {
                aliases[alias] = publish.topic
            } else if let topic = aliases[alias] {
                publish.topic = topic
            } else {
                throw MQTTError(.protocolError, "PUBLISH topic alias \(alias) stands for no topic yet")
            }
            publish.properties.removeHopProperties()
        }
        if publish.qos == .atMostOnce { return .publish(publish, publication: nil) }
        guard let identifier = publish.packetIdentifier else {
            preconditionFailure("the decoder gives every publish above QoS 0 its packet identifier")
        }
        if isSaturated, version == .v5_0 {
            throw MQTTError(.receiveMaximumExceeded, "PUBLISH exceeds the receive maximum [MQTT-3.3.4-8]")
        }
        return .publish(publish, publication: inbound.append(identifier, qos: publish.qos))
    }

    /// Accepts the CONNECT; returns its CONNACK.
    /// - Parameters:
    ///   - assignedClientIdentifier: where the server chose it [MQTT-3.2.2-16].
    ///   - sessionPresent: the server goes on with a session that it had [MQTT-3.2.2-2] [MQTT-3.2.2-3].
    ///   - sessionExpiryInterval: seconds, as granted ; told where it differs from what was asked for (§3.2.2.3.2).
    package mutating func accept(
        assignedClientIdentifier: String? = nil, sessionPresent: Bool = false, sessionExpiryInterval: UInt32 = 0,
        now: Int64
    ) -> Connack {
        guard case .deciding(let connect) = state else {
            preconditionFailure("a connection is accepted once, after its CONNECT")
        }
        state = .live
        lastReceived = now
        self.sessionExpiryInterval = sessionExpiryInterval
        let serverKeepAlive = serverKeepAlive(for: connect)
        let keepAlive = serverKeepAlive ?? connect.keepAlive
        // One and a half times the keep-alive [MQTT-3.1.2-22], the server's where it has set one [MQTT-3.2.2-21].
        grace = keepAlive == 0 ? nil : Int64(keepAlive) * 1_500_000_000
        let properties = connect.properties
        sendWindow = min(limits.sendWindow, Int(properties.receiveMaximum ?? .max))
        clientTopicAliasMaximum = properties.topicAliasMaximum ?? 0
        var granted: [Property] = []
        if connect.version == .v5_0 {
            if properties.sessionExpiryInterval ?? 0 != sessionExpiryInterval {
                granted.append(.sessionExpiryInterval(sessionExpiryInterval))
            }
            granted += [.receiveMaximum(limits.receiveMaximum), .maximumPacketSize(limits.maximumPacketSize)]
            if let assignedClientIdentifier { granted.append(.assignedClientIdentifier(assignedClientIdentifier)) }
            granted.append(.topicAliasMaximum(limits.topicAliasMaximum))
            if let serverKeepAlive { granted.append(.serverKeepAlive(serverKeepAlive)) }
            // What is not said is available as well (§3.2.2.3.5, .11 … .13), but not every client's maker knows that. A
            // client that takes only small packets has to know it.
            if clientMaximumPacketSize >= 128 {
                granted += [
                    .retainAvailable(1), .wildcardSubscriptionAvailable(1), .subscriptionIdentifierAvailable(1),
                    .sharedSubscriptionAvailable(1),
                ]
            }
        }
        // 3.1 knows no session present flag: the byte is reserved there.
        let connack = Connack(
            sessionPresent: sessionPresent && connect.version != .v3_1, reason: .success,
            properties: Properties(granted))
        // A client that cannot take its CONNACK cannot be told anything else either [MQTT-3.14.0-1].
        if Packet.connack(connack).wireSize(version: connect.version) > clientMaximumPacketSize { state = .closed }
        return connack
    }

    /// The keep-alive that the server sets in place of the client's; `nil`: the client's holds.
    private func serverKeepAlive(for connect: Connect) -> UInt16? {
        guard connect.version == .v5_0, limits.maximumKeepAlive > 0,
            connect.keepAlive == 0 || connect.keepAlive > limits.maximumKeepAlive
        else { return nil }
        return limits.maximumKeepAlive
    }

    /// The last packet of a connection that ends for `error`: CONNACK before it was accepted, DISCONNECT after, or
    /// none where the version has none [MQTT-4.13.1-1] [MQTT-3.2.2-7]. `refusedLevel`: what the decoder says of it.
    package mutating func closing(for error: MQTTError, refusedLevel: UInt8? = nil) -> (Packet, ProtocolVersion)? {
        defer { state = .closed }
        switch state {
        case .awaitingConnect:
            if let refusedLevel {
                // Older clients understand only the answer of 3.1.1 [MQTT-3.1.2-2]; what is newer may understand 5.0's.
                // Bridges add 128 to the level they speak, and try without after return code 1.
                let version: ProtocolVersion = refusedLevel & 0x7F > 5 ? .v5_0 : .v3_1_1
                return (.connack(Connack(reason: error.reason)), version)
            }
            guard version == .v5_0 else { return nil }
            return told(error, in: .v5_0) { .connack(Connack(reason: error.reason, properties: $0)) }
        case .deciding(let connect):
            return told(error, in: connect.version) { .connack(Connack(reason: error.reason, properties: $0)) }
        case .live:
            guard version == .v5_0 else { return nil }
            return told(error, in: .v5_0) { .disconnect(Disconnect(reason: error.reason, properties: $0)) }
        case .closed: return nil
        }
    }

    /// The packet with the reason in words, where the client understands and wants them and they are not too long for
    /// it [MQTT-3.2.2-19] [MQTT-3.14.2-3], else without; `nil` where even that is more than it takes [MQTT-3.1.2-24].
    private func told(
        _ error: MQTTError, in version: ProtocolVersion, _ packet: (Properties) -> Packet
    ) -> (Packet, ProtocolVersion)? {
        var choices: [Properties] = []
        if version == .v5_0, wantsProblemInformation { choices.append(Properties([.reasonString(error.detail)])) }
        choices.append(Properties())
        return choices.lazy.map(packet).first { $0.wireSize(version: version) <= clientMaximumPacketSize }
            .map { ($0, version) }
    }

    /// The decoder failed inside a CONNECT whose version it had read already: errors are answered in that version.
    package mutating func assume(version: ProtocolVersion?) {
        if self.version == nil { self.version = version }
    }

    // MARK: Acknowledgements and deliveries

    /// One more settlement of a publish is needed before it may be acknowledged.
    package mutating func require(_ publication: UInt64) { inbound.require(publication) }

    /// A publish is safe: appends every PUBACK and PUBREC that may now leave, in order.
    package mutating func settle(
        _ publication: UInt64, reason: ReasonCode = .success, into acknowledgements: inout [InboundWindow.Settled]
    ) {
        inbound.settle(publication, reason: reason, into: &acknowledgements)
    }

    // MARK: Time

    /// When to call `timerFired` next; `nil`: never.
    package var deadline: Int64? {
        switch state {
        case .awaitingConnect(let deadline): deadline
        case .live: grace.map { lastReceived + $0 }
        case .deciding, .closed: nil
        }
    }

    /// - Parameter isHeard: the owner reads what the client sends. While it does not, silence is none of the client's
    ///   doing [MQTT-3.1.2-22]: its time begins anew.
    package mutating func timerFired(now: Int64, isHeard: Bool = true) -> TimerAction {
        if !isHeard, isLive { lastReceived = now }
        guard let deadline else { return .nothing }
        if now < deadline { return .wake(at: deadline) }
        return .close(
            isLive
                ? MQTTError(.keepAliveTimeout, "nothing came for one and a half times the keep-alive [MQTT-3.1.2-22]")
                : MQTTError(.maximumConnectTime, "no CONNECT came in time"))
    }
}
