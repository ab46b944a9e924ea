internal import CMosquitto
internal import Glibc
internal import Logging
internal import Outbox
internal import Readings
internal import Synchronization

/// What the link does: feeds libmosquitto and does what the machine says.
///
/// In turns, which ``LinkTurns`` gives one at a time: to the link's thread, and while that waits for something, to
/// who brings a message. The mailbox and the snapshot are the doors.
final class LinkLoop {
    let configuration: UpstreamConfiguration
    let time: any TimeSource
    let logger: Logger
    private let mailbox: LinkMailbox
    private let published: LinkSnapshotBox
    private let accepted: @Sendable ([UpstreamArrival]) -> Void
    /// Lets the outbox know what the mailbox says; `true`: at once, if that can be.
    private let report: @Sendable (Bool) -> Void
    let resolver: Resolver

    var machine: LinkMachine
    var plan: DialPlan
    private var random = SystemRandomNumberGenerator()
    let tls: TLSKeeper
    private let subscriptionFile: SubscriptionFile
    var gate: ArrivalGate
    var envelope = Envelope()
    var verdict: PublicationVerdict
    var caution = Caution()
    var snapshot: LinkSnapshot

    /// The connection that there is, or that is being made.
    var current: LinkConnection?
    /// One that is being made beside it, to take over.
    var trial: LinkTrial?
    var trialPlan: TrialPlan
    /// What the broker calls us, where it chose that.
    private var assignedIdentifier: String?
    /// How often the connection ended right after a canary, in a row: brokers that do not allow a topic may hang up.
    var canaryDeaths = 0
    /// The broker has said no to the last one.
    var isCanaryRefused = false

    /// Done with and not told to the task yet.
    var settled: [MessageID] = []
    var refused: [LinkMailbox.Refused] = []
    var latency: Duration?
    /// When the thread's wait ends, whatever comes.
    private var waitingUntil = Instant(nanoseconds: 0)

    /// - Parameter isOwn: whether an epoch is one of this gateway's.
    init(
        configuration: UpstreamConfiguration, time: any TimeSource, isOwn: @escaping @Sendable (String) -> Bool,
        mailbox: LinkMailbox,
        snapshot: LinkSnapshotBox, accepted: @escaping @Sendable ([UpstreamArrival]) -> Void,
        report: @escaping @Sendable (Bool) -> Void, logger: Logger
    ) {
        self.configuration = configuration
        self.time = time
        self.mailbox = mailbox
        published = snapshot
        self.accepted = accepted
        self.report = report
        self.logger = logger
        resolver = Resolver(answered: { mailbox.ring() })
        machine = LinkMachine(policy: configuration.machinePolicy)
        plan = DialPlan(urls: configuration.addresses, choice: configuration.protocolChoice)
        trialPlan = TrialPlan(returnAfter: configuration.returnAfter)
        tls = TLSKeeper(configuration.tls, interval: configuration.certificateInterval)
        subscriptionFile = SubscriptionFile(configuration.subscriptionFile)
        gate = ArrivalGate(filters: configuration.subscriptions, isOwn: isOwn)
        verdict = PublicationVerdict(closePatience: configuration.closePatience)
        // What another loop counted before is kept.
        self.snapshot = snapshot.value.withLock { $0 }
    }

    /// The first of all.
    func start() {
        published.isInCall.store(time.now().instant.nanoseconds, ordering: .relaxed)
        perform(machine.start(now: time.now().instant))
    }

    /// Does what is to be done.
    /// - Returns: what to wait for, and then to say to ``resume(_:)``; `nil` when it is stopped, and all is over.
    func turn() -> Wait? {
        while machine.state != .stopped {
            takeOrders()
            let now = time.now().instant
            perform(machine.tick(now: now, oldestUnacknowledged: current?.oldestUnacknowledged(now: now)))
            tendTrial()
            if isGathering(now: time.now().instant) {
                gather()
            } else {
                attempt { () throws(LinkFault) in
                    try sendReady()
                    try sendCanary()
                }
                // What the outbox gives in return goes out before anything is waited for.
                if tellSettled() { continue }
            }
            publishSnapshot()
            guard machine.state != .stopped else { break }
            // A connection that has taken another's place was given some on the way here.
            if let current, mailbox.hasOrders(for: current.number) { continue }
            do throws(LinkFault) { return try nextWait() } catch { lose(error) }
        }
        publishSnapshot()
        tell { $0.isStopped = true }
        return nil
    }

