internal import CMosquitto
internal import Glibc
internal import Logging
internal import Outbox
internal import Readings
internal import Synchronization

/// What the link does: feeds libmosquitto and does what the machine says.
///
/// In turns, which ``LinkLoopLock`` gives one at a time: to the link's thread, and while that waits for something, to
/// who brings a message. The mailbox and the snapshot are its only connections to other threads.
final class LinkLoop {
    let configuration: UpstreamConfiguration
    let time: any TimeSource
    let logger: Logger
    let mailbox: LinkMailbox
    let published: LinkSnapshotBox
    let accepted: @Sendable ([UpstreamArrival], ArrivalReceipt) -> Void
    /// Lets the outbox know what the mailbox says; `true`: at once, if that can be.
    private let onReport: @Sendable (Bool) -> Void
    let resolver: Resolver

    var machine: LinkMachine
    var plan: DialPlan
    private var random = SystemRandomNumberGenerator()
    let tls: CertificateReloader
    let subscriptionFile: SubscriptionFile
    var gate: ArrivalGate
    var envelope = Envelope()
    var poisonPolicy: PoisonMessagePolicy
    var singleMessageMode = SingleMessageMode()
    var snapshot: LinkSnapshot

    /// The connection that there is, or that is being made.
    var current: LinkConnection?
    /// One that is being made beside it, to take over.
    var trial: LinkTrial?
    var trialPlan: TrialPlan
    /// What the broker calls us, where it chose that.
    var assignedIdentifier: String?
    /// How often the connection ended right after a canary, in a row: brokers that do not allow a topic may hang up.
    var canaryDeaths = 0
    /// The broker has said no to the last one.
    var isCanaryRefused = false

    /// Since when there is a connection, and since when there is none.
    var upSince: Instant?
    var downSince: Instant?
    /// What was logged last of each address since the link was up.
    var toldFaults: [String: LinkFault] = [:]

    /// Done with and not told to the task yet.
    var settled: [MessageID] = []
    var refused: [LinkMailbox.Refused] = []
    var latency: Duration?
    /// When the thread's wait ends, whatever comes.
    var waitingUntil = Instant(nanoseconds: 0)

