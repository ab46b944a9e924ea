import Readings

/// What the wall clock is believed to be. Pure: what the kernel's clocks say is a parameter.
///
/// Trusted is what the kernel calls synchronised, else the time that a source told (a GPS receiver, the upstream). What
/// neither vouches for is `unsynced`, and never before the last time that was known: a board without a clock wakes up
/// in 1970, and certificates are not valid then.
struct TrustedClock: Sendable {
    /// Offers lie no further than this before the floor: a receiver whose week number has rolled over is decades off.
    private static let tolerance: Int64 = 86_400_000_000_000
    /// How long an offer counts: a quartz that is 100 ppm off has lost 9 s by then.
    private static let offerLife: Int64 = 86_400_000_000_000
    /// Beyond it nothing is a time: Unix nanoseconds, the year 2200.
    private static let ceiling: Int64 = 7_258_118_400_000_000_000

    /// The last time that was known, Unix nanoseconds, and the boot clock when this was begun with.
    private let floor: (unix: Int64, boot: Int64)
    /// What a source last told: wall time less boot clock, and when.
    private var offer: (offset: Int64, at: Int64)?

    /// - Parameters:
    ///   - floor: the last time that was known, Unix nanoseconds.
    ///   - boot: the boot clock now, in nanoseconds.
    init(floor: Int64, boot: Int64) { self.floor = (floor, boot) }

    /// A source says that it was `utc` when the boot clock said `instant`.
    /// - Returns: `false` when that cannot be.
    mutating func offer(utc: Int64, at instant: Instant) -> Bool {
        guard utc > floor.unix - Self.tolerance, utc < Self.ceiling else { return false }
        offer = (utc - instant.nanoseconds, instant.nanoseconds)
        return true
    }

    /// - Parameters:
    ///   - boot, wall: CLOCK_BOOTTIME and CLOCK_REALTIME, in nanoseconds.
    ///   - isSynced: the kernel calls the latter synchronised.
    func now(boot: Int64, wall: Int64, isSynced: Bool) -> Timestamp {
        let instant = Instant(nanoseconds: boot)
        if isSynced, wall >= floor.unix - Self.tolerance {
            return Timestamp(instant: instant, unixNanoseconds: wall, quality: .synced)
        }
        if let offer, boot - offer.at < Self.offerLife {
            return Timestamp(instant: instant, unixNanoseconds: boot + offer.offset, quality: .synced)
        }
        let least = floor.unix + (boot - floor.boot)
        return Timestamp(
            instant: instant, unixNanoseconds: wall < least || wall > Self.ceiling ? least : wall, quality: .unsynced)
    }
}
