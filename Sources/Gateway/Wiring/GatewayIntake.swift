package import Broker
package import Outbox
package import Pipeline
package import Readings
import Synchronization

/// The gate itself: arrivals wait here, in order, between the broker's event loop or a sensor's task and the ingest
/// loop, which takes all of them at once. That is what makes the outbox's group commit large when it matters.
///
/// Bounded in number and bytes. Beyond half of a bound the broker is told to stop reading; what a device may send in
/// the meantime still fits, and what would not is refused: QoS 0 and sensor samples are dropped and counted, and a
/// QoS 1 publish is never dropped, since the broker's own bound on unacknowledged publishes limits those.
package final class GatewayIntake: Intake {
    package struct Counts: Sendable {
        package var received: UInt64 = 0
        package var dropped: UInt64 = 0
        package var queued = 0
    }

    private struct State {
        var arrivals: [Arrival] = []
        var bytes = 0
        var congested = false
        var finished = false
        var counts = Counts()
        /// What was dropped since the last take, by class.
        var losses: [DeliveryClass: Loss] = [:]
        /// `next` is to return even though nothing came.
        var isNudged = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())
    /// Lets what has come through at once, on the thread that it came on. Stands in a struct for the reason told at
    /// ``Bell``.
    private struct Shortcut: Sendable {
        let body: @Sendable () -> Bool
    }
    private let shortcut = Mutex<Shortcut?>(nil)
    /// More than this is the consumer's, which takes all that has come meanwhile at one go.
    private static let shortcutLimit = 32
    private let countLimit: Int
    private let byteLimit: Int
    /// What is wanted of the LAN. Apart from `state`, which the broker must not wait for to know it.
    private struct Wants: Sendable {
        var rules: [ForwardRule]
        var commandTopics: Set<String>
    }
    private let wants: Mutex<Wants>
    private let topicsWithoutRule = Mutex(TopCounts<String>())

    /// - Parameters:
    ///   - rules: what goes upstream; publishes that none of them matches stay on the LAN.
    ///   - commandTopics: what commands a local sensor, and is wanted for that.
    ///   - countLimit: arrivals held at most.
    ///   - byteLimit: payload and topic bytes held at most.
    package init(
        rules: [ForwardRule], commandTopics: Set<String> = [], countLimit: Int = 16_384, byteLimit: Int = 8 << 20
    ) {
        wants = Mutex(Wants(rules: rules, commandTopics: commandTopics))
        self.countLimit = countLimit
        self.byteLimit = byteLimit
    }

    package func wants(_ topic: String) -> Bool {
        let isWanted = wants.withLock { wants in
            wants.rules.contains { $0.from.matches(topic) } || wants.commandTopics.contains(topic)
        }
        if !isWanted { topicsWithoutRule.withLock { $0.note(topic.utf8.count <= 200 ? topic : Self.excerpt(topic)) } }
        return isWanted
    }

    private static func excerpt(_ topic: String) -> String {
        String(decoding: topic.utf8.prefix(200), as: UTF8.self) + "…"
    }

    /// The topics that devices publish to most and that no rule takes, the most frequent first.
    package func topicsWithoutRule(_ limit: Int) -> [TopCounts<String>.Item] {
        topicsWithoutRule.withLock { $0.top(limit) }
    }

    /// Takes what these rules and topics want from now on. Any thread.
    func reconfigure(rules: [ForwardRule], commandTopics: Set<String>) {
        wants.withLock { $0 = Wants(rules: rules, commandTopics: commandTopics) }
        topicsWithoutRule.withLock { $0 = TopCounts() }
    }

    /// - Parameter body: takes what waits, by ``takeNow()``, if it can do so at once; `false` when it cannot.
    func attachShortcut(_ body: @escaping @Sendable () -> Bool) { shortcut.withLock { $0 = Shortcut(body: body) } }

    /// Called by the broker on its event loop and by sensors on their tasks; never blocks beyond the lock.
    package func accept(_ batch: [Arrival]) -> IntakeVerdict {
        let (verdict, count) = state.withLock { state in
            for arrival in batch {
                state.counts.received += 1
                let size = arrival.size
                let full = state.arrivals.count >= countLimit || state.bytes + size > byteLimit
                if full || state.finished, arrival.settle == nil {
                    state.counts.dropped += 1
                    noteLoss(of: arrival, &state)
                    continue
                }
                state.arrivals.append(arrival)
                state.bytes += size
            }
            state.congested = state.arrivals.count > countLimit / 2 || state.bytes > byteLimit / 2
            return (state.congested ? IntakeVerdict.congested : .accepted, state.arrivals.count)
        }
        guard count > 0 else { return verdict }
        if count <= Self.shortcutLimit, shortcut.withLock({ $0 })?.body() == true { return verdict }
        state.withLock { $0.waiter.take() }?.resume()
        return verdict
    }

    /// The cloud is to learn of it: `next` hands it out with what has come before it.
    private func noteLoss(of arrival: Arrival, _ state: inout State) {
        let rule = wants.withLock { wants in wants.rules.first { $0.from.matches(arrival.topic) } }
        guard let rule, let count = arrival.messageCount else { return }
        let loss = Loss(rule.deliveryClass, count: count, from: arrival.time, to: arrival.time)
        state.losses[rule.deliveryClass]?.append(loss)
        if state.losses[rule.deliveryClass] == nil { state.losses[rule.deliveryClass] = loss }
    }

    /// What waits, in order of arrival.
    package struct Taken: Sendable {
        package var batch: [Arrival]
        /// What was dropped after it, by class.
        package var losses: [Loss]
        package var wasCongested: Bool
    }

    /// Lets `next` return, with nothing if need be: the time has come to look at what did not arrive.
    package func nudge() {
        state.withLock { state in
            state.isNudged = true
            return state.waiter.take()
        }?.resume()
    }

    /// Everything that waits, in order of arrival; suspends while there is nothing, until nudged. `nil` once `finish` was called and
    /// all has been taken. For one consumer.
    package func next(isolation: isolated (any Actor)? = #isolation) async -> Taken? {
        // Where there always is something, a wait that is none would never let others who are at home here have their turn.
        if state.withLock({ !$0.arrivals.isEmpty }) { await Task.yield() }
        while true {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let ready = state.withLock { state in
                    if state.arrivals.isEmpty, !state.finished, !state.isNudged {
                        precondition(state.waiter == nil, "the intake has one consumer")
                        state.waiter = continuation
                        return false
                    }
                    return true
                }
                if ready { continuation.resume() }
            }
            let taken: Taken?? = state.withLock { state in
                if state.arrivals.isEmpty, !state.isNudged { return state.finished ? .some(nil) : .none }
                state.isNudged = false
                return Self.take(&state)
            }
            if let taken { return taken }
        }
    }

    /// Everything that waits, in order of arrival; `nil` when that is nothing.
    func takeNow() -> Taken? { state.withLock { $0.arrivals.isEmpty ? nil : Self.take(&$0) } }

    private static func take(_ state: inout State) -> Taken {
        defer {
            state.arrivals = []
            state.bytes = 0
            state.congested = false
            if !state.losses.isEmpty { state.losses = [:] }
        }
        return Taken(batch: state.arrivals, losses: Array(state.losses.values), wasCongested: state.congested)
    }

    /// No more arrivals: what is here is still handed out, then `next` ends.
    package func finish() {
        state.withLock { state in
            state.finished = true
            return state.waiter.take()
        }?.resume()
    }

    package var counts: Counts {
        state.withLock { state in
            var counts = state.counts
            counts.queued = state.arrivals.count
            return counts
        }
    }
}

extension Arrival {
    /// How many messages it would have become; `nil`: none.
    fileprivate var messageCount: Int64? {
        switch body {
        case .payload: 1
        case .samples(let samples): samples.isEmpty ? nil : Int64(samples.count)
        case .unavailable: nil
        }
    }

    /// What it takes up here, in bytes, near enough for a bound.
    fileprivate var size: Int {
        switch body {
        case .payload(let bytes): topic.utf8.count + bytes.count + 128
        case .samples(let samples): topic.utf8.count + samples.count * 64 + 128
        case .unavailable(let reason): topic.utf8.count + reason.utf8.count + 128
        }
    }
}
