import MQTT
import NIOCore
import Readings

/// What becomes of application messages: taken, distributed, sent, acknowledged (MQTT 5.0 §4.3 … §4.6).
extension BrokerCore {
    // MARK: From devices

    func receive(
        _ publish: Publish, from client: Client, _ session: Session, publication: UInt64?
    ) throws(MQTTError) {
        client.received += 1
        traffic.publishesReceived += 1
        traffic.bytesReceived += UInt64(publish.payload.readableBytes)
        let token = publication.map { SettleToken(connection: client.number, publication: $0) }
        if publish.qos == .exactlyOnce, let token, let identifier = publish.packetIdentifier {
            guard try isNew(identifier, token: token, client, session) else { return }
        }
        // Acknowledged, and goes nowhere.
        if Self.isReserved(publish.topic) {
            if let token { settle(token, reason: .notAuthorized) }
            return
        }
        if let permissions = session.permissions, !permissions.mayPublish(publish.topic) {
            noteDenial(.publish, publish.topic, of: session)
            // 3.1.1 has no way to say so [MQTT-3.3.5-2]: there it is acknowledged, since a device that was never allowed
            // to would send it for ever. Where the denial may be wrong, the connection is closed instead, so that the
            // device keeps its message.
            let mayBeWrong = permissions.isProvisional && client.version != .v5_0
            if let token { settle(token, reason: mayBeWrong ? .unspecifiedError : .notAuthorized) }
            return
        }
        take(publish, from: session, settle: token)
    }

    /// The server's own topics (§4.7.2), and a prefix that names no topic.
    static func isReserved(_ topic: String) -> Bool {
        guard topic.utf8.first == UInt8(ascii: "$") else { return false }
        return topic.utf8.starts(with: "$SYS/".utf8) || topic.utf8.starts(with: "$share/".utf8)
    }

    /// Whether a QoS 2 publish is the first with its packet identifier; a repeated one is only acknowledged again
    /// [MQTT-4.3.3-10].
    ///
    /// Those without a PUBREL yet count against the receive maximum, which only a 5.0 client knows of: an older one may
    /// have as many open as there are packet identifiers.
    private func isNew(
        _ identifier: UInt16, token: SettleToken, _ client: Client, _ session: Session
    ) throws(MQTTError) -> Bool {
        switch session.received[identifier] {
        case nil:
            guard client.version != .v5_0 || session.received.count < Int(configuration.limits.receiveMaximum) else {
                throw MQTTError(
                    .receiveMaximumExceeded, "more QoS 2 publishes than granted wait for their PUBREL [MQTT-3.3.4-8]")
            }
            session.received[identifier] = .pending(connection: token.connection, publication: token.publication)
            receipts[token] = (session.number, identifier)
            return true
        case .safe:
            // What was kept of it for sessions may still be on its way to the disk.
            hold(.settle(connection: token.connection, publication: token.publication))
            return false
        case .pending(let connection, _):
            // The first one is still on its way into the store. On the same connection its PUBREC comes by itself.
            if connection == client.number {
                settle(token.publication, reason: .success, of: client)
            } else {
                session.received[identifier] = .pending(connection: token.connection, publication: token.publication)
                client.connection.require(token.publication)
                hold(.settle(connection: token.connection, publication: token.publication))
            }
            return false
        }
    }

    /// A message of a device or its will: kept as retained, distributed on the LAN, and handed up.
    func take(_ publish: Publish, from session: Session, settle token: SettleToken?) {
        let recorded = journal.recorded
        let goesUp = intake.wants(publish.topic)
        if publish.retain {
            store(retained: publish, from: session.id, isAcknowledged: token != nil, isKeptElsewhere: goesUp)
        }
        distribute(publish, from: session.number)
        if !goesUp, session.isKept, publish.qos == .exactlyOnce, token != nil, let identifier = publish.packetIdentifier
        {
            record(.received(session.id, packetIdentifier: identifier))
        }
        if let token, journal.recorded != recorded {
            // It is safe when both are: what goes upstream, and what waits for sessions.
            clients[token.connection]?.connection.require(token.publication)
            hold(.settle(connection: token.connection, publication: token.publication))
        }
        guard goesUp else {
            if let token { settle(token, reason: .success, isRecorded: true) }
            return
        }
        if let client = session.client, batchSenders.last != client.number { batchSenders.append(client.number) }
        batch.append(
            Arrival(
                source: .device(DeviceID(session.identifier)), topic: publish.topic,
                body: .payload(Array(publish.payload.readableBytesView)), retain: publish.retain, time: time.now(),
                expiry: publish.properties.messageExpiryInterval.map { .seconds(Int64($0)) },
                properties: publish.properties.message, settle: token))
    }

