internal import CMosquitto
internal import Glibc
package import Logging
package import Outbox
package import Readings
internal import Synchronization

/// Takes messages out of the outbox and to the upstream broker, and what comes from there to the gateway.
///
/// A task (``run()``) speaks to the outbox: it claims up to the in-flight window and removes what was acknowledged. A
/// thread of its own speaks to libmosquitto. What came out of the window and is still in the outbox's file counts
/// against it, so that a crash at any instant repeats at most a window's worth. When the link is lost the client dies with all
/// that it held, and the outbox hands everything unacknowledged out again, in order.
package final class UpstreamLink: Sendable {
    private let configuration: UpstreamConfiguration
    private let outbox: OutboxStore
    private let time: any TimeSource
    private let accepted: @Sendable ([UpstreamArrival]) -> Void
    private let logger: Logger
    private let mailbox: LinkMailbox
    private let latest: LinkSnapshotBox
    private let isStarted = Atomic(false)
    /// Used at home in the outbox, but for the end of a wait.
    private let desk: Mutex<Desk>

    /// The link's dealings with the outbox.
    private struct Desk: Sendable {
        var claims: Claims
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
    }

    /// - Parameters:
    ///   - accepted: called on the link's thread, in the order of arrival, with what came from upstream since the last
    ///     call (at most a network read's worth). Must not block: the link waits for it. The broker has, or gets at
    ///     once, the PUBACK.
    /// - Throws: when the process is out of file descriptors.
    package init(
        configuration: UpstreamConfiguration, outbox: OutboxStore, time: any TimeSource,
        accepted: @escaping @Sendable ([UpstreamArrival]) -> Void, logger: Logger
    ) throws(LinkFault) {
        self.configuration = configuration
        self.outbox = outbox
        self.time = time
        self.accepted = accepted
        self.logger = logger
        mailbox = try LinkMailbox()
        desk = Mutex(
            Desk(
                claims: Claims(configuration),
                governor: ReplayGovernor(configuration.replayLimits, now: time.now().instant)))
        latest = LinkSnapshotBox(LinkSnapshot(since: time.now().instant))
    }

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
    package func snapshot() -> LinkSnapshot { latest.value.withLock { $0 } }

    /// How often the link's loop has gone round. Stands still, but for a turn per second, when there is nothing to do.
    package var turns: UInt64 { latest.turns.load(ordering: .relaxed) }

    /// Begins to stop and returns: nothing new is claimed, what is on its way gets until `deadline` to be
    /// acknowledged, then `offline` is published and the connection closed. ``run()`` returns when that is done, and
    /// at the deadline at the latest. What was not acknowledged stays in the outbox.
    package func shutdown(deadline: Instant) { mailbox.orderStop(deadline: deadline) }

    /// Connects, delivers and reconnects until ``shutdown(deadline:)``, or until the task is cancelled, which is a
    /// shutdown within ``UpstreamConfiguration/drainTimeout``. To be called once.
    ///
    /// Resolving a name blocks the link's thread for as long as the resolver tries. A thread that is stuck there at
    /// the deadline is left behind: it holds nothing of the outbox, notices when it comes back and ends by itself.
    /// - Throws: when the thread cannot be started.
    package func run() async throws(LinkFault) {
        let wasStarted = isStarted.exchange(true, ordering: .relaxed)
        precondition(!wasStarted, "a link runs once")
        try startThread()
        await withTaskCancellationHandler {
            await withTaskExecutorPreference(outbox.executor) { await serve(outbox) }
        } onCancel: {
            shutdown(deadline: time.now().instant + configuration.drainTimeout)
        }
    }

    // MARK: The thread

    private func startThread() throws(LinkFault) {
        let start = ThreadStart { [self] in
            LinkLoop(
                configuration: configuration, time: time, mailbox: mailbox, snapshot: latest, accepted: accepted,
                report: { [self] in
                    if !$0 || outbox.visit({ turn($0, isHeard: true) }) == nil { mailbox.changed.raise() }
                }, logger: logger
            ).run()
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, 512 << 10)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let context = Unmanaged.passRetained(start)
        let code = pthread_create(
            &thread, &attributes,
            { context in
                guard let context else { return nil }
                // SIGPIPE would come from OpenSSL, which writes without MSG_NOSIGNAL; the others are not for this
                // thread to take.
                var signals = sigset_t()
                sigfillset(&signals)
                pthread_sigmask(SIG_BLOCK, &signals, nil)
                cmosquitto_name_thread("upstream")
                Unmanaged<ThreadStart>.fromOpaque(context).takeRetainedValue().body()
                return nil
            },
            context.toOpaque()
        )
        guard code == 0 else {
            context.release()
            throw .library(doing: "start the upstream's thread", reason: errorText(code))
        }
    }

    // MARK: The task

    /// At home on the outbox's thread. Most of the link's turns are made elsewhere: by the thread that brought a
    /// message, and by the link's own when acknowledgements have come. Here is what finds the outbox busy, and the end.
    private func serve(_ outbox: isolated OutboxStore) async {
        desk.withLock { $0.isOpen = true }
        var expiry: Expiry?
        while true {
            if let deadline = mailbox.stopDeadline, expiry == nil || expiry?.deadline != deadline {
                expiry?.cancel()
                expiry = Expiry(deadline: deadline, after: deadline - time.now().instant, signal: mailbox.changed)
                desk.withLock { $0.isStopping = true }
            }
            turn(outbox, isHeard: false)
            if desk.withLock({ $0.isStopped }) || expiry?.isOver == true { break }
            await mailbox.changed.wait()
        }
        expiry?.cancel()
        desk.withLock { $0.isOpen = false }
        outbox.release()
    }

    /// Removes from the outbox what was acknowledged, and claims until the window is full or there is nothing more.
    private func turn(_ outbox: isolated OutboxStore, isHeard: Bool) {
        desk.withLock { desk in
            guard desk.isOpen else { return }
            let report = mailbox.takeReport()
            desk.acknowledged.append(contentsOf: report.settled)
            desk.refused.append(contentsOf: report.refused)
            if let latency = report.latency {
                desk.governor.acknowledged(report.settled.count, latency: latency, now: time.now().instant)
            }
            if report.isStopped {
                desk.isStopped = true
                mailbox.changed.raise()
            }
            settle(&desk, outbox)
            let records = setAside(&desk, outbox)
            guard desk.acknowledged.isEmpty, desk.refused.isEmpty else { return }
            // A changed connection: nothing that was claimed for the old one is on its way any more. Acknowledgements
            // of the old one come before the change, and leave the outbox before the rest is handed out again.
            if report.connection != desk.connection {
                outbox.release()
                if report.connection != nil { outbox.attach() }
                desk.connection = report.connection
                desk.claims = Claims(configuration)
                desk.governor = ReplayGovernor(configuration.replayLimits, now: time.now().instant)
            }
            if let connection = desk.connection, !records.isEmpty {
                mailbox.order(records, connection: connection, isHeard: isHeard)
            }
            if let connection = desk.connection, !desk.isStopping {
                refill(&desk, connection: connection, outbox, isHeard: isHeard)
            }
        }
    }

    /// When it fails they are kept for the next time, and nothing new is claimed until then.
    private func settle(_ desk: inout Desk, _ outbox: isolated OutboxStore) {
        guard !desk.acknowledged.isEmpty else { return }
        do throws(OutboxError) {
            try outbox.settle(desk.acknowledged)
            desk.claims.remove(desk.acknowledged)
            desk.acknowledged.removeAll(keepingCapacity: true)
        } catch {
            failed("cannot remove delivered messages from the outbox; they may be delivered again", error)
        }
    }

    /// - Returns: the gap records that are on their way instead. Those of a connection that is gone come again.
    private func setAside(_ desk: inout Desk, _ outbox: isolated OutboxStore) -> [OutboxStore.Claimed] {
        guard !desk.refused.isEmpty else { return [] }
        guard !outbox.isVisited else {
            mailbox.changed.raise()
            return []
        }
        do throws(OutboxError) {
            let records = try outbox.setAside(desk.refused.map { ($0.id, $0.reason) })
            let kept = Set(records.map(\.id))
            desk.claims.remove(desk.refused.map(\.id).filter { !kept.contains($0) })
            desk.refused = []
            return records
        } catch {
            failed("cannot set aside what the upstream refuses", error)
            return []
        }
    }

    private func refill(
        _ desk: inout Desk, connection: UInt64, _ outbox: isolated OutboxStore, isHeard: Bool
    ) {
        do throws(OutboxError) {
            while desk.claims.freeMessages > 0, desk.claims.freeBytes > 0 {
                // Nothing is asked of the governor while all that comes goes straight through.
                let isBacklogged = outbox.hasBacklog
                let allowance =
                    isBacklogged ? desk.governor.allowance(now: time.now().instant) : (messages: .max, bytes: .max)
                let bytes = allowance.bytes > 0 ? min(desk.claims.freeBytes, allowance.bytes) : desk.claims.freeBytes
                let batch = try outbox.claim(
                    limit: desk.claims.freeMessages, byteLimit: bytes, storedLimit: allowance.messages)
                if isBacklogged { account(batch, &desk, outbox) }
                guard !batch.isEmpty else { return }
                desk.claims.add(batch)
                mailbox.order(batch, connection: connection, isHeard: isHeard)
            }
        } catch {
            failed("cannot take messages out of the outbox", error)
        }
    }

    /// What of a backlog has gone counts; what the governor held back has a turn of its own.
    private func account(_ batch: [OutboxStore.Claimed], _ desk: inout Desk, _ outbox: isolated OutboxStore) {
        var (messages, bytes) = (0, 0)
        for claimed in batch where claimed.isStored {
            messages += 1
            bytes += claimed.message.topic.utf8.count + claimed.message.payload.count
        }
        if messages > 0 { desk.governor.sent(messages: messages, bytes: bytes) }
        guard !desk.isWaiting, outbox.hasBacklog, desk.claims.freeMessages > batch.count else { return }
        desk.isWaiting = true
        let wait = max(desk.governor.wait, .milliseconds(1))
        Task.detached { [self] in
            try? await Task.sleep(for: wait)
            self.desk.withLock { $0.isWaiting = false }
            mailbox.changed.raise()
        }
    }

    private func failed(_ doing: Logger.Message, _ error: OutboxError) {
        logger.error(doing, metadata: ["error": "\(error)"])
        let signal = mailbox.changed
        Task.detached {
            try? await Task.sleep(for: .seconds(1))
            signal.raise()
        }
    }
}

/// What a new thread is to do.
private final class ThreadStart: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// What is claimed and still in the outbox, against the window.
private struct Claims: Sendable {
    private let limit: Int
    private let byteLimit: Int
    private var bytes: [MessageID: Int] = [:]
    private var totalBytes = 0

    /// Twice the window: the next burst is at hand when the acknowledgements of one come in.
    init(_ configuration: UpstreamConfiguration) {
        limit = 2 * configuration.window
        byteLimit = configuration.windowBytes
    }

    var freeMessages: Int { limit - bytes.count }
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
