internal import CMosquitto
internal import Glibc
internal import Logging
internal import Outbox
internal import Readings
internal import Synchronization

/// The body of the link's thread: polls the socket, feeds libmosquitto and does what the machine says.
///
/// Everything here belongs to that one thread; the mailbox and the snapshot are the doors.
final class LinkLoop {
    private let configuration: UpstreamConfiguration
    private var envelope = Envelope()
    private let time: any TimeSource
    private let mailbox: LinkMailbox
    private let published: LinkSnapshotBox
    private let accepted: @Sendable ([UpstreamArrival]) -> Void
    /// Lets the outbox know what the mailbox says; `true`: at once, if that can be.
    private let report: @Sendable (Bool) -> Void
    private let logger: Logger

    private var machine: LinkMachine
    private var plan: DialPlan
    private var random = SystemRandomNumberGenerator()
    private var verdict = PublicationVerdict()
    private var caution = Caution()
    private var snapshot: LinkSnapshot

    // Of the present connection.
    private var client: MosquittoClient?
    private var connection: UInt64 = 0
    /// How many messages may be on their way: often less than the configuration's window, since mosquitto's receive
    /// maximum is 20. The task claims ahead of it, so that the pipe stays full during a commit.
    private var window = 0
    private var maximumPacketBytes: Int?
    private var ready: [OutboxStore.Claimed] = []
    private var inFlight = InFlight()
    /// Done with and not told to the task yet.
    private var settled: [MessageID] = []
    private var refused: [LinkMailbox.Refused] = []
    private var latency: Duration?
    private var birth: (packetIdentifier: Int32, published: Instant)?
    private var canary: (packetIdentifier: Int32, published: Instant)?
    /// How often the connection ended right after a canary, in a row: brokers that do not allow a topic may hang up.
    private var canaryDeaths = 0
    /// When the broker last acknowledged anything.
    private var lastAcknowledged: Instant
    /// When a batch was published last.
    private var lastSent: Instant
    private var farewell: Int32?
    private var subscribing: [Int32: String] = [:]
    private var nextKeepAlive: Instant

    init(
        configuration: UpstreamConfiguration, time: any TimeSource, mailbox: LinkMailbox,
        snapshot: LinkSnapshotBox, accepted: @escaping @Sendable ([UpstreamArrival]) -> Void,
        report: @escaping @Sendable (Bool) -> Void,
        logger: Logger
    ) {
        self.configuration = configuration
        self.time = time
        self.mailbox = mailbox
        published = snapshot
        self.accepted = accepted
        self.report = report
        self.logger = logger
        machine = LinkMachine(
            policy: LinkMachine.Policy(
                connectTimeout: configuration.connectTimeout, progressTimeout: configuration.progressTimeout,
                reconnectDelay: configuration.reconnectDelay, stableAfter: configuration.stableAfter
            )
        )
        plan = DialPlan(addresses: configuration.addresses, choice: configuration.protocolChoice)
        self.snapshot = LinkSnapshot(since: time.now().instant)
        nextKeepAlive = self.snapshot.since
        lastAcknowledged = self.snapshot.since
        lastSent = self.snapshot.since
    }

    /// Runs until stopped.
    func run() {
        perform(machine.start(now: time.now().instant))
        while machine.state != .stopped {
            takeOrders()
            perform(machine.tick(now: time.now().instant, oldestUnacknowledged: oldestUnacknowledged))
            if isGathering(now: time.now().instant) {
                if let socket = client?.socket { cmosquitto_acknowledge(socket) }
            } else {
                attempt { () throws(LinkFault) in
                    try sendReady()
                    try sendCanary()
                }
                // What the outbox gives in return goes out before anything is waited for.
                if tellSettled() { continue }
            }
            publishSnapshot()
            if machine.state != .stopped { attempt { () throws(LinkFault) in try wait() } }
        }
        publishSnapshot()
        tell { $0.isStopped = true }
    }

    // MARK: Orders

    private func takeOrders() {
        let orders = mailbox.takeOrders()
        if orders.connection == connection, client != nil { ready.append(contentsOf: orders.publications) }
        if let deadline = orders.stopDeadline { perform(machine.stop(deadline: deadline)) }
    }

    private func perform(_ action: LinkMachine.Action) {
        switch action {
        case .none: return
        case .connect: attempt { () throws(LinkFault) in try connect() }
        case .giveUp(.noAnswer):
            lose(.noAnswer(plan.address(failures: machine.failures), within: configuration.connectTimeout))
        case .giveUp(.stalled): lose(.stalled(configuration.progressTimeout))
        case .sayFarewell:
            attempt { () throws(LinkFault) in farewell = try publishState(LinkState.offline) }
        case .close: close()
        }
    }

