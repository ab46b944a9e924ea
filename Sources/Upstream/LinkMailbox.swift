internal import CMosquitto
internal import Glibc
internal import Outbox
internal import Readings
internal import Synchronization

/// Between the link's task, which speaks to the outbox, and its thread, which speaks to libmosquitto.
///
/// Bounded by the window: the task claims no more than that, and every message comes back at most once.
final class LinkMailbox: Sendable {
    /// From the task to the thread.
    struct Orders: Sendable {
        var publications: [OutboxStore.Claimed] = []
        /// The connection that they were claimed for.
        var connection: UInt64 = 0
        var stopDeadline: Instant?
    }

    /// A message that the upstream will never take.
    struct Refused: Sendable {
        var id: MessageID
        var reason: String
    }

    /// From the thread to the task.
    struct Report: Sendable {
        /// Acknowledged: done with.
        var settled: [MessageID] = []
        /// Refused for good, and why.
        var refused: [Refused] = []
        /// How long the newest acknowledgement took; `nil` when there was none since the last report.
        var latency: Duration?
        /// The number of the connection that is up; `nil` while there is none.
        var connection: UInt64?
        var isStopped = false
    }

    /// Raised by whatever the task must look at.
    let changed: Signal
    /// Another mailbox, with another thread, has taken this one's place.
    private let isLeft = Atomic(false)
    private let orders = Mutex(Orders())
    private let report = Mutex(Report())
    /// An eventfd(2) that ends the thread's poll.
    let alarm: Int32

    init(changed: Signal) throws(LinkFault) {
        self.changed = changed
        alarm = cmosquitto_alarm()
        guard alarm >= 0 else { throw .library(doing: "prepare the upstream link", reason: errorText(errno)) }
    }

    deinit { close(alarm) }

    // MARK: The task's side

    /// Whoever orders sees to it that they are taken: the thread may have to be rung.
    func order(_ publications: [OutboxStore.Claimed], connection: UInt64) {
        orders.withLock {
            if $0.connection != connection { $0.publications.removeAll() }
            $0.connection = connection
            $0.publications.append(contentsOf: publications)
        }
    }

    /// The earliest deadline of several counts.
    func orderStop(deadline: Instant) {
        orders.withLock { $0.stopDeadline = min($0.stopDeadline ?? deadline, deadline) }
        ring()
        changed.raise()
    }

    /// Nobody reads what the thread says any more; it is to end as soon as it can.
    func leave() {
        isLeft.store(true, ordering: .releasing)
        ring()
    }

    var isAbandoned: Bool { isLeft.load(ordering: .acquiring) }

    var stopDeadline: Instant? { orders.withLock { $0.stopDeadline } }

    /// What is new, and what still is so.
    func takeReport() -> Report {
        report.withLock {
            let report = $0
            $0.settled = []
            $0.refused = []
            $0.latency = nil
            return report
        }
    }

    // MARK: The thread's side

    func takeOrders() -> Orders {
        orders.withLock {
            let orders = $0
            $0.publications = []
            return orders
        }
    }

    /// Whether something is to be published on that connection.
    func hasOrders(for connection: UInt64) -> Bool {
        orders.withLock { $0.connection == connection && !$0.publications.isEmpty }
    }

    /// Changes the report. Somebody has to look at it then.
    func changeReport(_ change: (inout Report) -> Void) { report.withLock { change(&$0) } }

    /// Makes the alarm quiet again.
    func hush() {
        var count: UInt64 = 0
        _ = read(alarm, &count, 8)
    }

    /// Ends the thread's poll.
    func ring() {
        var one: UInt64 = 1
        _ = write(alarm, &one, 8)
    }
}
