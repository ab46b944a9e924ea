package import Readings

/// How long a failed sensor rests before the next try: doubling from half a second, with jitter so that ten sensors on
/// one failed bus do not all come back at once. A value: time and chance are parameters.
package struct RestartBackoff: Sendable {
    static let minimum = Duration.milliseconds(500)
    static let maximum = Duration.seconds(60)
    /// Longest rest while the device is not there: plugging it in shall be noticed within two seconds.
    static let absentMaximum = Duration.seconds(1)
    /// Having worked this long, the next failure counts as the first.
    static let healthyPeriod = Duration.seconds(60)

    private var failures = 0
    /// Counted apart: a device that was away for an hour and cannot be opened yet when it comes back (udev sets its
    /// group a moment later) has failed once.
    private var absences = 0

    package init() {}

    /// The sensor ran from `started` until `now` and failed; returns how long to rest, ± 20 %.
    package mutating func failed(
        startedAt started: Instant, now: Instant, isAbsent: Bool, using random: inout some RandomNumberGenerator
    ) -> Duration {
        if now - started >= Self.healthyPeriod { self = Self() }
        if isAbsent { absences += 1 } else { failures += 1 }
        let pause = GrowingPause.length(
            after: (isAbsent ? absences : failures) - 1,
            Self.minimum...(isAbsent ? Self.absentMaximum : Self.maximum))
        return pause * Double.random(in: 0.8...1.2, using: &random)
    }
}
