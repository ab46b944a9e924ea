/// One client's network connection as the server sees it: what may come when, what must be answered, and when it has
/// been silent for too long (MQTT 5.0 §3, §4.12, §4.13). A value: no socket, no clock. Times are monotonic nanoseconds.
package struct ServerConnection: Sendable {
    /// What the server grants a connection.
    package struct Limits: Hashable, Sendable {
        /// Nanoseconds from accept to CONNECT.
        package var connectTimeout: Int64 = 10_000_000_000
        /// QoS 1 publishes taken and not yet acknowledged: the receive maximum told to 5.0 clients.
        package var receiveMaximum: UInt16 = 1_000
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
        /// A message of the client's window was acknowledged: `nextQueued` may have something to send.
        case acknowledged
        case subscribe(Subscribe)
        case unsubscribe(Unsubscribe)
        /// Answer with PINGRESP [MQTT-3.12.4-1].
        case ping
        /// The client leaves; `withWill`: its will is to be published all the same.
        case disconnect(withWill: Bool)
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
    private var outbound: OutboundWindow
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
        outbound = OutboundWindow(window: 0, queueLimit: 0, queueByteLimit: 0)
    }

    package var isLive: Bool { if case .live = state { true } else { false } }

    /// As many acknowledgements are owed as are granted: take no more until some have left. A 3.1.1 client does not
    /// know the limit, so the owner stops reading instead of closing.
    package var isSaturated: Bool { inbound.count >= Int(limits.receiveMaximum) }

    /// Publishes taken whose acknowledgement is still owed.
    package var owedAcknowledgements: Int { inbound.count }

    /// Messages given up on because the client takes them too slowly.
    package var droppedMessages: UInt64 { outbound.dropped }

    // MARK: Packets

    /// Takes one packet. An error ends the connection: call `closing` with it.
    package mutating func receive(_ packet: Packet, now: Int64) throws(MQTTError) -> Request {
        lastReceived = now
        switch (state, packet) {
        case (.awaitingConnect, .connect(let connect)):
            state = .deciding(connect)
            version = connect.version
            wantsProblemInformation = connect.properties.requestProblemInformation != 0
            return .connect(connect)
        case (.live, .publish(let publish)): return try take(publish)
        case (.live, .puback(let acknowledgement)):
            outbound.acknowledged(acknowledgement.packetIdentifier)
            return .acknowledged
        case (.live, .subscribe(let subscribe)): return .subscribe(subscribe)
        case (.live, .unsubscribe(let unsubscribe)): return .unsubscribe(unsubscribe)
        case (.live, .pingreq): return .ping
        case (.live, .disconnect(let disconnect)):
            if let interval = disconnect.properties.sessionExpiryInterval, interval != 0 {
                // The session was granted no expiry at CONNECT [MQTT-3.14.2-2].
                throw MQTTError(.protocolError, "DISCONNECT sets a session expiry that CONNECT did not have")
            }
            state = .closed
            return .disconnect(withWill: disconnect.reason == .disconnectWithWill)
        case (.live, .auth):
            throw MQTTError(
                .protocolError, "AUTH came, but the connection has no authentication method [MQTT-4.12.0-6]")
        case (.live, .pubrec), (.live, .pubrel), (.live, .pubcomp):
            throw MQTTError(.protocolError, "a packet of QoS 2 came, which was not granted")
        case (.closed, _): return .nothing
        default: throw MQTTError(.protocolError, "a packet came that has no place there")
        }
    }

    private mutating func take(_ publish: Publish) throws(MQTTError) -> Request {
        guard publish.properties.topicAlias == nil else {
            throw MQTTError(.topicAliasInvalid, "PUBLISH uses a topic alias; the maximum is 0 [MQTT-3.3.2-9]")
        }
        switch publish.qos {
        case .atMostOnce: return .publish(publish, publication: nil)
        case .exactlyOnce:
            throw MQTTError(.qosNotSupported, "PUBLISH has QoS 2; the maximum is 1 [MQTT-3.2.2-11]")
        case .atLeastOnce:
            guard let identifier = publish.packetIdentifier else {
                preconditionFailure("the decoder gives every QoS 1 publish its packet identifier")
            }
            if isSaturated, version == .v5_0 {
                throw MQTTError(.receiveMaximumExceeded, "PUBLISH exceeds the receive maximum [MQTT-3.3.4-8]")
            }
            return .publish(publish, publication: inbound.append(identifier))
        }
    }

    /// Accepts the CONNECT; returns its CONNACK.
    /// - Parameter assignedClientIdentifier: where the server chose it [MQTT-3.2.2-16].
    package mutating func accept(assignedClientIdentifier: String?, now: Int64) -> Connack {
        guard case .deciding(let connect) = state else {
            preconditionFailure("a connection is accepted once, after its CONNECT")
        }
        state = .live
        lastReceived = now
        // One and a half times the keep-alive [MQTT-3.1.2-22].
        grace = connect.keepAlive == 0 ? nil : Int64(connect.keepAlive) * 1_500_000_000
        let properties = connect.properties
        let window = min(limits.sendWindow, Int(properties.receiveMaximum ?? .max))
        outbound = OutboundWindow(
            window: window, queueLimit: limits.queueCount, queueByteLimit: limits.queueBytes)
        if let size = properties.maximumPacketSize { clientMaximumPacketSize = Int(size) }
        var granted: [Property] = []
        if connect.version == .v5_0 {
            // Sessions end with their connection, and this is how a client is told [MQTT-3.1.2-23].
            if properties.sessionExpiryInterval ?? 0 != 0 { granted.append(.sessionExpiryInterval(0)) }
            granted += [
                .receiveMaximum(limits.receiveMaximum), .maximumQoS(1), .maximumPacketSize(limits.maximumPacketSize),
            ]
            if let assignedClientIdentifier { granted.append(.assignedClientIdentifier(assignedClientIdentifier)) }
            granted.append(.sharedSubscriptionAvailable(0))
        }
        return Connack(reason: .success, properties: Properties(granted))
    }

    /// The last packet of a connection that ends for `error`: CONNACK before it was accepted, DISCONNECT after, or
    /// none where the version has none [MQTT-4.13.1-1] [MQTT-3.2.2-7]. `refusedLevel`: what the decoder says of it.
    package mutating func closing(for error: MQTTError, refusedLevel: UInt8? = nil) -> (Packet, ProtocolVersion)? {
        defer { state = .closed }
        let detail = wantsProblemInformation ? Properties([.reasonString(error.detail)]) : Properties()
        switch state {
        case .awaitingConnect:
            if let refusedLevel {
                // Older clients understand only the answer of 3.1.1; what is newer may understand 5.0's.
                let version: ProtocolVersion = refusedLevel > 5 ? .v5_0 : .v3_1_1
                return (.connack(Connack(reason: error.reason)), version)
            }
            return version == .v5_0 ? (.connack(Connack(reason: error.reason, properties: detail)), .v5_0) : nil
        case .deciding(let connect):
            let properties = connect.version == .v5_0 ? detail : Properties()
            return (.connack(Connack(reason: error.reason, properties: properties)), connect.version)
        case .live:
            guard version == .v5_0 else { return nil }
            return (.disconnect(Disconnect(reason: error.reason, properties: detail)), .v5_0)
        case .closed: return nil
        }
    }

    /// The decoder failed inside a CONNECT whose version it had read already: errors are answered in that version.
    package mutating func assume(version: ProtocolVersion?) {
        if self.version == nil { self.version = version }
    }

    // MARK: Acknowledgements and deliveries

    /// A publish is safe: appends every PUBACK that may now leave, in order.
    package mutating func settle(
        _ publication: UInt64, reason: ReasonCode = .success, into acknowledgements: inout [Acknowledgement]
    ) {
        inbound.settle(publication, reason: reason, into: &acknowledgements)
    }

    /// Decides on a QoS 1 message for this client.
    /// - Parameter hasRoom: the client's connection takes bytes right now.
    package mutating func deliver(
        _ publish: @autoclosure () -> Publish, size: Int, hasRoom: Bool
    ) -> OutboundWindow.Admission {
        isLive ? outbound.admit(publish(), size: size, hasRoom: hasRoom) : .dropped
    }

    /// A message that was admitted cannot be sent: its place in the window is free again. Nothing came from the client,
    /// so this is no sign of life.
    package mutating func giveUp(_ packetIdentifier: UInt16) { outbound.acknowledged(packetIdentifier) }

    /// The next message that waited and may be sent now.
    package mutating func nextQueued() -> Publish? { isLive ? outbound.next() : nil }

    // MARK: Time

    /// When to call `timerFired` next; `nil`: never.
    package var deadline: Int64? {
        switch state {
        case .awaitingConnect(let deadline): deadline
        case .live: grace.map { lastReceived + $0 }
        case .deciding, .closed: nil
        }
    }

    package mutating func timerFired(now: Int64) -> TimerAction {
        guard let deadline else { return .nothing }
        if now < deadline { return .wake(at: deadline) }
        return .close(
            isLive
                ? MQTTError(.keepAliveTimeout, "nothing came for one and a half times the keep-alive [MQTT-3.1.2-22]")
                : MQTTError(.maximumConnectTime, "no CONNECT came in time"))
    }
}