    /// Publishes what is ordered, on the thread that gives the order, while the link's own waits.
    /// - Returns: whether nothing is left to that.
    func sendAtOnce() -> Bool {
        let now = time.now().instant
        // What the thread is about to see to is not to be anticipated.
        guard trial == nil, mayPublish, !mailbox.isAbandoned, !isGathering(now: now), let current,
            current.failure == nil, !current.client.wantsWrite
        else { return false }
        takePublications(mailbox.takeOrders())
        guard current.ready.count <= Self.atOnce else { return false }
        do throws(LinkFault) {
            try publishReady()
        } catch {
            current.failure = error
        }
        return current.failure == nil && refused.isEmpty && !current.client.wantsWrite
            && waitEnd(now: now) >= waitingUntil
    }

    // MARK: Orders

    private func takeOrders() {
        if mailbox.isAbandoned {
            // Without a farewell: whoever took this thread's place speaks for the gateway.
            (current, trial) = (nil, nil)
            _ = machine.stop(deadline: time.now().instant)
            return
        }
        let orders = mailbox.takeOrders()
        takePublications(orders)
        if let deadline = orders.stopDeadline { perform(machine.stop(deadline: deadline)) }
        guard case .resolving = machine.state, let answer = resolver.take(plan.url.host) else { return }
        switch answer {
        case .addresses(let hosts):
            plan.resolved(hosts)
            dial()
        case .failed(let reason): lose(.resolve(host: plan.url.host, reason: reason))
        }
    }

    /// With more of them, the two threads are better off side by side.
    static let atOnce = 8

    private func takePublications(_ orders: LinkMailbox.Orders) {
        guard let current, orders.connection == current.number else { return }
        current.ready.append(contentsOf: orders.publications)
    }

    func perform(_ action: LinkMachine.Action) {
        switch action {
        case .none: return
        case .dial: dial()
        case .checkReach:
            if current?.client.isReached == true { machine.reached() } else { lose(notReached) }
        case .giveUp(.unresolved): lose(.unresolved(host: plan.url.host, within: configuration.resolveTimeout))
        case .giveUp(.noAnswer): lose(.noAnswer(plan.url, within: configuration.connectTimeout))
        case .giveUp(.stalled): lose(.stalled(configuration.progressTimeout))
        case .sayFarewell:
            attempt { () throws(LinkFault) in
                guard let current else { return }
                current.farewell = try publishState(LinkState.offline, on: current)
            }
        case .close: close()
        }
    }

    private var notReached: LinkFault { .connect(plan.url, code: ETIMEDOUT) }

    /// Does something with the connection; a fault ends it.
    func attempt(_ body: () throws(LinkFault) -> Void) {
        do throws(LinkFault) {
            try body()
        } catch {
            lose(error)
        }
    }

    // MARK: Connections

    private func dial() {
        let now = time.now().instant
        snapshot.address = plan.url
        snapshot.version = plan.version
        switch plan.next() {
        case .resolve(let url):
            machine.resolving(now: now)
            attempt { () throws(LinkFault) in try resolver.lookUp(url.host) }
        case .connect(let url, let host):
            machine.connecting(now: now, hasOthers: plan.hasOthers)
            attempt { () throws(LinkFault) in current = try connect(url, host: host, version: plan.version) }
        }
        publishSnapshot()
    }

