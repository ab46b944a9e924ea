import Logging
import MQTT
import NIOCore
import Readings

/// All of the listener's state and what happens to it: clients, subscriptions, retained messages. Lives on one event
/// loop, so it needs no locks; the sockets' side is ``ClientHandler``.
final class BrokerCore {
    private struct Subscription: Sendable {
        var qos: QoS
        var noLocal: Bool
        var retainAsPublished: Bool
        var identifier: UInt32?
    }

    private let configuration: BrokerConfiguration
    private let authenticator: any Authenticator
    private let intake: any Intake
    private let time: any TimeSource
    private let logger: Logger
    private let allocator = ByteBufferAllocator()

    private var clients: [UInt64: Client] = [:]
    private var byIdentifier: [WireText: UInt64] = [:]
    /// Connections without a CONNECT yet, oldest first; numbers of those that went on are skipped when they come up.
    private var pending: [UInt64] = []
    private var pendingCount = 0
    private var nextNumber: UInt64 = 1
    private var subscriptions = SubscriptionTree<UInt64, Subscription>()
    private var retained: RetainedStore
    private var counters = BrokerSnapshot.Counters()

    /// Publishes of the read that is going on, for the intake.
    private var batch: [Arrival] = []
    private var dirty: [Client] = []
    /// Reused by every settle.
    private var acknowledgements: [Acknowledgement] = []
    /// Reused by every match.
    private var matches: [(UInt64, Subscription)] = []
    private var isStopping = false

    init(
        configuration: BrokerConfiguration, intake: any Intake, time: any TimeSource, logger: Logger
    ) {
        self.configuration = configuration
        authenticator = configuration.authenticator ?? AnonymousAuthenticator()
        self.intake = intake
        self.time = time
        self.logger = logger
        retained = RetainedStore(
            countLimit: configuration.maximumRetained, byteLimit: configuration.maximumRetainedBytes,
            levelLimit: configuration.maximumTopicLevels)
    }

    private var now: Int64 { Int64(NIODeadline.now().uptimeNanoseconds) }

    // MARK: Connections

    /// A connection was accepted. Where too many have not sent their CONNECT, the oldest of them gives way: whoever
    /// just came is more likely to be a device than who has been silent for longest.
    func opened(_ channel: any Channel) -> Client? {
        guard !isStopping else { return nil }
        let client = Client(number: nextNumber, channel: channel, limits: configuration.limits, now: now)
        nextNumber += 1
        clients[client.number] = client
        pending.append(client.number)
        pendingCount += 1
        counters.accepted += 1
        while pendingCount > configuration.maximumPending, let oldest = oldestPending() {
            counters.silent += 1
            close(oldest, for: MQTTError(.serverBusy, "too many connections without CONNECT"))
        }
        if pending.count > 64, pending.count > pendingCount * 2 {
            pending.removeAll { clients[$0]?.identifier.isEmpty != true }
        }
        return client
    }

    private func oldestPending() -> Client? {
        while let number = pending.first {
            pending.removeFirst()
            if let client = clients[number], client.identifier.isEmpty { return client }
        }
        return nil
    }

    /// The connection is gone, for whatever reason: its subscriptions go, and its will is published unless it left
    /// in order [MQTT-3.1.2-8] [MQTT-3.1.2-10].
    func closed(_ client: Client) {
        client.isClosing = true
        guard clients.removeValue(forKey: client.number) != nil else { return }
        if client.identifier.isEmpty { pendingCount -= 1 }
        counters.dropped += client.connection.droppedMessages
        for filter in client.filters { subscriptions.remove(client.number, filter: filter.string) }
        let identifier = WireText(client.identifier)
        if byIdentifier[identifier] == client.number { byIdentifier[identifier] = nil }
        if let will = client.will {
            client.will = nil
            // The session ends with the connection, and the will is due at its end at the latest [MQTT-3.1.3-9].
            var publish = Publish(
                topic: will.topic, payload: will.payload, qos: min(will.qos, .atLeastOnce), retain: will.retain,
                properties: will.properties)
            publish.properties.list.removeAll { if case .willDelayInterval = $0 { true } else { false } }
            take(publish, from: client, publication: nil)
        }
        if !client.identifier.isEmpty {
            logger.debug("client gone", metadata: ["client": "\(client.identifier)"])
        }
    }

