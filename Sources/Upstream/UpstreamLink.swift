internal import CMosquitto
package import Logging
package import Outbox
package import Readings
internal import Synchronization

/// Takes messages out of the outbox and to the upstream broker, and what comes from there to the gateway.
///
/// A task (``run()``) speaks to the outbox: it claims up to the in-flight window and removes what was acknowledged. A
/// thread of its own speaks to libmosquitto, and while that waits, so does whoever brings a message. What came out of the window and is still in the outbox's file counts
/// against it, so that a crash at any instant repeats at most a window's worth. When the link is lost the client dies with all
/// that it held, and the outbox hands everything unacknowledged out again, in order.
package final class UpstreamLink: Sendable {
    private let configuration: UpstreamConfiguration
    private let outbox: OutboxStore
    private let time: any TimeSource
    private let accepted: @Sendable ([UpstreamArrival], ArrivalReceipt) -> Void
    private let logger: Logger
    /// Raised by whatever ``run()`` must look at.
    private let changed = Signal()
    /// The thread that there is, by its handle; another one takes its place when it hangs.
    private let present: Mutex<LinkThreadHandle>
    private let isStarted = Atomic(false)
    /// Threads of the process' links that were left behind in a call and have not come back. A link that takes another's
    /// place does not make them fewer.
    private static let hanging = Atomic(0)
    static var hangingThreads: Int { hanging.load(ordering: .relaxed) }
    private let beyondHelp = Atomic(false)
    /// Used at home in the outbox, but for the end of a wait.
    private let delivery: Mutex<DeliveryState>

    /// What a thread of the link's is spoken to by.
    private final class LinkThreadHandle: Sendable {
        let mailbox: LinkMailbox
        let latest: LinkSnapshotBox
        /// There while the thread is.
        private let turns = Mutex<LinkLoopLock?>(nil)
        private let life = Mutex(Life.running)

        private enum Life {
            case running
            case leftBehind
            case ended
        }

        init(changed: Signal, _ snapshot: LinkSnapshot) throws(LinkFault) {
            mailbox = try LinkMailbox(changed: changed)
            latest = LinkSnapshotBox(snapshot)
        }

        /// The body of the thread.
        func run(_ loop: sending LinkLoop) {
            let own = LinkLoopLock(loop)
            turns.withLock { $0 = own }
            own.run()
            // The loop holds the link, and the link holds this handle.
            turns.withLock { $0 = nil }
        }

        /// The thread's last act.
        /// - Returns: whether it was left behind.
        func end() -> Bool {
            life.withLock { life in
                defer { life = .ended }
                return life == .leftBehind
            }
        }

        /// Nobody waits for the thread any more: it is to end as soon as it can, without a word to the broker.
        /// - Returns: whether it still runs.
        func leaveBehind() -> Bool {
            life.withLock { life in
                guard life == .running else { return false }
                life = .leftBehind
                mailbox.leave()
                return true
            }
        }

        /// Gives messages to the loop.
        /// - Parameter isHeard: the thread looks anyway, since it is the one that gives the order.
        func order(_ publications: [OutboxStore.Claimed], connection: UInt64, isHeard: Bool) {
            mailbox.order(publications, connection: connection)
            guard !isHeard else { return }
            let isSent =
                publications.count <= LinkLoop.atOnce && turns.withLock({ $0 })?.sendAtOnce() == true
            if !isSent { mailbox.ring() }
        }
    }

    /// The link's dealings with the outbox.
    private struct DeliveryState: Sendable {
        var budget: InFlightBudget
        var governor: ReplayGovernor
        /// A turn is to come when the governor lets more through.
        var isWaiting = false
        /// Acknowledged, and not removed from the outbox yet.
        var acknowledged: [MessageID] = []
        /// Refused for good, and not set aside yet.
        var refused: [LinkMailbox.Refused] = []
        var connection: UInt64?
        /// From the first turn of ``UpstreamLink/run()`` to the last.
        var isOpen = false
        var isStopping = false
        var isStopped = false
        /// Why the link gives up.
        var failure: LinkFault?
    }

    /// Makes a link that does nothing before ``run()``. Several may follow each other on one outbox, with the same
    /// configuration or another: ``run()`` of the one before must have returned. What that one has sent without an
    /// acknowledgement is sent again first, in its order.
    /// - Parameters:
    ///   - previous: the last snapshot of the link before, whose counters go on; `nil` where there was none.
    ///   - accepted: called on the link's thread, in the order of arrival, with what came from upstream since the last
    ///     call (some 64 messages). Must not block. The broker gets its PUBACKs when the receipt is confirmed, or after
    ///     4 s; until then nothing goes up. A crash, or an end of the connection, before that makes the broker deliver
    ///     the messages again. A thread that hung and comes back may call beside the one that has taken its place.
    /// - Throws: when the process is out of file descriptors.
    package init(
        configuration: UpstreamConfiguration, outbox: OutboxStore, time: any TimeSource,
        continuing previous: LinkSnapshot? = nil,
        accepted: @escaping @Sendable ([UpstreamArrival], ArrivalReceipt) -> Void, logger: Logger
    ) throws(LinkFault) {
        self.configuration = configuration
        self.outbox = outbox
        self.time = time
        self.accepted = accepted
        self.logger = logger
        let snapshot = LinkSnapshot(continuing: previous, since: time.now().instant)
        present = Mutex(try LinkThreadHandle(changed: changed, snapshot))
        delivery = Mutex(
            DeliveryState(
                budget: InFlightBudget(configuration),
                governor: ReplayGovernor(configuration.replayLimits, now: time.now().instant)))
    }

    private var threadHandle: LinkThreadHandle { present.withLock { $0 } }

    /// The version of the libmosquitto that is loaded, "2.0.11".
    package static var libraryVersion: String {
        var (major, minor, revision): (Int32, Int32, Int32) = (0, 0, 0)
        mosquitto_lib_version(&major, &minor, &revision)
        return "\(major).\(minor).\(revision)"
    }

    /// There is something to claim. For the outbox' `available` sink, and from there only: what is there is claimed at
    /// once.
    package func wake() { outbox.assumeIsolated { turn($0, isHeard: false) } }

    /// What the link is doing. Cheap, from any thread; at most one turn of the link's loop old.
    package func snapshot() -> LinkSnapshot { threadHandle.latest.value.withLock { $0 } }

    /// Waits until the broker has let the link in.
    /// - Returns: whether it has, within `limit`; `false` at once when the link has stopped or the task is cancelled.
    package func waitUntilUp(within limit: Duration) async -> Bool {
        let deadline = time.now().instant + limit
        while true {
            let state = snapshot().state
            if state.isUp { return true }
            guard state != .stopped, !beyondHelp.load(ordering: .relaxed), time.now().instant < deadline,
                (try? await Task.sleep(for: .milliseconds(10))) != nil
            else { return false }
        }
    }

    /// How often the link's loop has gone round. Stands still, but for a turn per second, when there is nothing to do.
    package var turns: UInt64 { threadHandle.latest.turns.load(ordering: .relaxed) }

    /// So many of its threads hang that only a new process helps.
    package var isBeyondHelp: Bool { beyondHelp.load(ordering: .relaxed) }

    /// Begins to stop and returns: nothing new is claimed, what is on its way gets until `deadline` to be
    /// acknowledged, then `offline` is published and the connection closed. ``run()`` returns when that is done, and
    /// at the deadline at the latest. What was not acknowledged stays in the outbox.
    package func shutdown(deadline: Instant) { threadHandle.mailbox.orderStop(deadline: deadline) }

    /// Connects, delivers and reconnects until ``shutdown(deadline:)``, or until the task is cancelled, which is a
    /// shutdown within ``UpstreamConfiguration/drainTimeout``. To be called once.
    ///
    /// A thread that hangs in a call is left behind, and another one takes its place: it holds nothing of the outbox,
    /// and ends by itself when it comes back. Once this returns or throws, the outbox is released, and another link may
    /// run on it.
    /// - Throws: when the thread cannot be started, and ``LinkFault/stuck(_:)`` when so many threads of the process hang that
    ///   one more is no help.
    package func run() async throws(LinkFault) {
        let wasStarted = isStarted.exchange(true, ordering: .relaxed)
        precondition(!wasStarted, "a link runs once")
        try startThread(threadHandle)
        let supervision = Task.detached { await self.supervise() }
        await withTaskCancellationHandler {
            await withTaskExecutorPreference(outbox.executor) { await serve(outbox) }
        } onCancel: {
            shutdown(deadline: time.now().instant + configuration.drainTimeout)
        }
        supervision.cancel()
        if let failure = delivery.withLock({ $0.failure }) { throw failure }
    }

    // MARK: The thread

    private func startThread(_ threadHandle: LinkThreadHandle) throws(LinkFault) {
        try LinkThread.start("upstream") { [self] in
            threadHandle.run(
                LinkLoop(
                    configuration: configuration, time: time, isOwn: { [outbox] in outbox.isOwn(epoch: $0) },
                    mailbox: threadHandle.mailbox,
                    snapshot: threadHandle.latest,
                    accepted: accepted,
                    onReport: { [self] in
                        if !$0 || outbox.visit({ turn($0, isHeard: true) }) == nil { changed.raise() }
                    }, logger: logger))
            if threadHandle.end() { Self.hanging.subtract(1, ordering: .relaxed) }
        }
    }

    /// So many threads may hang at the same time; with more of them the process needs a new beginning.
    private static let hangingLimit = 4
    /// A thread counts as hanging when it was seen at the same call so often.
    private static let looks = 6

    /// Puts another thread in the place of one that hangs in a call.
    private func supervise() async {
        var (call, seen): (Int64, Int) = (0, 0)
        // Looks are counted, not time: a machine that was asleep has not hung.
        while (try? await Task.sleep(for: configuration.stuckAfter / Self.looks)) != nil {
            let present = threadHandle.latest.isInCall.load(ordering: .relaxed)
            (call, seen) = (present, present != 0 && present == call ? seen + 1 : 0)
            guard seen >= Self.looks else { continue }
            seen = 0
            guard Self.hanging.load(ordering: .relaxed) < Self.hangingLimit else { return giveUp() }
            replaceThread()
        }
    }

    private func giveUp() {
        let fault = LinkFault.stuck(configuration.stuckAfter)
        logger.critical(
            "the upstream's threads hang in calls that do not come back; only a restart of the gateway helps",
            metadata: ["url": "\(configuration.addresses[0].withPort)", "error": "\(fault)"])
        beyondHelp.store(true, ordering: .relaxed)
        delivery.withLock { $0.failure = fault }
        changed.raise()
    }

    private func replaceThread() {
        let old = threadHandle
        var snapshot = old.latest.value.withLock { $0 }
        let now = time.now().instant
        let fault = LinkFault.stuck(configuration.stuckAfter)
        (snapshot.state, snapshot.since, snapshot.inFlight) = (.down(until: now), now, 0)
        (snapshot.lastFault, snapshot.lastFaultAt) = (fault, now)
        logger.error("the upstream's thread hangs; another one takes its place", metadata: ["error": "\(fault)"])
        do throws(LinkFault) {
            let fresh = try LinkThreadHandle(changed: changed, snapshot)
            // Before its thread is there, so that no order goes to the old one any more.
            present.withLock { $0 = fresh }
            if let deadline = old.mailbox.stopDeadline { fresh.mailbox.orderStop(deadline: deadline) }
            do throws(LinkFault) {
                try startThread(fresh)
            } catch {
                present.withLock { $0 = old }
                if let deadline = fresh.mailbox.stopDeadline { old.mailbox.orderStop(deadline: deadline) }
                throw error
            }
            if old.leaveBehind() { Self.hanging.add(1, ordering: .relaxed) }
        } catch {
            logger.error("the upstream's thread cannot be replaced", metadata: ["error": "\(error)"])
        }
        changed.raise()
    }

    // MARK: The task

    /// At home on the outbox's thread. Most of the link's turns are made elsewhere: by the thread that brought a
    /// message, and by the link's own when acknowledgements have come. Here is what finds the outbox busy, and the end.
    private func serve(_ outbox: isolated OutboxStore) async {
        delivery.withLock { $0.isOpen = true }
        var expiry: Expiry?
        while true {
            if let deadline = threadHandle.mailbox.stopDeadline, expiry == nil || expiry?.deadline != deadline {
                expiry?.cancel()
                expiry = Expiry(deadline: deadline, after: deadline - time.now().instant, signal: changed)
                delivery.withLock { $0.isStopping = true }
            }
            turn(outbox, isHeard: false)
            if delivery.withLock({ $0.isStopped || $0.failure != nil }) || expiry?.isOver == true { break }
            await changed.wait()
        }
        expiry?.cancel()
        // One that comes back late must not say `offline` for a link that has taken this one's place.
        if !delivery.withLock({ $0.isStopped }), threadHandle.leaveBehind() {
            Self.hanging.add(1, ordering: .relaxed)
        }
        delivery.withLock { $0.isOpen = false }
        outbox.release()
    }

    /// Removes from the outbox what was acknowledged, and claims until the window is full or there is nothing more.
    private func turn(_ outbox: isolated OutboxStore, isHeard: Bool) {
        delivery.withLock { delivery in
            guard delivery.isOpen else { return }
            let threadHandle = threadHandle
            let report = threadHandle.mailbox.takeReport()
            delivery.acknowledged.append(contentsOf: report.settled)
            delivery.refused.append(contentsOf: report.refused)
            if let latency = report.latency {
                delivery.budget.isQuick = latency < UpstreamConfiguration.slowLatency
                delivery.governor.acknowledged(report.settled.count, latency: latency, now: time.now().instant)
            }
            if report.isStopped {
                delivery.isStopped = true
                changed.raise()
            }
            settle(&delivery, outbox)
            var records = setAside(&delivery, outbox)
            guard delivery.acknowledged.isEmpty, delivery.refused.isEmpty else { return }
            // A changed connection: nothing that was claimed for the old one is on its way any more. Acknowledgements
            // of the old one come before the change, and leave the outbox before the rest is handed out again.
            if report.connection != delivery.connection {
                outbox.release()
                records = []
                if report.connection != nil { outbox.attach() }
                delivery.connection = report.connection
                delivery.budget = InFlightBudget(configuration)
                delivery.governor = ReplayGovernor(configuration.replayLimits, now: time.now().instant)
            }
            if let connection = delivery.connection, !records.isEmpty {
                threadHandle.order(records, connection: connection, isHeard: isHeard)
            }
            if let connection = delivery.connection, !delivery.isStopping {
                refill(&delivery, threadHandle, connection: connection, outbox, isHeard: isHeard)
            }
        }
    }

    /// When it fails they are kept for the next time, and nothing new is claimed until then.
    private func settle(_ delivery: inout DeliveryState, _ outbox: isolated OutboxStore) {
        guard !delivery.acknowledged.isEmpty else { return }
        do throws(OutboxError) {
            try outbox.settle(delivery.acknowledged)
            delivery.budget.remove(delivery.acknowledged)
            delivery.acknowledged.removeAll(keepingCapacity: true)
        } catch {
            failed("cannot remove delivered messages from the outbox; they may be delivered again", error)
        }
    }

    /// - Returns: the gap records that are on their way instead. Those of a connection that is gone come again.
    private func setAside(_ delivery: inout DeliveryState, _ outbox: isolated OutboxStore) -> [OutboxStore.Claimed] {
        guard !delivery.refused.isEmpty else { return [] }
        guard !outbox.isVisited else {
            changed.raise()
            return []
        }
        do throws(OutboxError) {
            let records = try outbox.setAside(delivery.refused.map { ($0.id, $0.reason) })
            let kept = Set(records.map(\.id))
            delivery.budget.remove(delivery.refused.map(\.id).filter { !kept.contains($0) })
            delivery.refused = []
            return records
        } catch {
            failed("cannot set aside what the upstream refuses", error)
            return []
        }
    }

    private func refill(
        _ delivery: inout DeliveryState, _ threadHandle: LinkThreadHandle, connection: UInt64,
        _ outbox: isolated OutboxStore, isHeard: Bool
    ) {
        // The LAN's thread, or the link's, must not wait for the disk.
        guard !outbox.isVisited || !outbox.mustGoAhead else { return changed.raise() }
        do throws(OutboxError) {
            while delivery.budget.freeMessages > 0, delivery.budget.freeBytes > 0 {
                // Nothing is asked of the governor while all that comes goes straight through.
                let isBacklogged = outbox.hasBacklog
                let allowance =
                    isBacklogged ? delivery.governor.allowance(now: time.now().instant) : (messages: .max, bytes: .max)
                let bytes =
                    allowance.bytes > 0 ? min(delivery.budget.freeBytes, allowance.bytes) : delivery.budget.freeBytes
                let batch = try outbox.claim(
                    limit: delivery.budget.freeMessages, byteLimit: bytes, storedLimit: allowance.messages)
                if isBacklogged { account(batch, &delivery, outbox) }
                guard !batch.isEmpty else { return }
                delivery.budget.add(batch)
                threadHandle.order(batch, connection: connection, isHeard: isHeard)
            }
        } catch {
            failed("cannot take messages out of the outbox", error)
        }
    }

    /// What of a backlog has gone counts; what the governor held back has a turn of its own.
    private func account(
        _ batch: [OutboxStore.Claimed], _ delivery: inout DeliveryState, _ outbox: isolated OutboxStore
    ) {
        var (messages, bytes) = (0, 0)
        for claimed in batch where claimed.isStored {
            messages += 1
            bytes += claimed.message.topic.utf8.count + claimed.message.payload.count
        }
        if messages > 0 { delivery.governor.sent(messages: messages, bytes: bytes) }
        guard !delivery.isWaiting, outbox.hasBacklog, delivery.budget.freeMessages > batch.count else { return }
        delivery.isWaiting = true
        let wait = max(delivery.governor.wait, .milliseconds(1))
        Task.detached { [self] in
            try? await Task.sleep(for: wait)
            self.delivery.withLock { $0.isWaiting = false }
            changed.raise()
        }
    }

    private func failed(_ doing: Logger.Message, _ error: OutboxError) {
        logger.error(doing, metadata: ["error": "\(error)"])
        let signal = changed
        Task.detached {
            try? await Task.sleep(for: .seconds(1))
            signal.raise()
        }
    }
}