    /// A message is safe: its PUBACK or PUBREC leaves, each connection's in order. Reading goes on where it had to stop.
    ///
    /// With an error as `reason` it is not kept. An acknowledgement of 3.1.1 cannot say so and would promise what is
    /// not true: such a client is closed instead, and will send again.
    ///
    /// Of a QoS 2 message that goes upstream it is noted only now that its packet identifier was received: noted before,
    /// a crash between the two would have its repetition acknowledged, and nobody would have the message. Its PUBREC
    /// waits for that note.
    /// - Parameter isRecorded: the note was made already, with what of the message is kept.
    func settle(_ token: SettleToken, reason: ReasonCode, isRecorded: Bool = false) {
        var token = token
        if let receipt = receipts.removeValue(forKey: token), let session = sessions[receipt.session],
            case .pending(let connection, let publication)? = session.received[receipt.packetIdentifier],
            case let current = SettleToken(connection: connection, publication: publication),
            // Unless the device let the identifier go too early, and uses it for another message by now.
            receipts[current] == nil
        {
            // The device may have come back and sent it again meanwhile.
            token = current
            session.received[receipt.packetIdentifier] = reason.isError ? nil : .safe
            if session.isKept {
                if reason.isError {
                    record(.released(session.id, packetIdentifier: receipt.packetIdentifier))
                } else if !isRecorded {
                    record(.received(session.id, packetIdentifier: receipt.packetIdentifier))
                    return hold(.settle(connection: token.connection, publication: token.publication))
                }
            }
        }
        if let client = clients[token.connection] { settle(token.publication, reason: reason, of: client) }
    }

    /// ``settle(_:reason:)`` from outside a turn.
    func settled(_ tokens: [SettleToken], reason: ReasonCode) {
        for token in tokens { settle(token, reason: reason) }
        endTurn()
    }

    func settle(_ publication: UInt64, reason: ReasonCode, of client: Client) {
        if reason.isError, client.version != .v5_0, reason != .notAuthorized {
            return close(client, for: MQTTError(reason, "its message was not kept"))
        }
        let wasPaused = client.isPaused
        acknowledgements.removeAll(keepingCapacity: true)
        client.connection.settle(publication, reason: reason, into: &acknowledgements)
        for settled in acknowledgements {
            send(
                settled.qos == .exactlyOnce ? .pubrec(settled.acknowledgement) : .puback(settled.acknowledgement),
                to: client)
        }
        if wasPaused, !client.isPaused { goOn(client) }
    }

    /// The client lets a QoS 2 packet identifier go: whatever comes under it next is a new message [MQTT-4.3.3-11].
    func pubrel(_ acknowledgement: Acknowledgement, _ session: Session) throws(MQTTError) {
        guard let client = session.client else { return }
        let identifier = acknowledgement.packetIdentifier
        guard session.received.removeValue(forKey: identifier) != nil else {
            guard !client.connection.owesPuback(identifier) else { throw Self.outOfPlace("PUBREL", identifier) }
            return send(
                .pubcomp(Acknowledgement(packetIdentifier: identifier, reason: .packetIdentifierNotFound)), to: client)
        }
        if session.isKept { record(.released(session.id, packetIdentifier: identifier)) }
        hold(.packet(.pubcomp(Acknowledgement(packetIdentifier: identifier)), client: client.number))
    }

    // MARK: To devices

    /// The gateway's own messages for LAN subscribers.
    /// - Parameter stored: called when what they change is on disk.
    func publish(_ messages: [LocalMessage], stored: (@Sendable () -> Void)? = nil) {
        for message in messages {
            let publish = Publish(
                topic: message.topic, payload: ByteBuffer(bytes: message.payload), qos: .atLeastOnce,
                retain: message.retain, properties: Properties(message))
            if publish.retain {
                store(retained: publish, from: nil, isAcknowledged: false, isKeptElsewhere: false)
            }
            distribute(publish, from: nil)
        }
        if let stored { hold(.call(stored)) }
        endTurn()
    }

    private func store(
        retained publish: Publish, from origin: SessionID?, isAcknowledged: Bool, isKeptElsewhere: Bool
    ) {
        guard retained.store(publish, from: origin, now: now) else { return }
        keep(retained: publish.topic, isAcknowledged: isAcknowledged, isKeptElsewhere: isKeptElsewhere)
    }

