internal import Readings

/// When the outbox writes. Pure: time is a parameter.
///
/// A message that somebody waits for and that cannot go upstream at once is stored soon, together with those that come
/// within a moment: a commit costs some pages of flash whether it holds one message or a hundred. A publisher that
/// waits for each acknowledgement before it sends the next message would only lose time by that, so that a pause in what
/// comes ends the moment.
struct CommitSchedule: Sendable {
    /// The longest that a message waits for others.
    static let interval = Duration.milliseconds(25)
    /// The pause that ends the wait.
    static let pause = Duration.microseconds(1_500)
    /// So much is written without waiting for more.
    static let messages = 512
    static let bytes: Int64 = 256 << 10
    /// Settled rows that are recorded together, and how long they wait for it.
    static let settledMessages = 25
    static let settledInterval = Duration.milliseconds(5)

    /// How long a message may be in memory alone, the time of a commit left over.
    static func patience(_ commitAfter: Duration) -> Duration { commitAfter - min(commitAfter / 10, interval) }

    private var awaited: (since: Instant, last: Instant, count: Int, bytes: Int64)?
    private var settledDue: Instant?
    private var pauses = GrowingPause(GrowingPause.disk)
    /// Not before this.
    private(set) var earliest = Instant(nanoseconds: .min)

    /// When the next commit is due for what was told here.
    var due: Instant? {
        var due = settledDue
        if let awaited {
            let isMuch = awaited.count >= Self.messages || awaited.bytes >= Self.bytes
            due = .min(due, isMuch ? awaited.last : min(awaited.since + Self.interval, awaited.last + Self.pause))
        }
        return due
    }

    /// A message has come.
    /// - Parameters:
    ///   - isAwaited: a publisher waits for its acknowledgement.
    ///   - isLive: it may go upstream at once.
    mutating func took(_ bytes: Int64, isAwaited: Bool, isLive: Bool, now: Instant) {
        guard isAwaited, !isLive else { return }
        let before = awaited ?? (since: now, last: now, count: 0, bytes: 0)
        awaited = (before.since, now, before.count + 1, before.bytes + bytes)
    }

    /// - Parameters:
    ///   - count: settled rows that are not recorded.
    ///   - isLast: nothing that is stored is on its way any more.
    mutating func settled(_ count: Int, isLast: Bool, now: Instant) {
        if count >= Self.settledMessages || isLast { settledDue = now }
        if settledDue == nil { settledDue = now + Self.settledInterval }
    }

    /// There is something to store that must not wait.
    mutating func isNeeded(now: Instant) { settledDue = now }

    mutating func succeeded() { self = CommitSchedule() }

    /// - Parameter isPartlyDone: what must not wait was stored; the next of it should not wait either.
    mutating func failed(now: Instant, isPartlyDone: Bool = false) {
        let pause = pauses.next()
        earliest = now + (isPartlyDone ? GrowingPause.disk.lowerBound : pause)
    }
}

extension Instant {
    /// The earlier one of those that there are.
    static func min(_ a: Instant?, _ b: Instant) -> Instant { a.map { Swift.min($0, b) } ?? b }
}