    /// Ends a connection, telling the client why where its version can [MQTT-4.13.1-1].
    func close(_ client: Client, for error: MQTTError) {
        guard !client.isClosing else { return }
        client.connection.assume(version: client.decoder.version)
        if let (packet, version) = client.connection.closing(for: error, refusedLevel: client.decoder.refusedLevel) {
            client.append(packet, version: version)
        }
        logger.debug(
            "connection closed",
            metadata: ["client": "\(client.identifier)", "address": "\(client.address)", "reason": "\(error.detail)"])
        end(client)
    }

    /// Sends what waits, then closes. A client that takes no bytes is closed at once.
    private func end(_ client: Client) {
        guard !client.isClosing else { return }
        client.isClosing = true
        if client.channel.isWritable, let output = client.output, output.readableBytes > 0 {
            let channel = client.channel
            channel.writeAndFlush(output).whenComplete { _ in channel.close(promise: nil) }
        } else {
            client.channel.close(promise: nil)
        }
        // The will and the subscriptions do not wait for the socket.
        closed(client)
    }

    // MARK: Packets

    /// Decodes and handles what a client sent, as far as it may go on.
    /// - Parameter isGone: the client hung up, so nothing can be held back any longer: what it had sent before is
    ///   still taken, its DISCONNECT among it.
    func received(_ client: Client, isGone: Bool = false) {
        while !client.isClosing, isGone || !client.isPaused, var input = client.input {
            client.input = nil
            do throws(MQTTError) {
                let packet = try client.decoder.next(from: &input)
                if input.readableBytes > 0 {
                    // What was taken is not to be kept alive by what is still to come.
                    if packet == nil, input.readerIndex > 0 { input.discardReadBytes() }
                    client.input = input
                }
                guard let packet else { return }
                try handle(try client.connection.receive(packet, now: now), from: client)
            } catch {
                counters.violations += 1
                close(client, for: error)
            }
        }
    }

    /// The read is over: hands the publishes up, and every client what waits for it.
    func endTurn() {
        if !batch.isEmpty {
            let full = batch
            batch.removeAll(keepingCapacity: true)
            if intake.accept(full) == .congested {
                for arrival in full {
                    if case .device(let id) = arrival.source, let number = byIdentifier[WireText(id.name)] {
                        clients[number]?.isHeldBack = true
                    }
                }
            }
        }
        while let client = dirty.popLast() {
            client.isDirty = false
            if !client.isClosing { client.flush() }
        }
    }

    private func handle(_ request: ServerConnection.Request, from client: Client) throws(MQTTError) {
        switch request {
        case .connect(let connect): try self.connect(connect, client)
        case .publish(let publish, let publication): receive(publish, from: client, publication: publication)
        case .acknowledged: pump(client)
        case .subscribe(let packet): subscribe(packet, client)
        case .unsubscribe(let packet): unsubscribe(packet, client)
        case .ping: send(.pingresp, to: client)
        case .disconnect(let withWill):
            if !withWill { client.will = nil }
            end(client)
        case .nothing: break
        }
    }

