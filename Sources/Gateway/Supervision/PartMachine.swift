import Readings

/// What one part is doing, and when it is started again after a failure. A value: time and chance are parameters.
///
/// The one policy for all parts: the first failure is followed by a restart at once, further ones by growing pauses, until
/// the part has run well for a while. A part that fails by itself five times within a minute is given up: the gateway as a
/// whole is in doubt then, ends, and is started anew by systemd. What lies outside the gateway never leads to that.
struct PartMachine: Sendable {
    enum State: Hashable, Sendable {
        case starting
        case running
        case backingOff(until: Instant)
        case givenUp
        case stopped
    }

    enum Verdict: Hashable, Sendable {
        case restart(after: Duration)
        case giveUp
    }

    /// A part that has run for so long has started well: its next failure counts as the first.
    static let healthyPeriod = Duration.seconds(30)
    /// Failures of the part's own within ``window`` after which it is given up.
    static let faultLimit = 5
    static let window = Duration.seconds(60)

    /// The pauses after the first restart. What is absent is looked for often, since that costs little.
    static func pauses(_ cause: PartFailure.Cause) -> ClosedRange<Duration> {
        switch cause {
        case .absent: .milliseconds(500)...(.seconds(1))
        case .outside, .inside: .milliseconds(500)...(.seconds(10))
        }
    }

    private(set) var state = State.starting
    /// Since when the part is in its state.
    private(set) var since: Instant
    private(set) var restarts: UInt64 = 0
    /// The last failure; also after the part has recovered.
    private(set) var lastFailure: PartFailure?
    /// Since when the part has not been running, for the line that says how long it was away.
    private(set) var failingSince: Instant?
    private var failures = 0
    private var faults: [Instant] = []

    init(now: Instant) { since = now }

    /// The part is being started.
    mutating func start(now: Instant) { enter(.starting, now) }

    /// The part does what it is for.
    /// - Returns: for how long it had not, if it had failed before.
    mutating func run(now: Instant) -> Duration? {
        guard state != .running else { return nil }
        enter(.running, now)
        defer { failingSince = nil }
        return failingSince.map { now - $0 }
    }

    /// The part has failed.
    /// - Parameter random: spreads the pauses by a fifth, so that parts that failed together do not come back together.
    mutating func fail(
        _ failure: PartFailure, now: Instant, using random: inout some RandomNumberGenerator
    ) -> Verdict {
        if state == .running, now - since >= Self.healthyPeriod { failures = 0 }
        lastFailure = failure
        failingSince = failingSince ?? now
        if failure.cause == .inside {
            faults = faults.filter { now - $0 < Self.window } + [now]
            if faults.count >= Self.faultLimit {
                enter(.givenUp, now)
                return .giveUp
            }
        }
        restarts += 1
        let pause =
            failures == 0
            ? .zero
            : GrowingPause.length(after: failures - 1, Self.pauses(failure.cause))
                * Double.random(in: 0.8...1.2, using: &random)
        failures += 1
        enter(.backingOff(until: now + pause), now)
        return .restart(after: pause)
    }

    /// The part has ended because it was told to.
    mutating func stop(now: Instant) { enter(.stopped, now) }

    private mutating func enter(_ state: State, _ now: Instant) {
        (self.state, since) = (state, now)
    }
}