    /// Does something with the connection; a fault ends it.
    private func attempt(_ body: () throws(LinkFault) -> Void) {
        do throws(LinkFault) {
            try body()
        } catch {
            lose(error)
        }
    }

    // MARK: Connections

    private func connect() throws(LinkFault) {
        let address = plan.address(failures: machine.failures)
        snapshot.address = address
        snapshot.version = plan.version
        publishSnapshot()
        logger.debug(
            "connecting to the upstream",
            metadata: ["address": "\(address)", "version": "\(plan.version)", "failures": "\(machine.failures)"]
        )
        let client = try MosquittoClient(configuration, address: address, version: plan.version)
        try client.connect(configuration, isIPv4Only: plan.isIPv4Only(failures: machine.failures))
        self.client = client
        nextKeepAlive = time.now().instant + .seconds(1)
    }

    private func answered(_ answer: BrokerNews.Answer, by client: MosquittoClient) throws(LinkFault) {
        guard answer.code == 0 else {
            let refusal = ConnectRefusal(code: answer.code, version: client.version)
            if case .unsupportedVersion = refusal { plan.refusedVersion() }
            throw .refused(client.address, refusal)
        }
        guard answer.supportsQoS1 else { throw .refused(client.address, .qosNotSupported) }
        plan.answered()
        if let socket = client.socket {
            let timeout = configuration.progressTimeout + .seconds(5)
            cmosquitto_user_timeout(socket, UInt32(clamping: timeout.wholeNanoseconds / 1_000_000))
        }
        let now = time.now().instant
        machine.accepted(now: now)
        lastAcknowledged = now
        connection += 1
        if connection > 1 { snapshot.reconnects += 1 }
        window = max(1, min(configuration.window, answer.receiveMaximum ?? .max))
        maximumPacketBytes = answer.maximumPacketBytes
        snapshot.refusedSubscriptions = []
        birth = (try publishState(LinkState.online), now)
        for filter in configuration.subscriptions { subscribing[try client.subscribe(filter)] = filter }
        logger.info(
            "the upstream is connected",
            metadata: ["address": "\(client.address)", "version": "\(client.version)", "window": "\(window)"]
        )
        let connection = connection
        tell { $0.connection = connection }
    }

    private func lose(_ fault: LinkFault) {
        // A fault of a client that never came to be was told by `perform`'s caller only: there is none to close.
        let now = time.now().instant
        switch fault {
        case .closedBeforeAnswer: plan.closedBeforeAnswer()
        case .protocol where client?.news.answer == nil: plan.closedBeforeAnswer()
        case .broken, .disconnected, .protocol: blame(fault)
        default: break
        }
        if let canary, now - canary.published < Self.canaryGrace {
            canaryDeaths += 1
            if canaryDeaths == Self.canaryLimit {
                logger.warning(
                    "the upstream ends the connection over the canary; there will be none any more",
                    metadata: [
                        "topic": "\(configuration.canaryTopic)",
                        "try": "allow the gateway's account to publish it on the broker",
                    ])
            }
        }
        let isNew = snapshot.lastFault != fault || client?.news.answer?.code == 0
        forgetConnection()
        machine.lost(now: now, using: &random)
        snapshot.lastFault = fault
        snapshot.lastFaultAt = now
        logger.log(
            level: isNew ? .warning : .debug, "the upstream link is down",
            metadata: ["reason": "\(fault.reason)", "try": "\(fault.remedy)", "failures": "\(machine.failures)"]
        )
    }

    /// The broker ended the connection, or made us end it: perhaps over a message.
    private func blame(_ fault: LinkFault) {
        guard let oldest = inFlight.oldest?.claimed else { return }
        caution.hungUp(oldest: oldest.id, count: inFlight.count)
        guard inFlight.count == 1, birth == nil, verdict.judge(oldest.id, fault) == .refused else { return }
        refuse(oldest, .fault(fault.reason))
    }

    private func close() {
        if let client, client.news.answer?.code == 0 {
            if farewell == nil { _ = try? publishState(LinkState.offline) }
            client.disconnect()
            logger.info("the upstream is disconnected", metadata: ["address": "\(client.address)"])
        }
        forgetConnection()
    }

    private func forgetConnection() {
        client = nil
        ready.removeAll(keepingCapacity: true)
        inFlight.removeAll()
        birth = nil
        canary = nil
        farewell = nil
        subscribing.removeAll()
        tell {
            $0.settled.append(contentsOf: settled)
            $0.refused.append(contentsOf: refused)
            $0.connection = nil
        }
        settled.removeAll(keepingCapacity: true)
        refused.removeAll()
    }

