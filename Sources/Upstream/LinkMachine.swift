internal import Readings

/// When to look for the broker, when to give up on it and when to try again.
///
/// Pure: time and randomness are parameters. The link's thread feeds it with what happened and does what it says; where
/// the next attempt goes is the ``DialPlan``'s.
///
///     idle ─▶ resolving ─▶ connecting ─▶ authenticated ─▶ confirmed ⇄ suspect ─▶ stopping ─▶ offlineNotice ─▶ stopped
///              │   ▲         │   ▲              │             │           │
///              ▼   │         ▼   │              ▼             ▼           ▼
///              down ◀────────────┴──────────────┴─────────────┴───────────┘
struct LinkMachine: Sendable {
    struct Policy: Hashable, Sendable {
        /// For the resolver to find the host's addresses.
        var resolveTimeout: Duration
        /// For one of several addresses to take the connection, before the next one gets its turn.
        var reachTimeout: Duration
        /// From the start of an attempt to CONNACK.
        var connectTimeout: Duration
        /// With something on its way and no acknowledgement, the link is suspect for so long,
        var suspectAfter: Duration
        /// and down after this.
        var progressTimeout: Duration
        var reconnectDelay: ClosedRange<Duration>
        var stableAfter: Duration
    }

    enum State: Hashable, Sendable {
        /// Not started. → down, stopped
        case idle
        /// Pausing after a failure, or about to go on with the next address. → resolving, connecting, stopped
        case down(until: Instant)
        /// → connecting, down, stopped
        case resolving(deadline: Instant)
        /// From the start of the attempt to CONNACK; `reach`: until when the address has to take the connection.
        /// → authenticated, down, stopped
        case connecting(reach: Instant?, deadline: Instant)
        /// The broker let us in, and has acknowledged nothing yet. → confirmed, suspect, down, stopping
        case authenticated(since: Instant)
        /// The broker has acknowledged something on this connection. → suspect, down, stopping
        case confirmed(since: Instant, last: Instant)
        /// Something is on its way, and nothing has been acknowledged for too long. → confirmed, down, stopping
        case suspect(since: Instant, last: Instant?)
        /// No new messages; waits for the acknowledgement of those on their way. → offlineNotice, stopped
        case stopping(deadline: Instant)
        /// `offline` is on its way. → stopped
        case offlineNotice(deadline: Instant)
        case stopped
    }

    enum Action: Hashable, Sendable {
        case none
        /// Do what the plan says next, and tell ``resolving(now:)`` or ``connecting(now:hasOthers:)``.
        case dial
        /// Whether the address has taken the connection: if not, report it as lost.
        case checkReach
        /// Nothing came in time: report it with `lost`.
        case giveUp(Reason)
        /// Publish `offline` and call `offlineNoticeAcknowledged` once it is acknowledged.
        case publishOfflineNotice
        /// Disconnect if connected, and end.
        case close
    }

    enum Reason: Hashable, Sendable {
        case unresolved
        case noAnswer
        case stalled
    }

    private(set) var state = State.idle
    /// Rounds over all addresses and unstable connections that failed since the last stable one.
    private(set) var failures = 0
    let policy: Policy

    init(policy: Policy) { self.policy = policy }

    /// The broker has let us in, and the link is neither lost nor to end.
    var isUp: Bool { since != nil }

    /// Since when it is up.
    private var since: Instant? {
        switch state {
        case .authenticated(let since), .confirmed(let since, _), .suspect(let since, _): since
        case .idle, .down, .resolving, .connecting, .stopping, .offlineNotice, .stopped: nil
        }
    }

    // MARK: What happened

    mutating func start(now: Instant) -> Action {
        guard state == .idle else { return .none }
        state = .down(until: now)
        return .dial
    }

    /// The resolver was asked.
    mutating func resolving(now: Instant) {
        guard case .down = state else { return }
        state = .resolving(deadline: now + policy.resolveTimeout)
    }

    /// A connection was begun.
    /// - Parameter hasOthers: there are more addresses to try.
    mutating func connecting(now: Instant, hasOthers: Bool) {
        switch state {
        case .down, .resolving:
            state = .connecting(
                reach: hasOthers ? now + policy.reachTimeout : nil, deadline: now + policy.connectTimeout)
        default: return
        }
    }

    /// The address has taken the connection: the rest is the broker's.
    mutating func reached() {
        guard case .connecting(_, let deadline) = state else { return }
        state = .connecting(reach: nil, deadline: deadline)
    }

    /// CONNACK said yes.
    mutating func accepted(now: Instant) {
        guard case .connecting = state else { return }
        state = .authenticated(since: now)
    }

    /// Another connection has taken this one's place, and the broker has let it in.
    mutating func handedOver(now: Instant) { if isUp { state = .authenticated(since: now) } }

