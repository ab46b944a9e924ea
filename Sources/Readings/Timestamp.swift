/// How far a wall-clock time can be trusted.
package enum TimeQuality: String, Hashable, Sendable, CaseIterable {
    /// The kernel said that the clock was synchronised when the time was taken.
    case synced
    /// Taken while the clock was not trusted, and corrected once it was.
    case restamped
    /// Nobody vouches for it: the board may have woken up in the past.
    case unsynced
}

/// When something happened: on the boot clock, which orders, and on the wall clock, which people read.
package struct Timestamp: Hashable, Sendable {
    /// The boot clock, for order, age and deadlines.
    package var instant: Instant
    /// Nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted (`CLOCK_REALTIME`).
    package var unixNanoseconds: Int64
    /// How far `unixNanoseconds` can be trusted.
    package var quality: TimeQuality

    package init(instant: Instant, unixNanoseconds: Int64, quality: TimeQuality) {
        self.instant = instant
        self.unixNanoseconds = unixNanoseconds
        self.quality = quality
    }
}

/// Where the rooms get the time from. The gateway plugs in the kernel's clocks, a test a hand-moved one.
///
/// `now()` is called from any thread and must be cheap (no blocking, no allocation).
package protocol TimeSource: Sendable {
    func now() -> Timestamp

    /// Something that knows the time says that it was `utc`, Unix nanoseconds, at `instant`.
    /// - Returns: `false` when that is not believed, or is of no use here.
    @discardableResult
    func offer(utc: Int64, at instant: Instant) -> Bool

    /// The time, Unix nanoseconds, when it is sure enough to be remembered over a power cut.
    var lasting: Int64? { get }
}

extension TimeSource {
    package func offer(utc: Int64, at instant: Instant) -> Bool { false }

    package var lasting: Int64? {
        let now = now()
        return now.quality == .synced ? now.unixNanoseconds : nil
    }
}
