internal import CMosquitto
internal import Glibc
internal import Logging
internal import Outbox
internal import Readings

/// What goes up: messages as far as the window allows, the gateway's state, the canary.
extension LinkLoop {
    // MARK: Canary

    /// A connection that ends sooner after a canary may have ended over it.
    private static let canaryGrace = Duration.seconds(2)
    private static let canaryLimit = 3

    /// When the next one is due; `nil` while there is none to be sent.
    var canaryDue: Instant? {
        guard machine.isUp, let current, let interval = configuration.canaryInterval, current.canary == nil,
            current.birth == nil, current.inFlight.count == 0, canaryDeaths < Self.canaryLimit
        else { return nil }
        return current.lastAcknowledged + interval
    }

    func sendCanary() throws(LinkFault) {
        guard let due = canaryDue, let current else { return }
        guard time.now().instant >= due else { return }
        try publishCanary(on: current)
    }

    private func publishCanary(on connection: LinkConnection) throws(LinkFault) {
        let now = time.now().instant
        let payload = Array(String(time.now().unixNanoseconds / 1_000_000).utf8)
        let (result, packetIdentifier) = connection.client.publish(
            topic: configuration.canaryTopic, payload: payload, retain: false)
        let code = errno
        guard result == MOSQ_ERR_SUCCESS.intValue else { throw connection.client.fault(result, code: code) }
        connection.canary = (packetIdentifier, now)
    }

    /// Whether the broker has shown that it takes others than `claimed`, where that matters: before a message is sent again
    /// over which it may have closed the connection. The canary asks it; where there is none, the gateway's state has to
    /// do.
    private func isProven(for claimed: OutboxStore.Claimed, on connection: LinkConnection) throws(LinkFault) -> Bool {
        guard poisonPolicy.needsProof(claimed.id) else { return true }
        guard connection.birth == nil else { return false }
        guard configuration.canaryInterval != nil, !isCanaryRefused, canaryDeaths < Self.canaryLimit else {
            poisonPolicy.acknowledged()
            return true
        }
        if connection.canary == nil, connection.inFlight.count == 0 { try publishCanary(on: connection) }
        return false
    }

    /// Whether the connection, if it ends now, may end over a canary.
    func mayEndOverCanary(now: Instant) -> Bool {
        guard let published = current?.canary?.published ?? current?.refusedCanary else { return false }
        return now - published < Self.canaryGrace
    }

    func noteCanaryDeath(now: Instant) {
        guard mayEndOverCanary(now: now) else { return }
        canaryDeaths += 1
        guard canaryDeaths == Self.canaryLimit else { return }
        logger.warning(
            "the upstream ends the connection over the canary; there will be none any more",
            metadata: [
                "topic": "\(configuration.canaryTopic)",
                "try": "allow the gateway's account to publish it on the broker",
            ])
    }

    // MARK: Messages

    var mayPublish: Bool {
        guard trial?.connection.isAnswered != true, current?.isAnswered == true else { return false }
        if case .stopping = machine.state { return true }
        return machine.isUp
    }

    /// Whether to wait for more acknowledgements before anything is sent or told.
    ///
    /// With more to send than the window takes, a turn per acknowledgement would keep every thread and the broker
    /// busy with changing over. A quarter of the window at a time, the processor time of a message falls by a third,
    /// and the broker still always has work. Ends by itself: what is on its way gets acknowledged, and it lasts no
    /// longer than ``gatheringTime``.
    func isGathering(now: Instant) -> Bool {
        guard mayPublish, let current else { return false }
        let window = window(of: current)
        return current.inFlight.count > window * 3 / 4 && current.inFlight.count + current.ready.count > window
            && now - current.lastSent < Self.gatheringTime
    }
    private static let gatheringTime = Duration.milliseconds(2)
    private static let gatheringPause = Duration.microseconds(200)

    /// How many may be on their way now.
    private func window(of connection: LinkConnection) -> Int {
        singleMessageMode.window(UpstreamConfiguration.usable(connection.window, isQuick: connection.isQuick))
    }

    /// Lets acknowledgements come without being woken by each of them, or by more messages.
    func gather() {
        usleep(UInt32(Self.gatheringPause.wholeNanoseconds / 1_000))
        if let socket = current?.client.socket { cmosquitto_acknowledge(socket) }
    }