    // MARK: Sending

    /// Since when nothing that waits for a PUBACK has got one.
    private var oldestUnacknowledged: Instant? {
        let waiting = [inFlight.oldest?.published, birth?.published, canary?.published].compactMap(\.self)
        guard let oldest = waiting.min() else { return ready.isEmpty ? nil : time.now().instant }
        return max(oldest, lastAcknowledged)
    }

    // MARK: Canary

    /// A connection that ends sooner after a canary may have ended over it.
    private static let canaryGrace = Duration.seconds(2)
    private static let canaryLimit = 3

    /// When the next one is due; `nil` while there is none to be sent.
    private var canaryDue: Instant? {
        guard case .connected = machine.state, let interval = configuration.canaryInterval, canary == nil,
            birth == nil, inFlight.count == 0, canaryDeaths < Self.canaryLimit
        else { return nil }
        return lastAcknowledged + interval
    }

    private func sendCanary() throws(LinkFault) {
        guard let due = canaryDue, let client else { return }
        let now = time.now().instant
        guard now >= due else { return }
        let payload = Array(String(time.now().unixNanoseconds / 1_000_000).utf8)
        let (result, packetIdentifier) = client.publish(
            topic: configuration.canaryTopic, payload: payload, retain: false, envelope: nil)
        let code = errno
        guard result == MOSQ_ERR_SUCCESS.intValue else { throw client.fault(result, code: code) }
        canary = (packetIdentifier, now)
    }

    private var mayPublish: Bool {
        switch machine.state {
        case .connected, .stopping: client != nil
        case .idle, .backoff, .connecting, .farewell, .stopped: false
        }
    }

    /// Whether to wait for more acknowledgements before anything is sent or told.
    ///
    /// With more to send than the window takes, a turn per acknowledgement would keep every thread and the broker
    /// busy with changing over. A quarter of the window at a time, the processor time of a message falls by a fifth,
    /// and the broker still always has work. Ends by itself: what is on its way gets acknowledged, and it lasts no
    /// longer than ``gatheringTime``.
    private func isGathering(now: Instant) -> Bool {
        let window = caution.window(window)
        return mayPublish && inFlight.count > window * 3 / 4 && inFlight.count + ready.count > window
            && now - lastSent < Self.gatheringTime
    }
    private static let gatheringTime = Duration.milliseconds(2)

    /// Publishes what is ready, up to the window.
    private func sendReady() throws(LinkFault) {
        guard mayPublish, let client, !ready.isEmpty else { return }
        let room = caution.window(window) - inFlight.count - (birth == nil ? 0 : 1)
        guard room > 0 else { return }
        let batch = ready.prefix(room)
        ready.removeFirst(batch.count)
        let now = time.now().instant
        lastSent = now
        let socket = batch.count > 1 ? client.socket : nil
        if let socket { cmosquitto_cork(socket, true) }
        // A socket that is closed in between is nobody else's yet: only this thread opens any for the client.
        defer { if let socket, client.socket == socket { cmosquitto_cork(socket, false) } }
        do throws(LinkFault) {
            for claimed in batch { try send(claimed, on: client, now: now) }
        } catch {
            // What the broker said before it closed may still lie in the socket: acknowledgements, and its reason.
            try? client.read()
            try handleNews(of: client)
            throw client.news.disconnectReason.map { .disconnected(reason: $0) } ?? error
        }
    }

    private func send(_ claimed: OutboxStore.Claimed, on client: MosquittoClient, now: Instant) throws(LinkFault) {
        let payload = claimed.wirePayload(client.version)
        if let maximum = maximumPacketBytes {
            let bytes = envelope.packetBytes(of: claimed, payloadBytes: payload.count, version: client.version)
            guard bytes <= maximum else { return refuse(claimed, .tooLarge(bytes: bytes, maximum: maximum)) }
        }
        // A C string would end at the NUL, and the message would go to another topic.
        guard !claimed.message.topic.utf8.contains(0) else { return refuse(claimed, .badTopic) }
        let topic = claimed.message.topic
        let retain = claimed.message.retain
        let (result, packetIdentifier) =
            client.version == .v5
            ? envelope.withProperties(of: claimed) {
                client.publish(topic: topic, payload: payload, retain: retain, envelope: $0)
            } : client.publish(topic: topic, payload: payload, retain: retain, envelope: nil)
        let code = errno
        switch result {
        case MOSQ_ERR_SUCCESS.intValue:
            inFlight.append(
                InFlight.Item(packetIdentifier: packetIdentifier, claimed: claimed, published: now)
            )
            snapshot.published += 1
        case MOSQ_ERR_INVAL.intValue where mosquitto_pub_topic_check(topic) != MOSQ_ERR_SUCCESS.intValue:
            refuse(claimed, .badTopic)
        case MOSQ_ERR_INVAL.intValue, MOSQ_ERR_PAYLOAD_SIZE.intValue, MOSQ_ERR_MALFORMED_UTF8.intValue,
            MOSQ_ERR_OVERSIZE_PACKET.intValue:
            refuse(claimed, .library(String(cString: mosquitto_strerror(result))))
        default: throw client.fault(result, code: code)
        }
    }