    func distribute(_ publish: Publish, from origin: UInt64?) {
        // Taken out meanwhile: a socket that fails while it is handed bytes reports what it had read and its end before
        // the call returns, and that may distribute messages of its own.
        var matches = self.matches
        self.matches = []
        defer { self.matches = matches }
        matches.removeAll(keepingCapacity: true)
        subscriptions.forEachMatch(topic: publish.topic) { matches.append(($0, $1)) }
        var fanOut = FanOut(publish, allocator: allocator, now: now)
        if matches.count > 1 { matches.sort { $0.0 < $1.0 } }
        var index = 0
        while index < matches.count {
            // Overlapping subscriptions of one client: one copy at the highest QoS, with all identifiers
            // [MQTT-3.3.4-2] [MQTT-3.3.4-3].
            let number = matches[index].0
            var qos = QoS.atMostOnce
            var retain = false
            var identifiers: [UInt32] = []
            var isWanted = false
            while index < matches.count, matches[index].0 == number {
                let subscription = matches[index].1
                index += 1
                // A client's own publish, where it does not want those [MQTT-3.8.3-3].
                if subscription.noLocal, number == origin { continue }
                isWanted = true
                qos = max(qos, subscription.qos)
                retain = retain || subscription.retainAsPublished && publish.retain
                if let identifier = subscription.identifier { identifiers.append(identifier) }
            }
            guard isWanted, let session = sessions[number] else { continue }
            deliver(&fanOut, to: session, qos: min(qos, publish.qos), retain: retain, identifiers: identifiers)
        }
        guard shared.count > 0 else { return }
        var turns: [(UInt64, Session.Subscription)] = []
        shared.forEachMatch(
            topic: publish.topic,
            isReady: { [sessions] in
                guard let session = sessions[$0], session.client != nil else { return false }
                return session.permissions?.mayReceive(publish.topic) ?? true
            }
        ) { turns.append(($0, $1)) }
        for (number, subscription) in turns {
            guard let session = sessions[number] else { continue }
            deliver(
                &fanOut, to: session, qos: min(subscription.qos, publish.qos),
                retain: subscription.retainAsPublished && publish.retain,
                identifiers: subscription.identifier.map { [$0] } ?? [])
        }
    }

    func deliver(_ fanOut: inout FanOut, to session: Session, qos: QoS, retain: Bool, identifiers: [UInt32]) {
        if let permissions = session.permissions, !permissions.mayReceive(fanOut.publish.topic) { return }
        if qos == .atMostOnce {
            guard let client = session.client, !client.isClosing else { return }
            guard hasRoom(client) else {
                counters.dropped += 1
                return
            }
            return sendShared(
                &fanOut, to: client, qos: qos, retain: retain, identifiers: identifiers, packetIdentifier: nil)
        }
        let size = fanOut.publish.queuedSize
        if session.isKept {
            guard keptBytes + size <= configuration.maximumKeptBytes else {
                counters.dropped += 1
                return
            }
            var delivery = Delivery(
                message: fanOut.queued(), qos: qos, retain: retain, subscriptionIdentifiers: identifiers)
            guard let number = session.outbound.enqueue(delivery, size: size) else { return }
            delivery.number = number
            self.retain(delivery.message)
            store(delivery, of: session)
            if let client = session.client { pump(client) }
            return
        }
        guard let client = session.client, !client.isClosing else { return }
        let admission = session.outbound.admit(
            Delivery(message: fanOut.queued(), qos: qos, retain: retain, subscriptionIdentifiers: identifiers),
            qos: qos, size: size, hasRoom: hasRoom(client))
        guard case .send(let identifier) = admission else { return }
        sendShared(
            &fanOut, to: client, qos: qos, retain: retain, identifiers: identifiers, packetIdentifier: identifier)
    }

    /// Sends a message just as it came; nearly all get the same bytes.
    private func sendShared(
        _ fanOut: inout FanOut, to client: Client, qos: QoS, retain: Bool, identifiers: [UInt32],
        packetIdentifier: UInt16?
    ) {
        guard !retain, identifiers.isEmpty || client.version != .v5_0, client.aliases.isOff else {
            var copy = fanOut.copy(qos: qos, retain: retain, subscriptionIdentifiers: identifiers)
            copy.packetIdentifier = packetIdentifier
            return send(copy, to: client)
        }
        let (bytes, place) = fanOut.shared(qos: qos, version: client.version)
        guard bytes.readableBytes <= client.connection.clientMaximumPacketSize else {
            return giveUp(packetIdentifier, of: client)
        }
        client.append(bytes, packetIdentifier: packetIdentifier.flatMap { value in place.map { (value, $0) } })
        noteSent(client, bytes: fanOut.publish.payload.readableBytes)
    }

    private func send(_ publish: Publish, to client: Client) {
        let limit = client.connection.clientMaximumPacketSize
        let aliased = client.aliases.isOff ? publish : client.aliases.apply(to: publish, limit: limit)
        guard aliased.wireSize(version: client.version) <= limit else {
            return giveUp(publish.packetIdentifier, of: client)
        }
        client.append(.publish(aliased), version: client.version)
        noteSent(client, bytes: publish.payload.readableBytes)
    }

