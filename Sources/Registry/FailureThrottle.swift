/// Slows down an address whose logins fail. Sans-IO: the time comes with each call, in nanoseconds of one clock that
/// does not jump; calls need not be in the order of their times.
///
/// The fifth failure within a minute closes the door for a second, and each failure after that for twice as long, up to
/// a minute. A minute without a failure after the door opened forgets everything. Successes change nothing: one valid
/// account must not buy guesses at others. Everybody behind one address shares its fate.
package struct FailureThrottle: Sendable {
    /// Failures within ``window`` at which the door closes.
    package static let freeFailures = 5
    /// Nanoseconds.
    package static let window: Int64 = 60_000_000_000
    /// Nanoseconds.
    package static let firstDelay: Int64 = 1_000_000_000
    /// Nanoseconds.
    package static let longestDelay: Int64 = 60_000_000_000

    private struct Entry {
        /// Times of failures since the door was last known to be open; at most ``freeFailures``, the newest.
        var failures: [Int64] = []
        /// 0 while the door has never been closed, else the last time it was closed for.
        var delay: Int64 = 0
        /// When the door opens; the last failure while it is open.
        var until: Int64
    }

    private var entries: [String: Entry] = [:]
    private let capacity: Int

    /// - Parameter capacity: addresses that are remembered; beyond them the one whose door opened first is forgotten.
    package init(capacity: Int = 1024) {
        precondition(capacity > 0)
        self.capacity = capacity
    }

    /// Addresses that are remembered.
    package var count: Int { entries.count }

    /// Nanoseconds until the address may try again; 0 for now.
    package func delay(of address: String, now: Int64) -> Int64 {
        guard let entry = entries[address], entry.delay > 0 else { return 0 }
        return max(0, entry.until - now)
    }

    /// Takes note of a failed login. Cost: a walk over the table when a new address does not fit.
    package mutating func fail(_ address: String, now: Int64) {
        var entry = entries[address] ?? Entry(until: now)
        if now - entry.until > Self.window { entry = Entry(until: now) }
        if entry.delay > 0 {
            entry.delay = min(entry.delay * 2, Self.longestDelay)
        } else {
            entry.failures.append(now)
            entry.failures.removeAll { now - $0 > Self.window }
            if entry.failures.count >= Self.freeFailures {
                entry.delay = Self.firstDelay
                entry.failures = []
            }
        }
        entry.until = max(entry.until, now + entry.delay)
        if entries[address] == nil, entries.count >= capacity { makeRoom(now: now) }
        entries[address] = entry
    }

    /// Forgets every address that has been quiet for long enough, or else the one that was quiet first.
    private mutating func makeRoom(now: Int64) {
        entries = entries.filter { now - $0.value.until <= Self.window }
        guard entries.count >= capacity, let oldest = entries.min(by: { $0.value.until < $1.value.until }) else {
            return
        }
        entries[oldest.key] = nil
    }
}
