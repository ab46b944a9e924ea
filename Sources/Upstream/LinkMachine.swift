internal import Readings

/// When to connect, when to give up on a connection and when to try again.
///
/// Pure: time and randomness are parameters. The link's thread feeds it with what happened and does what it says.
///
///     idle ─▶ connecting ─▶ connected ─▶ stopping ─▶ farewell ─▶ stopped
///                 │  ▲          │
///                 ▼  │          │
///               backoff ◀───────┘
struct LinkMachine: Sendable {
    struct Policy: Hashable, Sendable {
        var connectTimeout: Duration
        var progressTimeout: Duration
        var reconnectDelay: ClosedRange<Duration>
        var stableAfter: Duration
    }

    enum State: Hashable, Sendable {
        /// Not started. → connecting, stopped
        case idle
        /// Pausing after a failure. → connecting, stopped
        case backoff(until: Instant)
        /// From the start of the attempt to CONNACK. → connected, backoff, stopped
        case connecting(deadline: Instant)
        /// → backoff, stopping
        case connected(since: Instant, lastConfirmation: Instant)
        /// No new messages; waits for the acknowledgement of those on their way. → farewell, stopped
        case stopping(deadline: Instant)
        /// `offline` is on its way. → stopped
        case farewell(deadline: Instant)
        case stopped
    }

    enum Action: Hashable, Sendable {
        case none
        /// Start an attempt with a fresh client.
        case connect
        /// Nothing came in time: report it with `lost`.
        case giveUp(Reason)
        /// Publish `offline` and call `farewellAcknowledged` once it is acknowledged.
        case sayFarewell
        /// Disconnect if connected, and end.
        case close
    }

    enum Reason: Hashable, Sendable {
        case noAnswer
        case stalled
    }

    private(set) var state = State.idle
    /// Attempts and unstable connections that failed since the last stable one.
    private(set) var failures = 0
    let policy: Policy

    init(policy: Policy) { self.policy = policy }

    // MARK: What happened

    mutating func start(now: Instant) -> Action {
        guard state == .idle else { return .none }
        state = .connecting(deadline: now + policy.connectTimeout)
        return .connect
    }

    /// CONNACK said yes.
    mutating func accepted(now: Instant) {
        guard case .connecting = state else { return }
        state = .connected(since: now, lastConfirmation: now)
    }

    /// The broker acknowledged something.
    mutating func confirmed(now: Instant) {
        guard case .connected(let since, _) = state else { return }
        state = .connected(since: since, lastConfirmation: now)
    }

    /// The attempt failed or the connection is gone. While stopping, that ends it: nobody waits for a reconnect.
    mutating func lost(now: Instant, using random: inout some RandomNumberGenerator) {
        switch state {
        case .idle, .backoff, .stopped: return
        case .stopping, .farewell: state = .stopped
        case .connecting:
            failures += 1
            state = .backoff(until: now + delay(using: &random))
        case .connected(let since, _):
            failures = now - since >= policy.stableAfter ? 1 : failures + 1
            state = .backoff(until: now + delay(using: &random))
        }
    }

    /// - Parameter deadline: when to end at the latest, acknowledged or not.
    mutating func stop(deadline: Instant) -> Action {
        switch state {
        case .idle, .backoff, .connecting:
            state = .stopped
            return .close
        case .connected:
            state = .stopping(deadline: deadline)
            return .none
        case .stopping(let earlier):
            state = .stopping(deadline: min(earlier, deadline))
            return .none
        case .farewell(let earlier):
            state = .farewell(deadline: min(earlier, deadline))
            return .none
        case .stopped: return .none
        }
    }

    mutating func farewellAcknowledged() -> Action {
        guard case .farewell = state else { return .none }
        state = .stopped
        return .close
    }

    // MARK: Time

    /// What is due. `.giveUp` leaves the state to ``lost(now:using:)``.
    /// - Parameters:
    ///   - oldestUnacknowledged: since when nothing that is on its way was acknowledged; `nil` when nothing is.
    mutating func tick(now: Instant, oldestUnacknowledged: Instant?) -> Action {
        switch state {
        case .backoff(let until) where now >= until:
            state = .connecting(deadline: now + policy.connectTimeout)
            return .connect
        case .connecting(let deadline) where now >= deadline: return .giveUp(.noAnswer)
        case .connected:
            guard let oldestUnacknowledged, now >= oldestUnacknowledged + policy.progressTimeout else { return .none }
            return .giveUp(.stalled)
        case .stopping(let deadline) where now >= deadline, .farewell(let deadline) where now >= deadline:
            state = .stopped
            return .close
        case .stopping(let deadline) where oldestUnacknowledged == nil:
            state = .farewell(deadline: deadline)
            return .sayFarewell
        case .idle, .backoff, .connecting, .stopping, .farewell, .stopped: return .none
        }
    }

    /// When `tick` has something to do at the latest; `nil` when time alone changes nothing.
    func deadline(oldestUnacknowledged: Instant?) -> Instant? {
        switch state {
        case .backoff(let until): until
        case .connecting(let deadline), .stopping(let deadline), .farewell(let deadline): deadline
        case .connected: oldestUnacknowledged.map { $0 + policy.progressTimeout }
        case .idle, .stopped: nil
        }
    }

    /// Doubles with every failure; the upper half is random, so that the gateways of a site do not come back in step
    /// when their broker does.
    private func delay(using random: inout some RandomNumberGenerator) -> Duration {
        let shortest = policy.reconnectDelay.lowerBound.wholeNanoseconds
        let longest = policy.reconnectDelay.upperBound.wholeNanoseconds
        var ceiling = shortest
        for _ in 0..<min(failures, 62) where ceiling < longest {
            ceiling = ceiling > longest / 2 ? longest : ceiling * 2
        }
        return .nanoseconds(Int64.random(in: max(shortest, ceiling / 2)...max(shortest, ceiling), using: &random))
    }
}