/// What is claimed and still in the outbox, against the window.
private struct InFlightBudget: Sendable {
    private let window: Int
    private let byteLimit: Int
    /// The last acknowledgement was.
    var isQuick = false
    private var bytes: [MessageID: Int] = [:]
    private var totalBytes = 0

    /// Twice the window: the next burst is at hand when the acknowledgements of one come in.
    init(_ configuration: UpstreamConfiguration) {
        window = configuration.window
        byteLimit = configuration.windowBytes
    }

    var freeMessages: Int { 2 * UpstreamConfiguration.usable(window, isQuick: isQuick) - bytes.count }
    var freeBytes: Int { byteLimit - totalBytes }

    mutating func add(_ batch: [OutboxStore.Claimed]) {
        for claimed in batch {
            let size = claimed.message.topic.utf8.count + claimed.message.payload.count
            bytes[claimed.id] = size
            totalBytes += size
        }
    }

    mutating func remove(_ ids: [MessageID]) {
        for id in ids { totalBytes -= bytes.removeValue(forKey: id) ?? 0 }
    }
}

/// Ends the wait for a thread that does not come back in time.
private final class Expiry: Sendable {
    let deadline: Instant
    private let over: Atomic<Bool>
    private let timer: Mutex<Task<Void, Never>?>

    var isOver: Bool { over.load(ordering: .acquiring) }

    init(deadline: Instant, after duration: Duration, signal: Signal) {
        self.deadline = deadline
        over = Atomic(false)
        timer = Mutex(nil)
        let task = Task.detached { [self] in
            // The thread keeps the deadline itself unless it is stuck: let it win.
            guard (try? await Task.sleep(for: max(duration, .zero) + .milliseconds(200))) != nil else { return }
            over.store(true, ordering: .releasing)
            signal.raise()
        }
        timer.withLock { $0 = task }
    }

    func cancel() { timer.withLock { $0?.cancel() } }
}