    /// Begins a connection to one address.
    /// - Parameter isRenewal: it is made for the sake of the certificates in the files.
    func connect(
        _ url: UpstreamAddress, host: String, version: WireVersion, isRenewal: Bool = false
    ) throws(LinkFault) -> LinkConnection {
        logger.debug(
            "connecting to the upstream", metadata: ["url": "\(url)", "address": "\(host)", "version": "\(version)"])
        var tls: ClientTLS?
        if url.transport == .tls {
            let prepared = try isRenewal ? self.tls.renewed() : self.tls.client()
            let seconds = time.now().unixNanoseconds / 1_000_000_000
            try prepared.expect(configuration.tls.serverName ?? url.host, unixSeconds: seconds)
            tls = prepared
        }
        let client = try MosquittoClient(
            configuration, address: url, version: version,
            identifier: configuration.clientIdentifier.isEmpty
                ? assignedIdentifier ?? "" : configuration.clientIdentifier, tls: tls)
        let connection = LinkConnection(client, url: url, host: host, now: time.now().instant)
        do throws(LinkFault) {
            try client.connect(configuration, host: host)
        } catch {
            note(error, of: connection)
            throw error
        }
        return connection
    }

    /// The broker has answered the CONNECT of `connection`.
    /// - Throws: when it said no.
    func check(_ answer: BrokerNews.Answer, _ client: MosquittoClient) throws(LinkFault) {
        guard answer.code == 0 else {
            throw .refused(client.address, ConnectRefusal(code: answer.code, version: client.version))
        }
        guard answer.supportsQoS1 else { throw .refused(client.address, .qosNotSupported) }
    }

    /// `connection` is the one that there is, from now on.
    func begin(_ connection: LinkConnection, _ answer: BrokerNews.Answer) throws(LinkFault) {
        let client = connection.client
        plan.answered()
        if let tls = client.tls { self.tls.accepted(tls) }
        client.ignoreLog()
        if let socket = client.socket {
            let timeout = configuration.progressTimeout + .seconds(5)
            cmosquitto_user_timeout(socket, UInt32(clamping: timeout.wholeNanoseconds / 1_000_000))
        }
        let now = time.now().instant
        connection.takeNumber()
        connection.lastAcknowledged = now
        connection.window = max(1, min(configuration.window, answer.receiveMaximum ?? .max))
        connection.maximumPacketBytes = answer.maximumPacketBytes
        if let identifier = answer.assignedIdentifier { assignedIdentifier = identifier }
        current = connection
        trialPlan.connected(now: now)
        snapshot.address = connection.url
        snapshot.version = client.version
        snapshot.peer = connection.host
        snapshot.connections += 1
        snapshot.certificateExpiry = client.tls?.expiry
        snapshot.brokerCertificateExpiry = client.serverExpiry
        snapshot.refusedSubscriptions = []
        connection.birth = (try publishState(LinkState.online, on: connection), now)
        try subscribe(connection, answer)
        logger.info(
            "the upstream is connected",
            metadata: [
                "url": "\(client.address)", "address": "\(connection.host)", "version": "\(client.version)",
                "window": "\(connection.window)",
            ])
        tell { $0.connection = connection.number }
    }

    /// Subscribes to what the settings want, and gives up what earlier settings wanted.
    private func subscribe(_ connection: LinkConnection, _ answer: BrokerNews.Answer) throws(LinkFault) {
        gate.connected(
            connection.client.version, isSessionPresent: answer.isSessionPresent, now: time.now().instant)
        let broker = "\(configuration.clientIdentifier)@\(connection.url)"
        let known = answer.isSessionPresent ? subscriptionFile.filters(of: broker) : []
        let stale = known.filter { !gate.filters.contains($0) }
        // Before the broker is asked: whatever happens then, the file names all that it may hold.
        subscriptionFile.set(gate.filters + stale, of: broker)
        for filter in stale { connection.unsubscribing[try connection.client.unsubscribe(filter)] = filter }
        for filter in gate.filters {
            let identifier = answer.supportsSubscriptionIdentifiers ? gate.identifier(of: filter) : nil
            connection.subscribing[try connection.client.subscribe(filter, identifier: identifier)] = filter
        }
    }

    /// The broker has taken back a filter of earlier settings.
    func unsubscribed(_ packetIdentifier: Int32, on connection: LinkConnection) {
        guard let filter = connection.unsubscribing.removeValue(forKey: packetIdentifier) else { return }
        logger.info("gave up an upstream subscription of earlier settings", metadata: ["filter": "\(filter)"])
        let broker = "\(configuration.clientIdentifier)@\(connection.url)"
        if connection.unsubscribing.isEmpty { subscriptionFile.set(gate.filters, of: broker) }
    }