    private func publishState(_ state: String) throws(LinkFault) -> Int32 {
        guard let client else { preconditionFailure("the state is published on a connection only") }
        let (result, packetIdentifier) = client.publish(
            topic: configuration.stateTopic, payload: Array(state.utf8), retain: true, envelope: nil
        )
        let code = errno
        guard result == MOSQ_ERR_SUCCESS.intValue else { throw client.fault(result, code: code) }
        return packetIdentifier
    }

    // MARK: Waiting

    /// Waits for the socket, an order or a deadline, and handles what came.
    private func wait() throws(LinkFault) {
        var descriptors = [pollfd(fd: mailbox.alarm, events: Int16(POLLIN), revents: 0)]
        if let client {
            // Closed within a call, by a DISCONNECT for one, without that call saying so.
            guard let socket = client.socket else { throw client.fault(MOSQ_ERR_CONN_LOST.intValue, code: 0) }
            let events = client.wantsWrite ? POLLIN | POLLOUT : POLLIN
            descriptors.append(pollfd(fd: socket, events: Int16(events), revents: 0))
        }
        let count = poll(&descriptors, nfds_t(descriptors.count), pollMilliseconds)
        guard count >= 0 || errno == EINTR else {
            throw .library(doing: "wait for the upstream", reason: errorText(errno))
        }
        if descriptors[0].revents != 0 { mailbox.hush() }
        guard let client else { return }
        let events = Int32(descriptors[1].revents)
        var fault: LinkFault?
        do throws(LinkFault) {
            if events & POLLOUT != 0 { try client.write() }
            if events & ~POLLOUT != 0 { try client.read() }
            let now = time.now().instant
            if now >= nextKeepAlive {
                nextKeepAlive = now + .seconds(1)
                try client.keepAlive()
            }
        } catch {
            fault = error
        }
        // The news first: they tell why the library closed the connection.
        try handleNews(of: client)
        if let fault { throw fault }
    }

    private var pollMilliseconds: Int32 {
        let now = time.now().instant
        var wait: Int64 = client == nil ? 60_000_000_000 : max(0, (nextKeepAlive - now).wholeNanoseconds)
        if let deadline = machine.deadline(oldestUnacknowledged: oldestUnacknowledged) {
            wait = min(wait, max(0, (deadline - now).wholeNanoseconds))
        }
        if isGathering(now: now) { wait = min(wait, (lastSent + Self.gatheringTime - now).wholeNanoseconds) }
        if let due = canaryDue { wait = min(wait, max(0, (due - now).wholeNanoseconds)) }
        return Int32(clamping: (wait + 999_999) / 1_000_000)
    }

    // MARK: News

    private func handleNews(of client: MosquittoClient) throws(LinkFault) {
        let news = client.news
        if let answer = news.answer, case .connecting = machine.state { try answered(answer, by: client) }
        for answer in news.subscriptions {
            guard let filter = subscribing.removeValue(forKey: answer.packetIdentifier), answer.reason >= 0x80 else {
                continue
            }
            let refusal = LinkSnapshot.SubscriptionRefusal(filter: filter, reason: answer.reason)
            snapshot.refusedSubscriptions.append(refusal)
            logger.warning("the upstream refused a subscription", metadata: ["error": "\(refusal)"])
        }
        news.subscriptions.removeAll(keepingCapacity: true)
        if !news.arrivals.isEmpty {
            snapshot.received += UInt64(news.arrivals.count)
            accepted(news.arrivals)
            news.arrivals.removeAll(keepingCapacity: true)
        }
        snapshot.discarded += news.discarded
        news.discarded = 0
        try handleAcknowledgements(news)
    }

