import Readings

/// What the wall clock is believed to be. Pure: what the kernel's clocks say is a parameter.
///
/// Trusted is what the kernel calls synchronised, else the time that a source told (a GPS receiver, the upstream). What
/// neither vouches for is `unsynced`, and never before the last time that was known: a board without a clock wakes up
/// in 1970, and certificates are not valid then.
///
/// Any of them may be wrong once, the last known time too, and none may be wrong for good. So nobody but the build has
/// the last word: the kernel's time counts from the build on, whatever was known, and so does a source that surprises but
/// stays with it for a minute.
struct TrustedClock: Sendable {
    /// Offers that lie further before the floor than this, or further behind it, are a surprise: a receiver whose week
    /// number has rolled over is decades off, one without a fix says 2079.
    private static let tolerance: Int64 = 86_400 * second
    private static let leap: Int64 = 10 * 365 * 86_400 * second
    /// How long an offer counts: a quartz that is 100 ppm off has lost 9 s by then.
    private static let offerLife: Int64 = 86_400 * second
    /// Beyond it nothing is a time: Unix nanoseconds, the year 2200.
    private static let ceiling: Int64 = 7_258_118_400 * second
    private static let second: Int64 = 1_000_000_000

    /// Offers of which each agrees with the one before, as the boot clock goes on.
    private struct Run: Sendable {
        /// Wall time less boot clock, as it was last told.
        var offset: Int64
        /// The boot clock at the first and the last of them.
        var first: Int64
        var last: Int64
        var count = 1

        init(offset: Int64, at boot: Int64) { (self.offset, first, last) = (offset, boot, boot) }

        /// Adds an offer that agrees: a line takes its time, and a quartz is up to 200 ppm off.
        /// - Returns: `false` when it does not agree.
        mutating func add(offset: Int64, at boot: Int64) -> Bool {
            guard abs(offset - self.offset) <= 10 * TrustedClock.second + (boot - last) / 5_000 else { return false }
            (self.offset, last) = (offset, max(last, boot))
            count += 1
            return true
        }

        func isAlive(_ boot: Int64) -> Bool { boot - last < TrustedClock.offerLife }

        /// No slip: it was told again and again.
        var isConfirmed: Bool { count >= 3 && last - first >= 60 * TrustedClock.second }

        /// Worth keeping over a power cut.
        var isLasting: Bool { count >= 2 && last - first >= 3_600 * TrustedClock.second }
    }

    /// When the program was built, Unix nanoseconds: no time is before it.
    private let built: Int64
    /// The last time that was known, Unix nanoseconds, and the boot clock when this was begun with.
    private var floor: (unix: Int64, boot: Int64)
    /// What sources tell.
    private var believed: Run?
    /// What a source tells that is a surprise.
    private var doubted: Run?

    /// - Parameters:
    ///   - floor: the last time that was known, Unix nanoseconds.
    ///   - built: when the program was built.
    ///   - boot: the boot clock now, in nanoseconds.
    init(floor: Int64, built: Int64, boot: Int64) {
        self.built = built
        self.floor = (max(floor, built), boot)
    }

    /// A source says that it was `utc` when the boot clock said `instant`.
    ///
    /// What surprises, after the last known time or after what is confirmed, has to be told three times in a row within
    /// a minute or more, and then takes its place.
    /// - Returns: `false` when it is not believed.
    mutating func offer(utc: Int64, at instant: Instant) -> Bool {
        let boot = instant.nanoseconds
        guard utc >= built, utc < Self.ceiling, boot >= 0 else { return false }
        let offset = utc - boot
        if believed?.add(offset: offset, at: boot) == true {
            doubted = nil
            return true
        }
        if doubted?.add(offset: offset, at: boot) != true { doubted = Run(offset: offset, at: boot) }
        guard let run = doubted else { return false }
        let isExpected = utc > floor.unix - Self.tolerance && utc < floor.unix + Self.leap
        let isOpposed = believed.map { $0.isConfirmed && $0.isAlive(boot) } ?? false
        guard isExpected && !isOpposed || run.isConfirmed else { return false }
        (believed, doubted) = (run, nil)
        if !isExpected { floor = (utc, boot) }
        return true
    }

    /// - Parameters:
    ///   - boot, wall: CLOCK_BOOTTIME and CLOCK_REALTIME, in nanoseconds.
    ///   - isSynced: the kernel calls the latter synchronised.
    func now(boot: Int64, wall: Int64, isSynced: Bool) -> Timestamp {
        let instant = Instant(nanoseconds: boot)
        if isSynced, isTime(wall) { return Timestamp(instant: instant, unixNanoseconds: wall, quality: .synced) }
        if let believed, believed.isAlive(boot) {
            return Timestamp(instant: instant, unixNanoseconds: boot + believed.offset, quality: .synced)
        }
        let least = floor.unix + (boot - floor.boot)
        return Timestamp(
            instant: instant, unixNanoseconds: wall < least || wall > Self.ceiling ? least : wall, quality: .unsynced)
    }

    /// The time, as far as it is worth keeping as the last known one: the kernel's, or what sources have agreed on for an
    /// hour. Less would make one slip the floor of every boot to come.
    func lasting(boot: Int64, wall: Int64, isSynced: Bool) -> Int64? {
        if isSynced, isTime(wall) { return wall }
        guard let believed, believed.isAlive(boot), believed.isLasting else { return nil }
        return boot + believed.offset
    }

    private func isTime(_ wall: Int64) -> Bool { wall >= built && wall < Self.ceiling }
}