    /// What a failure says about the files and versions that the next attempt uses.
    func note(_ fault: LinkFault, of connection: LinkConnection) {
        if case .tls = fault, let tls = connection.client.tls { self.tls.refused(tls, fault) }
    }

    func lose(_ fault: LinkFault) {
        // One that is let in already takes the place of the one that is gone.
        if let trial, trial.connection.isAnswered, machine.isUp { return takeOver(trial) }
        if letTrialReplace(fault) { return }
        let now = time.now().instant
        let wasUp = current?.isAnswered == true
        if let current { note(fault, of: current) }
        switch fault {
        case .closedBeforeAnswer: plan.closedBeforeAnswer()
        case .protocol where current?.client.news.answer == nil: plan.closedBeforeAnswer()
        case .broken, .disconnected, .protocol: blame(fault, now: now)
        default: break
        }
        if wasUp { noteCanaryDeath(now: now) }
        let isNew = snapshot.lastFault != fault || wasUp
        forgetConnection()
        dropTrial()
        var hasNext = false
        if wasUp {
            plan.lost(wasStable: machine.isStable(now: now))
        } else if case .refused(_, .unsupportedVersion) = fault, plan.refusedVersion() {
            hasNext = true
        } else {
            hasNext = plan.failed()
        }
        machine.lost(now: now, hasNext: hasNext, using: &random)
        snapshot.lastFault = fault
        snapshot.lastFaultAt = now
        logger.log(
            level: isNew ? .warning : .debug, "the upstream link is down",
            metadata: ["reason": "\(fault.reason)", "try": "\(fault.remedy)", "failures": "\(machine.failures)"]
        )
    }

    /// The broker ended the connection, or made us end it: perhaps over a message.
    private func blame(_ fault: LinkFault, now: Instant) {
        guard let current, let oldest = current.inFlight.oldest else { return }
        let claimed = oldest.claimed
        caution.hungUp(oldest: claimed.id, count: current.inFlight.count)
        guard current.inFlight.count == 1, current.birth == nil, current.canary == nil,
            !mayEndOverCanary(now: now),
            verdict.judge(claimed.id, fault, sent: oldest.published, now: now) == .refused
        else { return }
        refuse(claimed, .fault(fault.reason))
    }

    private func close() {
        dropTrial()
        if let current, current.isAnswered {
            if current.farewell == nil { _ = try? publishState(LinkState.offline, on: current) }
            current.client.disconnect()
            logger.info("the upstream is disconnected", metadata: ["url": "\(current.url)"])
        }
        forgetConnection()
    }

    func forgetConnection() {
        if let current { letIn(current.client.news) }
        current = nil
        tell {
            $0.settled.append(contentsOf: settled)
            $0.refused.append(contentsOf: refused)
            $0.connection = nil
        }
        settled.removeAll(keepingCapacity: true)
        refused.removeAll()
    }

    // MARK: Waiting

    /// Sockets and orders to wait for, and for how long.
    struct Wait: Sendable {
        /// The mailbox' alarm, and the sockets of the connections that there are; -1 for one that is closed.
        fileprivate var descriptors: [pollfd]
        fileprivate var milliseconds: Int32
        /// What poll(2) returned, and errno after it.
        fileprivate var count: Int32 = 0
        fileprivate var code: Int32 = 0

        /// Waits.
        mutating func poll() {
            count = Glibc.poll(&descriptors, nfds_t(descriptors.count), milliseconds)
            code = errno
        }
    }

    private func nextWait() throws(LinkFault) -> Wait {
        var descriptors = [pollfd(fd: mailbox.alarm, events: Int16(POLLIN), revents: 0)]
        for client in [current?.client, trial?.connection.client].compactMap(\.self) {
            // Closed within a call, by a DISCONNECT for one, without that call saying so.
            let events = client.wantsWrite ? POLLIN | POLLOUT : POLLIN
            descriptors.append(pollfd(fd: client.socket ?? -1, events: Int16(events), revents: 0))
        }
        if let client = current?.client, client.socket == nil { throw client.lost }
        let now = time.now().instant
        waitingUntil = isGathering(now: now) ? now : waitEnd(now: now)
        published.isInCall.store(0, ordering: .relaxed)
        return Wait(
            descriptors: descriptors,
            milliseconds: Int32(clamping: (max(0, (waitingUntil - now).wholeNanoseconds) + 999_999) / 1_000_000))
    }