    private func connect(_ connect: Connect, _ client: Client) throws(MQTTError) {
        func refuse(_ reason: ReasonCode, _ detail: String) -> MQTTError {
            counters.refused += 1
            return MQTTError(reason, detail)
        }
        if isStopping { throw refuse(.serverShuttingDown, "the server is shutting down") }
        if connect.properties.authenticationMethod != nil {
            throw refuse(.badAuthenticationMethod, "no authentication method is supported [MQTT-4.12.0-1]")
        }
        if connect.version == .v5_0, connect.will?.qos == .exactlyOnce {
            throw refuse(.qosNotSupported, "the will has QoS 2; the maximum is 1 [MQTT-3.2.2-12]")
        }
        var identifier = connect.clientIdentifier
        var assigned: String?
        if identifier.isEmpty {
            if connect.version == .v3_1_1, !connect.cleanStart {
                throw refuse(
                    .clientIdentifierNotValid, "an empty client identifier needs a clean session [MQTT-3.1.3-8]")
            }
            identifier = "auto-\(client.number)-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
            assigned = identifier
        }
        let verdict = authenticator.decide(connect)
        guard verdict == .success else { throw refuse(verdict, "the client may not connect") }
        if let number = byIdentifier[WireText(identifier)], let old = clients[number] {
            // The new connection takes the identifier over [MQTT-3.1.4-3].
            close(old, for: MQTTError(.sessionTakenOver, "another connection uses the client identifier"))
        } else if clients.count - pendingCount >= configuration.maximumClients {
            throw refuse(
                .serverBusy, "\(configuration.maximumClients) clients are connected, which is all that are served")
        }
        client.identifier = identifier
        pendingCount -= 1
        byIdentifier[WireText(identifier)] = client.number
        client.will = connect.will.map { will in
            var kept = will
            kept.payload = ByteBuffer(bytes: will.payload.readableBytesView)
            return kept
        }
        send(.connack(client.connection.accept(assignedClientIdentifier: assigned, now: now)), to: client)
        logger.debug("client connected", metadata: ["client": "\(identifier)", "address": "\(client.address)"])
    }

    // MARK: Publishes from devices

    private func receive(_ publish: Publish, from client: Client, publication: UInt64?) {
        client.received += 1
        // `$`-topics are the server's own (§4.7.2): a device's publish there is acknowledged and goes nowhere.
        if publish.topic.utf8.first == UInt8(ascii: "$") {
            if let publication {
                acknowledge(publication, reason: .notAuthorized, to: client)
            }
            return
        }
        take(publish, from: client, publication: publication)
    }

    private func take(_ publish: Publish, from client: Client, publication: UInt64?) {
        if publish.retain { retained.store(publish, now: now) }
        distribute(publish, from: client.number)
        batch.append(
            Arrival(
                source: .device(DeviceID(client.identifier)), topic: publish.topic,
                body: .payload(Array(publish.payload.readableBytesView)), retain: publish.retain, time: time.now(),
                settle: publication.map { SettleToken(connection: client.number, publication: $0) }))
    }

    /// Messages are safe: their PUBACKs leave, each connection's in order. Reading goes on where it had to stop.
    ///
    /// With an error as `reason` they are not kept. A PUBACK of 3.1.1 cannot say so and would promise what is not true:
    /// such a client is closed instead, and will send again [MQTT-3.3.5-2 of 3.1.1].
    func settle(_ tokens: [SettleToken], reason: ReasonCode) {
        for token in tokens {
            guard let client = clients[token.connection] else { continue }
            if reason.isError, client.version == .v3_1_1 {
                close(client, for: MQTTError(reason, "its message was not kept"))
                continue
            }
            let wasPaused = client.isPaused
            acknowledge(token.publication, reason: reason, to: client)
            if wasPaused, !client.isPaused { goOn(client) }
        }
        endTurn()
    }

    private func acknowledge(_ publication: UInt64, reason: ReasonCode, to client: Client) {
        acknowledgements.removeAll(keepingCapacity: true)
        client.connection.settle(publication, reason: reason, into: &acknowledgements)
        for acknowledgement in acknowledgements { send(.puback(acknowledgement), to: client) }
    }

    /// The intake has room again. A listener that stops has been told to read no more, and does not.
    func resume() {
        guard !isStopping else { return }
        for client in clients.values where client.isHeldBack {
            client.isHeldBack = false
            if !client.isPaused { goOn(client) }
        }
        endTurn()
    }

    /// Takes what had been read already, then asks the socket for more.
    private func goOn(_ client: Client) {
        received(client)
        if !client.isPaused, !client.isClosing { client.channel.read() }
    }

    // MARK: Publishes to devices

    /// The gateway's own messages for LAN subscribers.
    func publish(_ messages: [LocalMessage]) {
        for message in messages {
            let publish = Publish(
                topic: message.topic, payload: ByteBuffer(bytes: message.payload), qos: .atLeastOnce,
                retain: message.retain)
            if publish.retain { retained.store(publish, now: now) }
            distribute(publish, from: nil)
        }
        endTurn()
    }