    /// A message larger than the client accepts is not sent, and counts as delivered [MQTT-3.1.2-24] [MQTT-3.1.2-25].
    private func giveUp(_ packetIdentifier: UInt16?, of client: Client) {
        counters.dropped += 1
        guard let packetIdentifier, let session = client.session else { return }
        if case .done(let number, let delivery) = session.outbound.giveUp(packetIdentifier) {
            forget(number, delivery, of: session)
        }
    }

    private func noteSent(_ client: Client, bytes: Int) {
        client.sent += 1
        traffic.publishesSent += 1
        traffic.bytesSent += UInt64(bytes)
        markDirty(client)
    }

    /// Sends what waits in the client's session, as far as it goes.
    func pump(_ client: Client) {
        guard let session = client.session, session.client === client else { return }
        let now = now
        while !client.isClosing, hasRoom(client),
            let step = session.outbound.next(keeps: session.isKept, committed: journal.committed, now: now)
        {
            switch step {
            case .publish(let delivery, let identifier, let dup):
                send(delivery.publish(packetIdentifier: identifier, dup: dup, now: now), to: client)
            case .pubrel(let identifier): send(.pubrel(Acknowledgement(packetIdentifier: identifier)), to: client)
            case .assigned(let number, let identifier):
                // Sent under another identifier after a crash, the message would be taken for a new one.
                record(
                    .inFlight(
                        session.id, number: number, packetIdentifier: identifier, phase: .pubrec))
                session.outbound.hold(until: journal.pendingBatch)
                hold(.pump(session: session.number))
            case .expired(let delivery): forget(delivery.number, delivery, of: session)
            }
        }
    }

    // MARK: Acknowledgements from devices

    /// [MQTT-4.3.2-3]
    func puback(_ acknowledgement: Acknowledgement, _ session: Session) throws(MQTTError) {
        try finish("PUBACK", acknowledgement, phase: .puback, of: session)
    }

    /// The receiver has the message: PUBREL follows [MQTT-4.3.3-5], once that is noted. A refusal ends it
    /// [MQTT-4.3.3-4].
    func pubrec(_ acknowledgement: Acknowledgement, _ session: Session) throws(MQTTError) {
        guard let client = session.client else { return }
        let identifier = acknowledgement.packetIdentifier
        if acknowledgement.reason.isError {
            return try finish("PUBREC", acknowledgement, phase: .pubrec, of: session)
        }
        switch session.outbound.received(identifier) {
        case .received(let number, let delivery):
            if let delivery, session.isKept {
                if delivery.message.storeNumber != 0 {
                    record(
                        .inFlight(
                            session.id, number: number, packetIdentifier: identifier, phase: .pubcomp))
                }
                release(delivery.message)
            }
            hold(.packet(.pubrel(Acknowledgement(packetIdentifier: identifier)), client: client.number))
        case .outOfPlace: throw Self.outOfPlace("PUBREC", identifier)
        case .done, .unknown:
            send(
                .pubrel(Acknowledgement(packetIdentifier: identifier, reason: .packetIdentifierNotFound)), to: client)
        }
    }

    func pubcomp(_ acknowledgement: Acknowledgement, _ session: Session) throws(MQTTError) {
        try finish("PUBCOMP", acknowledgement, phase: .pubcomp, of: session)
    }

    private func finish(
        _ packet: String, _ acknowledgement: Acknowledgement, phase: OutboundWindow.Phase, of session: Session
    ) throws(MQTTError) {
        switch session.outbound.acknowledged(acknowledgement.packetIdentifier, phase: phase) {
        case .done(let number, let delivery):
            forget(number, delivery, of: session)
            if let client = session.client { pump(client) }
        case .outOfPlace: throw Self.outOfPlace(packet, acknowledgement.packetIdentifier)
        case .received, .unknown: break
        }
    }

    /// [MQTT-4.3.2-2] [MQTT-4.3.3-3]: each QoS has its own acknowledgements, in their order.
    private static func outOfPlace(_ packet: String, _ identifier: UInt16) -> MQTTError {
        MQTTError(.protocolError, "\(packet) is not what the message with packet identifier \(identifier) waits for")
    }

    /// A message is done with, as far as this session is concerned.
    private func forget(_ number: UInt64, _ delivery: Delivery?, of session: Session) {
        guard session.isKept else { return }
        if number != 0 { record(.dequeued(session.id, number: number)) }
        if let delivery { release(delivery.message) }
    }
}