    /// The wait is over: handles what came.
    func resume(_ wait: Wait) {
        published.isInCall.store(time.now().instant.nanoseconds, ordering: .relaxed)
        attempt { () throws(LinkFault) in
            guard wait.count >= 0 || wait.code == EINTR else {
                throw .library(doing: "wait for the upstream", reason: errorText(wait.code))
            }
            try handle(wait.descriptors)
        }
    }

    private func handle(_ descriptors: [pollfd]) throws(LinkFault) {
        if descriptors[0].revents != 0 { mailbox.hush() }
        if trial != nil, let last = descriptors.last { serveTrial(events: Int32(last.revents)) }
        guard let current, descriptors.count > 1 else { return }
        var fault: LinkFault?
        do throws(LinkFault) {
            try serve(current, events: Int32(descriptors[1].revents))
        } catch {
            fault = error
        }
        // The news first: they tell why the library closed the connection.
        try handleNews(of: current)
        if let fault { throw fault }
    }

    /// Lets the library do what its socket is ready for, and what is due.
    func serve(_ connection: LinkConnection, events: Int32) throws(LinkFault) {
        let client = connection.client
        if events & POLLOUT != 0 { try client.write() }
        if events & ~POLLOUT != 0 { try client.read() }
        let now = time.now().instant
        if now >= connection.nextKeepAlive {
            connection.nextKeepAlive = now + .seconds(1)
            try client.keepAlive()
        }
    }

    /// When there is something to do, whatever comes.
    private func waitEnd(now: Instant) -> Instant {
        var due = now + (current == nil ? .seconds(60) : .seconds(1))
        func note(_ instant: Instant?) { if let instant { due = min(due, instant) } }
        note(current?.nextKeepAlive)
        note(machine.deadline(oldestUnacknowledged: current?.oldestUnacknowledged(now: now)))
        note(canaryDue)
        note(trialDue)
        return due
    }

    // MARK: Telling

    func handOn(_ arrivals: [UpstreamArrival]) { accepted(arrivals) }

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

    func tell(_ change: (inout LinkMailbox.Report) -> Void) {
        mailbox.tell(change)
        // What is refused is written to the disk, which is not for this thread to wait for.
        let onTheWay = current.map { $0.inFlight.count + $0.ready.count } ?? 0
        report(refused.isEmpty && onTheWay <= Self.quietCount)
    }
    /// With no more than this on their way, what was acknowledged is better told at once than together with others.
    private static let quietCount = 8

    // MARK: Looking

    private func publishSnapshot() {
        let state: LinkSnapshot.State
        switch machine.state {
        case .idle: state = .idle
        case .down(let until): state = .down(until: until)
        case .resolving(let deadline): state = .resolving(deadline: deadline)
        case .connecting(_, let deadline): state = .connecting(deadline: deadline)
        case .authenticated: state = .authenticated
        case .confirmed(_, let last):
            state = .confirmed
            snapshot.lastConfirmation = last
        case .suspect: state = .suspect
        case .stopping, .farewell: state = .stopping
        case .stopped: state = .stopped
        }
        if state != snapshot.state {
            // From one word for being connected to another nothing has begun anew.
            if !(state.isUp && snapshot.state.isUp) { snapshot.since = time.now().instant }
            snapshot.state = state
        }
        snapshot.inFlight = current?.inFlight.count ?? 0
        snapshot.certificateProblem = tls.problem
        published.value.withLock { $0 = snapshot }
        published.turns.add(1, ordering: .relaxed)
    }
}

/// The latest snapshot, for anybody to read.
final class LinkSnapshotBox: Sendable {
    let value: Mutex<LinkSnapshot>
    /// How often the loop has gone round: one that spins is seen here.
    let turns = Atomic<UInt64>(0)
    /// Since when the loop has been at work, nanoseconds of the boot clock; 0 while it waits.
    let isInCall = Atomic<Int64>(0)

    init(_ snapshot: LinkSnapshot) { value = Mutex(snapshot) }
}