    private func handleAcknowledgements(_ news: BrokerNews) throws(LinkFault) {
        guard !news.acknowledgements.isEmpty else { return }
        let now = time.now().instant
        lastAcknowledged = now
        machine.confirmed(now: now)
        var postponed: UInt8?
        for acknowledgement in news.acknowledgements {
            if acknowledgement.packetIdentifier == birth?.packetIdentifier {
                birth = nil
                stateAcknowledged(acknowledgement)
            } else if acknowledgement.packetIdentifier == canary?.packetIdentifier {
                // Any answer will do: that there is one is what was asked.
                canary = nil
                canaryDeaths = 0
            } else if acknowledgement.packetIdentifier == farewell {
                stateAcknowledged(acknowledgement)
                perform(machine.farewellAcknowledged())
            } else if let item = inFlight.acknowledge(acknowledgement.packetIdentifier) {
                latency = now - item.published
                if acknowledgement.reason < 0x80 {
                    snapshot.acknowledged += 1
                    caution.settled()
                    settle(item.claimed.id)
                } else {
                    switch verdict.judge(item.claimed.id, reason: acknowledgement.reason) {
                    case .refused: refuse(item.claimed, .broker(reason: acknowledgement.reason))
                    case .postponed:
                        caution.postponed(count: inFlight.count + 1)
                        postponed = postponed ?? acknowledgement.reason
                    }
                }
            }
        }
        news.acknowledgements.removeAll(keepingCapacity: true)
        // Only a new connection, after a pause, can deliver it again before those that follow it.
        if let postponed { throw .postponed(reason: postponed) }
    }

    private func settle(_ id: MessageID) { settled.append(id) }

    /// Once per turn: devices wait for it. What must be gathered for the disk's sake the outbox gathers.
    /// - Returns: whether there was something to tell.
    private func tellSettled() -> Bool {
        guard !settled.isEmpty || !refused.isEmpty else { return false }
        tell {
            $0.settled.append(contentsOf: settled)
            $0.refused.append(contentsOf: refused)
            $0.latency = latency ?? $0.latency
        }
        latency = nil
        settled.removeAll(keepingCapacity: true)
        refused.removeAll()
        return true
    }

    private func tell(_ change: (inout LinkMailbox.Report) -> Void) {
        mailbox.tell(change)
        // What is refused is written to the disk, which is not for this thread to wait for.
        report(refused.isEmpty && inFlight.count + ready.count <= Self.quietCount)
    }
    /// With no more than this on their way, what was acknowledged is better told at once than together with others.
    private static let quietCount = 8

    private func stateAcknowledged(_ acknowledgement: BrokerNews.Acknowledgement) {
        guard acknowledgement.reason >= 0x80 else { return }
        logger.warning(
            "the upstream refused the gateway's state",
            metadata: [
                "topic": "\(configuration.stateTopic)", "reason": "\(ReasonText.of(acknowledgement.reason))",
                "try": "allow the gateway's account to publish it on the broker",
            ]
        )
    }

    private func refuse(_ claimed: OutboxStore.Claimed, _ cause: PublicationRefusal.Cause) {
        let refusal = PublicationRefusal(
            topic: claimed.message.topic, stream: claimed.stream, sequence: claimed.sequence, cause: cause
        )
        caution.settled()
        snapshot.refused += 1
        snapshot.lastRefusal = refusal
        logger.error(
            "the upstream will never take a message; it is set aside, and a gap record goes in its place",
            metadata: ["error": "\(refusal)"])
        refused.append(LinkMailbox.Refused(id: claimed.id, reason: refusal.cause.description))
    }

    // MARK: Looking

    private func publishSnapshot() {
        let state: LinkSnapshot.State
        switch machine.state {
        case .idle: state = .idle
        case .backoff(let until): state = .backoff(until: until)
        case .connecting(let deadline): state = .connecting(deadline: deadline)
        case .connected(_, let lastConfirmation):
            state = .connected
            snapshot.lastConfirmation = lastConfirmation
        case .stopping, .farewell: state = .stopping
        case .stopped: state = .stopped
        }
        if state != snapshot.state {
            snapshot.state = state
            snapshot.since = time.now().instant
        }
        snapshot.inFlight = inFlight.count
        published.value.withLock { $0 = snapshot }
        published.turns.add(1, ordering: .relaxed)
    }
}

/// The latest snapshot, for anybody to read.
final class LinkSnapshotBox: Sendable {
    let value: Mutex<LinkSnapshot>
    /// How often the loop has gone round: one that spins is seen here.
    let turns = Atomic<UInt64>(0)

    init(_ snapshot: LinkSnapshot) { value = Mutex(snapshot) }
}