    /// Publishes what is ready, up to the window.
    func sendReady() throws(LinkFault) {
        guard let current else { return }
        do throws(LinkFault) {
            if let failure = current.failure { throw failure }
            try publishReady()
        } catch {
            // What the broker said before it closed may still lie in the socket: acknowledgements, and its reason.
            try? current.client.read()
            try handleEvents(of: current)
            throw current.client.events.disconnectReason.map { .disconnected(reason: $0) } ?? error
        }
    }

    /// Publishes what is ready, up to the window, and reads nothing.
    func publishReady() throws(LinkFault) {
        guard mayPublish, let current, !current.ready.isEmpty else { return }
        let client = current.client
        let room = window(of: current) - current.inFlight.count - (current.birth == nil ? 0 : 1)
        guard room > 0, let next = current.ready.first, try isProven(for: next, on: current) else { return }
        let batch = current.ready.prefix(room)
        current.ready.removeFirst(batch.count)
        let now = time.now().instant
        current.lastSent = now
        let socket = batch.count > 1 ? client.socket : nil
        if let socket { cmosquitto_cork(socket, true) }
        // A socket that is closed in between is nobody else's yet: only the link's thread opens any for the client.
        defer { if let socket, client.socket == socket { cmosquitto_cork(socket, false) } }
        for claimed in batch { try send(claimed, on: current, now: now) }
    }

    private func send(
        _ claimed: OutboxStore.Claimed, on connection: LinkConnection, now: Instant
    ) throws(LinkFault) {
        let client = connection.client
        let payload = claimed.wirePayload(client.version)
        if let maximum = connection.maximumPacketBytes {
            let bytes = envelope.packetBytes(of: claimed, payloadBytes: payload.count, version: client.version)
            guard bytes <= maximum else { return refuse(claimed, .tooLarge(bytes: bytes, maximum: maximum)) }
        }
        // A C string would end at the NUL, and the message would go to another topic.
        guard !claimed.message.topic.utf8.contains(0) else { return refuse(claimed, .badTopic) }
        let topic = claimed.message.topic
        let retain = claimed.message.retain
        let result: Int32
        let packetIdentifier: Int32
        if client.version == .v5 {
            let properties: OpaquePointer?
            do throws(LinkFault) {
                properties = try envelope.properties(of: claimed)
            } catch {
                return refuse(claimed, .library(error.reason))
            }
            (result, packetIdentifier) = envelope.withProperties(of: claimed) {
                client.publish(topic: topic, payload: payload, retain: retain, envelope: $0, properties: properties)
            }
        } else {
            (result, packetIdentifier) = client.publish(topic: topic, payload: payload, retain: retain)
        }
        let code = errno
        switch result {
        case MOSQ_ERR_SUCCESS.intValue:
            connection.inFlight.append(
                InFlight.Item(packetIdentifier: packetIdentifier, claimed: claimed, published: now)
            )
            snapshot.published += 1
            gate.sent(topic, payload, packetIdentifier: packetIdentifier, now: now)
        case MOSQ_ERR_INVAL.intValue where mosquitto_pub_topic_check(topic) != MOSQ_ERR_SUCCESS.intValue:
            refuse(claimed, .badTopic)
        case MOSQ_ERR_INVAL.intValue, MOSQ_ERR_PAYLOAD_SIZE.intValue, MOSQ_ERR_MALFORMED_UTF8.intValue,
            MOSQ_ERR_OVERSIZE_PACKET.intValue:
            refuse(claimed, .library(String(cString: mosquitto_strerror(result))))
        default: throw client.fault(result, code: code)
        }
    }

    func refuse(_ claimed: OutboxStore.Claimed, _ cause: PublicationRefusal.Cause) {
        let refusal = PublicationRefusal(
            topic: claimed.message.topic, stream: claimed.stream, sequence: claimed.sequence, cause: cause
        )
        singleMessageMode.settled()
        snapshot.refused += 1
        snapshot.lastRefusal = refusal
        logger.error(
            "the upstream will never take a message; it is set aside, and a gap record goes in its place",
            metadata: ["error": "\(refusal)"])
        refused.append(LinkMailbox.Refused(id: claimed.id, reason: refusal.cause.description))
    }

    // MARK: State

    /// - Returns: the packet identifier.
    func publishState(_ state: String, on connection: LinkConnection) throws(LinkFault) -> Int32 {
        let (result, packetIdentifier) = connection.client.publish(
            topic: configuration.stateTopic, payload: Array(state.utf8), retain: true)
        let code = errno
        guard result == MOSQ_ERR_SUCCESS.intValue else { throw connection.client.fault(result, code: code) }
        return packetIdentifier
    }
}