    private func distribute(_ publish: Publish, from origin: UInt64?) {
        matches.removeAll(keepingCapacity: true)
        subscriptions.forEachMatch(topic: publish.topic) { matches.append(($0, $1)) }
        guard !matches.isEmpty else { return }
        var fanOut = FanOut(publish, allocator: allocator)
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
            guard isWanted, let client = clients[number] else { continue }
            deliver(&fanOut, to: client, qos: min(qos, publish.qos), retain: retain, identifiers: identifiers)
        }
    }

    private func deliver(_ fanOut: inout FanOut, to client: Client, qos: QoS, retain: Bool, identifiers: [UInt32]) {
        let isShared = !retain && (identifiers.isEmpty || client.version == .v3_1_1)
        let hasRoom = hasRoom(client)
        var packetIdentifier: UInt16?
        if qos == .atMostOnce {
            guard hasRoom else {
                counters.dropped += 1
                return
            }
        } else {
            let admission = client.connection.deliver(
                own(fanOut.copy(qos: qos, retain: retain, subscriptionIdentifiers: identifiers)),
                size: fanOut.publish.queuedSize, hasRoom: hasRoom)
            guard case .send(let identifier) = admission else { return }
            packetIdentifier = identifier
        }
        if isShared {
            let (bytes, place) = fanOut.shared(qos: qos, version: client.version)
            guard bytes.readableBytes <= client.connection.clientMaximumPacketSize else {
                return giveUp(packetIdentifier, of: client)
            }
            client.append(bytes, packetIdentifier: packetIdentifier.flatMap { value in place.map { (value, $0) } })
            noteSent(client)
        } else {
            var copy = fanOut.copy(qos: qos, retain: retain, subscriptionIdentifiers: identifiers)
            copy.packetIdentifier = packetIdentifier
            send(copy, to: client)
        }
    }

    /// A payload that will wait is not to keep the read alive that it is a slice of.
    private func own(_ publish: Publish) -> Publish {
        var own = publish
        own.payload = ByteBuffer(bytes: publish.payload.readableBytesView)
        return own
    }

    private func send(_ publish: Publish, to client: Client) {
        guard publish.wireSize(version: client.version) <= client.connection.clientMaximumPacketSize else {
            return giveUp(publish.packetIdentifier, of: client)
        }
        client.append(.publish(publish), version: client.version)
        noteSent(client)
    }

    /// A message larger than the client accepts is not sent, and counts as delivered [MQTT-3.1.2-24] [MQTT-3.1.2-25].
    private func giveUp(_ packetIdentifier: UInt16?, of client: Client) {
        counters.dropped += 1
        if let packetIdentifier { client.connection.giveUp(packetIdentifier) }
    }

    private func noteSent(_ client: Client) {
        client.sent += 1
        markDirty(client)
    }

    /// There is room in front of the client, if need be after handing its socket what waits already: one turn may
    /// bring more than the bound.
    private func hasRoom(_ client: Client) -> Bool {
        if client.outputBytes >= configuration.maximumOutputBytes { client.flush() }
        return client.outputBytes < configuration.maximumOutputBytes
    }

    /// Sends what waited in the client's window, as far as it goes.
    func pump(_ client: Client) {
        while hasRoom(client), let publish = client.connection.nextQueued() { send(publish, to: client) }
    }

    private func send(_ packet: Packet, to client: Client) {
        client.append(packet, version: client.version)
        markDirty(client)
        // Answers are owed, so they cannot be dropped: a client that asks and asks and never reads has to go.
        if !hasRoom(client), client.outputBytes > configuration.maximumOutputBytes * 4 {
            close(client, for: MQTTError(.quotaExceeded, "the client does not read its answers"))
        }
    }

    private func markDirty(_ client: Client) {
        guard !client.isDirty else { return }
        client.isDirty = true
        dirty.append(client)
    }

    // MARK: Subscriptions

    private func subscribe(_ packet: Subscribe, _ client: Client) {
        var reasons: [ReasonCode] = []
        var deliveries: [(Subscribe.Filter, isNew: Bool)] = []
        let identifier = packet.properties.subscriptionIdentifier
        for filter in packet.filters {
            if Topic.isShared(filter.filter) {
                reasons.append(
                    Topic.isValidFilter(filter.filter) ? .sharedSubscriptionsNotSupported : .topicFilterInvalid)
                continue
            }
            guard Topic.isValidFilter(filter.filter) else {
                reasons.append(.topicFilterInvalid)
                continue
            }
            guard
                client.filters.contains(WireText(filter.filter))
                    || client.filters.count < configuration.maximumSubscriptions,
                Topic.levelCount(filter.filter) <= configuration.maximumTopicLevels
            else {
                reasons.append(.quotaExceeded)
                continue
            }
            let qos = min(filter.qos, .atLeastOnce)
            let isNew = subscriptions.insert(
                client.number, filter: filter.filter,
                options: Subscription(
                    qos: qos, noLocal: filter.noLocal, retainAsPublished: filter.retainAsPublished,
                    identifier: identifier))
            client.filters.insert(WireText(filter.filter))
            reasons.append(qos == .atMostOnce ? .success : .grantedQoS1)
            deliveries.append((filter, isNew))
        }
        // The SUBACK goes first, as every client expects, though either order is allowed [MQTT-3.8.4-1].
        send(.suback(Suback(packetIdentifier: packet.packetIdentifier, reasons: reasons)), to: client)
        for (filter, isNew) in deliveries {
            switch filter.retainHandling {
            case .send: break
            case .sendIfNew where isNew: break
            case .sendIfNew, .doNotSend: continue
            }
            for publish in retained.matches(filter.filter, now: now) where !client.isClosing {
                var fanOut = FanOut(publish, allocator: allocator)
                // Sent because of the subscription: the retain flag says so [MQTT-3.3.1-8].
                deliver(
                    &fanOut, to: client, qos: min(filter.qos, publish.qos, .atLeastOnce), retain: true,
                    identifiers: identifier.map { [$0] } ?? [])
            }
        }
    }

    private func unsubscribe(_ packet: Unsubscribe, _ client: Client) {
        let reasons = packet.filters.map { filter -> ReasonCode in
            guard client.filters.remove(WireText(filter)) != nil else { return .noSubscriptionExisted }
            subscriptions.remove(client.number, filter: filter)
            return .success
        }
        send(.unsuback(Unsuback(packetIdentifier: packet.packetIdentifier, reasons: reasons)), to: client)
    }

    // MARK: Time and end

    /// The connection's timer went off; returns when to call again.
    func timerFired(_ client: Client) -> Int64? {
        guard !client.isClosing else { return nil }
        switch client.connection.timerFired(now: now) {
        case .wake(let at): return at
        case .nothing: return nil
        case .close(let error):
            if client.identifier.isEmpty { counters.silent += 1 }
            close(client, for: error)
            endTurn()
            return nil
        }
    }

    /// No more packets are taken; acknowledgements that become due still leave.
    func stopTaking() {
        isStopping = true
        for client in clients.values { client.isHeldBack = true }
    }

    /// Acknowledgements that devices still wait for.
    var owedAcknowledgements: Int { clients.values.reduce(0) { $0 + $1.connection.owedAcknowledgements } }

    /// Says goodbye to everybody.
    func closeAll() {
        isStopping = true
        for client in Array(clients.values) {
            // The gateway leaves, not the device: its will does not speak for that.
            client.will = nil
            close(client, for: MQTTError(.serverShuttingDown, "the server is shutting down"))
        }
        endTurn()
    }

    func snapshot(listening: [String]) -> BrokerSnapshot {
        var counters = counters
        counters.retainedRefused = retained.refused
        let base = now
        let instant = time.now().instant
        let live = clients.values.filter { !$0.identifier.isEmpty }.sorted { $0.number < $1.number }
        return BrokerSnapshot(
            listening: listening,
            clients: live.map { client in
                BrokerSnapshot.Client(
                    id: client.identifier, address: client.address, version: client.version == .v5_0 ? "5.0" : "3.1.1",
                    connectedSince: instant + .nanoseconds(client.connectedAt - base), received: client.received,
                    sent: client.sent)
            },
            counters: counters, subscriptions: subscriptions.count, retained: retained.count)
    }
}

extension Client {
    /// The peer's address, without its port.
    var address: String { channel.remoteAddress?.ipAddress ?? "local" }
}