    /// - Parameter isOwn: whether an epoch is one of this gateway's.
    init(
        configuration: UpstreamConfiguration, time: any TimeSource, isOwn: @escaping @Sendable (String) -> Bool,
        mailbox: LinkMailbox,
        snapshot: LinkSnapshotBox, accepted: @escaping @Sendable ([UpstreamArrival], ArrivalReceipt) -> Void,
        onReport: @escaping @Sendable (Bool) -> Void, logger: Logger
    ) {
        self.configuration = configuration
        self.time = time
        self.mailbox = mailbox
        published = snapshot
        self.accepted = accepted
        self.onReport = onReport
        self.logger = logger
        resolver = Resolver(answered: { mailbox.ring() })
        machine = LinkMachine(policy: configuration.machinePolicy)
        plan = DialPlan(urls: configuration.addresses, choice: configuration.protocolChoice)
        trialPlan = TrialPlan(returnAfter: configuration.returnAfter)
        tls = CertificateReloader(configuration.tls, interval: configuration.certificateInterval)
        subscriptionFile = SubscriptionFile(configuration.subscriptionFile)
        gate = ArrivalGate(
            filters: configuration.subscriptions, ownTopics: [configuration.stateTopic, configuration.canaryTopic],
            isOwn: isOwn)
        poisonPolicy = PoisonMessagePolicy(closePatience: configuration.closePatience)
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
            attempt { () throws(LinkFault) in try endHold() }
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
                if reportSettled() { continue }
            }
            publishSnapshot()
            guard machine.state != .stopped else { break }
            // A connection that has taken another's place was given some on the way here.
            if let current, mailbox.hasOrders(for: current.number) { continue }
            do throws(LinkFault) { return try nextWait() } catch { lose(error) }
        }
        publishSnapshot()
        publishReport { $0.isStopped = true }
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
            // Without an offline notice, because the thread that took this one's place is the gateway's connection now.
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
        case .publishOfflineNotice:
            attempt { () throws(LinkFault) in
                guard let current else { return }
                current.offlineNotice = try publishState(LinkState.offline, on: current)
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

    // MARK: Ends

    func lose(_ fault: LinkFault) {
        // One that is let in already takes the place of the one that is gone.
        if let trial, trial.connection.isAnswered, machine.isUp { return takeOver(trial) }
        if letTrialReplace(fault) { return }
        let now = time.now().instant
        let wasUp = current?.isAnswered == true
        if let current { note(fault, of: current) }
        switch fault {
        case .closedBeforeAnswer: plan.closedBeforeAnswer()
        case .protocol where current?.client.events.answer == nil: plan.closedBeforeAnswer()
        case .broken, .disconnected, .protocol: blame(fault, now: now)
        default: break
        }
        if wasUp { noteCanaryDeath(now: now) }
        log(fault, url: current?.url ?? plan.url, host: current?.host, wasUp: wasUp, now: now)
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
    }

    /// An attempt that fails is told once per address and reason, a link that is lost each time.
    private func log(_ fault: LinkFault, url: UpstreamAddress, host: String?, wasUp: Bool, now: Instant) {
        let place = "\(url.withPort) \(host ?? "")"
        let isNew = wasUp || toldFaults[place] != fault
        if toldFaults.count >= Self.toldLimit { toldFaults = [:] }
        toldFaults[place] = fault
        var metadata: Logger.Metadata = [
            "url": "\(url.withPort)", "reason": "\(fault.reason)", "try": "\(fault.remedy)",
        ]
        if let host { metadata["address"] = "\(host)" }
        if let path = fault.path { metadata["file"] = "\(path)" }
        if wasUp {
            if let upSince { metadata["was_up"] = "\((now - upSince).roundedText)" }
            (upSince, downSince) = (nil, now)
            logger.warning("the upstream link is down", metadata: metadata)
        } else {
            if let downSince { metadata["down_for"] = "\((now - downSince).roundedText)" }
            downSince = downSince ?? now
            logger.log(
                level: isNew ? .warning : .debug, "the upstream cannot be reached; the gateway tries again",
                metadata: metadata)
        }
    }
    private static let toldLimit = 64

    /// The broker ended the connection, or made us end it: perhaps over a message.
    private func blame(_ fault: LinkFault, now: Instant) {
        guard let current, let oldest = current.inFlight.oldest else { return }
        let claimed = oldest.claimed
        singleMessageMode.hungUp(oldest: claimed.id, count: current.inFlight.count)
        guard current.inFlight.count == 1, current.birth == nil, current.canary == nil,
            !mayEndOverCanary(now: now),
            poisonPolicy.judge(claimed.id, fault, sent: oldest.published, now: now) == .refused
        else { return }
        refuse(claimed, .fault(fault.reason))
    }

    private func close() {
        dropTrial()
        if let current, current.isAnswered {
            if current.offlineNotice == nil { _ = try? publishState(LinkState.offline, on: current) }
            current.client.disconnect()
            var metadata: Logger.Metadata = ["url": "\(current.url.withPort)"]
            if let upSince { metadata["was_up"] = "\((time.now().instant - upSince).roundedText)" }
            logger.notice("the upstream link is closed", metadata: metadata)
        }
        forgetConnection()
    }

    func forgetConnection() {
        if let current { acceptIncoming(of: current) }
        current = nil
        publishReport {
            $0.settled.append(contentsOf: settled)
            $0.refused.append(contentsOf: refused)
            $0.connection = nil
        }
        settled.removeAll(keepingCapacity: true)
        refused.removeAll()
    }

    // MARK: Reports

    /// Once per turn: devices wait for it. What must be gathered for the disk's sake the outbox gathers.
    /// - Returns: whether there was something to tell.
    private func reportSettled() -> Bool {
        guard !settled.isEmpty || !refused.isEmpty else { return false }
        publishReport {
            $0.settled.append(contentsOf: settled)
            $0.refused.append(contentsOf: refused)
            $0.latency = latency ?? $0.latency
        }
        latency = nil
        settled.removeAll(keepingCapacity: true)
        refused.removeAll()
        return true
    }

    func publishReport(_ change: (inout LinkMailbox.Report) -> Void) {
        mailbox.changeReport(change)
        // What is refused is written to the disk, which is not for this thread to wait for.
        let onTheWay = current.map { $0.inFlight.count + $0.ready.count } ?? 0
        onReport(refused.isEmpty && onTheWay <= Self.quietCount)
    }
    /// With no more than this on their way, what was acknowledged is better told at once than together with others.
    private static let quietCount = 8

    // MARK: Looking

    func publishSnapshot() {
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
        case .stopping, .offlineNotice: state = .stopping
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

extension Duration {
    /// For a person: "850 ms", "12 s", "3 h 5 min".
    var roundedText: String {
        let milliseconds = max(0, wholeNanoseconds) / 1_000_000
        let seconds = milliseconds / 1_000
        return switch seconds {
        case 0: "\(milliseconds) ms"
        case 1..<120: "\(seconds) s"
        case 120..<7_200: "\(seconds / 60) min"
        default: "\(seconds / 3_600) h \(seconds % 3_600 / 60) min"
        }
    }
}