    /// The connection is gone, and another one, begun before, is to take its place.
    /// - Parameter deadline: until when the broker has to let that one in.
    mutating func replaced(deadline: Instant) { if isUp { state = .connecting(reach: nil, deadline: deadline) } }

    /// The broker acknowledged something.
    mutating func confirmed(now: Instant) { if let since { state = .confirmed(since: since, last: now) } }

    /// The attempt failed or the connection is gone. While stopping, that ends it: nobody waits for a reconnect.
    /// - Parameter hasNext: the plan has another address for this round, which is tried without a pause.
    mutating func lost(now: Instant, hasNext: Bool = false, using random: inout some RandomNumberGenerator) {
        switch state {
        case .idle, .down, .stopped: return
        case .stopping, .offlineNotice: state = .stopped
        case .resolving, .connecting:
            if hasNext {
                state = .down(until: now)
            } else {
                failures += 1
                state = .down(until: now + delay(using: &random))
            }
        case .authenticated(let since), .confirmed(let since, _), .suspect(let since, _):
            failures = isStable(since: since, now: now) ? 1 : failures + 1
            state = .down(until: now + delay(using: &random))
        }
    }

    /// Whether the present connection has held for long enough to be worth coming back to.
    func isStable(now: Instant) -> Bool { since.map { isStable(since: $0, now: now) } ?? false }

    private func isStable(since: Instant, now: Instant) -> Bool { now - since >= policy.stableAfter }

    /// - Parameter deadline: when to end at the latest, acknowledged or not.
    mutating func stop(deadline: Instant) -> Action {
        switch state {
        case .idle, .down, .resolving, .connecting:
            state = .stopped
            return .close
        case .authenticated, .confirmed, .suspect:
            state = .stopping(deadline: deadline)
            return .none
        case .stopping(let earlier):
            state = .stopping(deadline: min(earlier, deadline))
            return .none
        case .offlineNotice(let earlier):
            state = .offlineNotice(deadline: min(earlier, deadline))
            return .none
        case .stopped: return .none
        }
    }

    mutating func offlineNoticeAcknowledged() -> Action {
        guard case .offlineNotice = state else { return .none }
        state = .stopped
        return .close
    }

    // MARK: Time

    /// What is due. `.giveUp` and `.checkReach` leave the state to what is told next.
    /// - Parameters:
    ///   - oldestUnacknowledged: since when nothing that is on its way was acknowledged; `nil` when nothing is.
    mutating func tick(now: Instant, oldestUnacknowledged: Instant?) -> Action {
        switch state {
        case .down(let until) where now >= until: return .dial
        case .resolving(let deadline) where now >= deadline: return .giveUp(.unresolved)
        case .connecting(_, let deadline) where now >= deadline: return .giveUp(.noAnswer)
        case .connecting(let reach?, _) where now >= reach: return .checkReach
        case .authenticated, .confirmed, .suspect:
            guard let oldestUnacknowledged else { return .none }
            if now >= oldestUnacknowledged + policy.progressTimeout { return .giveUp(.stalled) }
            if now >= oldestUnacknowledged + policy.suspectAfter { suspect() }
            return .none
        case .stopping(let deadline) where now >= deadline, .offlineNotice(let deadline) where now >= deadline:
            state = .stopped
            return .close
        case .stopping(let deadline) where oldestUnacknowledged == nil:
            state = .offlineNotice(deadline: deadline)
            return .publishOfflineNotice
        case .idle, .down, .resolving, .connecting, .stopping, .offlineNotice, .stopped: return .none
        }
    }

    private mutating func suspect() {
        switch state {
        case .authenticated(let since): state = .suspect(since: since, last: nil)
        case .confirmed(let since, let last): state = .suspect(since: since, last: last)
        default: return
        }
    }

    /// When `tick` has something to do at the latest; `nil` when time alone changes nothing.
    func deadline(oldestUnacknowledged: Instant?) -> Instant? {
        switch state {
        case .down(let until): until
        case .resolving(let deadline), .stopping(let deadline), .offlineNotice(let deadline): deadline
        case .connecting(let reach, let deadline): min(reach ?? deadline, deadline)
        case .authenticated, .confirmed: oldestUnacknowledged.map { $0 + policy.suspectAfter }
        case .suspect: oldestUnacknowledged.map { $0 + policy.progressTimeout }
        case .idle, .stopped: nil
        }
    }

    /// Doubles with every failure; the upper half is random, so that the gateways of a site do not come back in step
    /// when their broker does.
    private func delay(using random: inout some RandomNumberGenerator) -> Duration {
        let shortest = policy.reconnectDelay.lowerBound.wholeNanoseconds
        let ceiling = GrowingPause.length(after: failures, policy.reconnectDelay).wholeNanoseconds
        return .nanoseconds(Int64.random(in: max(shortest, ceiling / 2)...max(shortest, ceiling), using: &random))
    }
}
