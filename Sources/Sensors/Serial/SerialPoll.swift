package import Readings

/// A device that speaks when it is asked: when to ask, and when to give up. A value.
package struct SerialPoll: Sendable {
    package enum Action: Hashable, Sendable {
        /// Send the request; an answer is expected from now on.
        case ask
        /// The device did not answer, after all retries.
        case silent
    }

    private let interval: Duration
    private let timeout: Duration
    private let retries: Int
    private var due: Instant
    private var answerBy: Instant?
    private var attempts = 0

    package init(interval: Duration, timeout: Duration, retries: Int, now: Instant) {
        self.interval = interval
        self.timeout = timeout
        self.retries = retries
        due = now
    }

    /// When ``next(now:)`` is to be called at the latest.
    package var deadline: Instant { answerBy ?? due }

    /// What is due by `now`; to be called until it says `nil`.
    package mutating func next(now: Instant) -> Action? {
        if let answerBy {
            guard now >= answerBy else { return nil }
            self.answerBy = nil
            if attempts > retries {
                rest(now: now)
                return .silent
            }
            return ask(now: now)
        }
        guard now >= due else { return nil }
        return ask(now: now)
    }

    /// A frame came; false when nobody had asked for it.
    package mutating func answered(now: Instant) -> Bool {
        guard answerBy != nil else { return false }
        answerBy = nil
        rest(now: now)
        return true
    }

    private mutating func ask(now: Instant) -> Action {
        attempts += 1
        answerBy = now + timeout
        return .ask
    }

    /// The pace is kept from the due time; turns that were missed are left out.
    private mutating func rest(now: Instant) {
        attempts = 0
        due = due + interval
        if due <= now { due = now + interval }
    }
}
