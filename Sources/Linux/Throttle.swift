/// Which occurrences of one thing are told: the first, the second, the fourth, the eighth … A value.
///
/// The first is news, the thousandth is not; a log of something that happens for ever stays 64 lines long.
package struct DoublingThrottle: Hashable, Sendable {
    /// Occurrences so far.
    package private(set) var count: UInt64 = 0

    package init() {}

    /// One more.
    /// - Returns: how many there were, when this one is to be told.
    package mutating func note() -> UInt64? {
        count &+= 1
        return Self.isTold(count) ? count : nil
    }

    /// Whether the occurrence of that number, counted from 1, is to be told.
    package static func isTold(_ number: UInt64) -> Bool { number & (number &- 1) == 0 }
}

/// Which occurrences are told when many keys can have them, such as users and addresses that a peer chooses: each key once
/// in a window, and so many keys in a window at most. A value; time is a parameter.
///
/// Bounded: a peer that invents keys gets `capacity` lines in a window, and everything else is counted.
package struct KeyedThrottle<Key: Hashable & Sendable>: Sendable {
    /// What a line about an occurrence can add.
    package struct Told: Hashable, Sendable {
        /// Occurrences of the key that were not told since its last line.
        package var suppressed: UInt64
        /// Occurrences of keys for which there was no place, not told since the last line of any key.
        package var unlisted: UInt64

        package init(suppressed: UInt64, unlisted: UInt64) {
            self.suppressed = suppressed
            self.unlisted = unlisted
        }
    }

    private struct Entry: Sendable {
        var told: Int64
        var suppressed: UInt64 = 0
    }

    private let window: Int64
    private let capacity: Int
    private var entries: [Key: Entry] = [:]
    private var unlisted: UInt64 = 0
    /// Before then no entry can have run out: looking for one is spared.
    private var nextCleaning = Int64.min

    /// - Parameters:
    ///   - window: how long a key that was told is quiet.
    ///   - capacity: keys that are told in a window; at least 1.
    package init(window: Duration, capacity: Int = 64) {
        self.window = window.nanoseconds
        self.capacity = max(1, capacity)
    }

    /// `key` occurs at `now`, nanoseconds of any clock that does not run backwards.
    /// - Returns: what to add to its line; `nil` when it is not to be told. Cost: a look-up; once a window, a look at all.
    package mutating func note(_ key: Key, now: Int64) -> Told? {
        if let entry = entries[key] {
            guard now &- entry.told >= window else {
                entries[key]?.suppressed += 1
                return nil
            }
            return tell(key, suppressed: entry.suppressed, now: now)
        }
        if entries.count >= capacity { clean(now) }
        guard entries.count < capacity else {
            unlisted += 1
            return nil
        }
        return tell(key, suppressed: 0, now: now)
    }

    private mutating func tell(_ key: Key, suppressed: UInt64, now: Int64) -> Told {
        defer { unlisted = 0 }
        entries[key] = Entry(told: now)
        return Told(suppressed: suppressed, unlisted: unlisted)
    }

    /// Forgets keys whose window is over; what they had suppressed is counted as unlisted.
    private mutating func clean(_ now: Int64) {
        guard now >= nextCleaning else { return }
        var oldest = Int64.max
        for (key, entry) in entries {
            if now &- entry.told >= window {
                unlisted += entry.suppressed
                entries[key] = nil
            } else {
                oldest = min(oldest, entry.told)
            }
        }
        nextCleaning = oldest == .max ? .min : oldest &+ window
    }
}

extension Duration {
    /// Saturates at 292 years.
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : scaled &+ attoseconds / 1_000_000_000
    }
}
