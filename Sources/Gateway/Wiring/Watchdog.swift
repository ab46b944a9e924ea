import Admin
import Logging
import Synchronization
import Upstream

/// Feeds systemd's watchdog, and only when every part has just shown that it still gets on: the event loop answers,
/// the outbox answers, the link's thread has turned over, and ingest has not stood still with work waiting.
///
/// A part that hangs leaves its question unanswered; the watchdog then goes hungry, and systemd restarts the service.
struct Watchdog: Sendable {
    private static let comparable = Duration.seconds(3)
    private let gateway: Gateway

    init(gateway: Gateway) { self.gateway = gateway }

    /// Runs until cancelled. Without a watchdog from systemd it only keeps the status text fresh.
    func run() async {
        let interval = min(gateway.systemd.watchdogInterval ?? .seconds(5), .seconds(5))
        let answer = Answer()
        var before: (pulse: Pulse, at: ContinuousClock.Instant)?
        while !Task.isCancelled {
            // Asked beside the loop: a question that is never answered must not stop the asking.
            Task { answer.put(await Pulse(gateway)) }
            do { try await Task.sleep(for: interval) } catch { return }
            guard let now = answer.take() else {
                gateway.logger.critical("a part of the gateway does not answer; the watchdog is not fed")
                continue
            }
            // Closer together, two answers may be alike without anything being wrong: an idle link turns once a second.
            let isComparable = before.map { ContinuousClock.now - $0.at >= Self.comparable } ?? true
            if isComparable, let stuck = before.flatMap({ now.stuckPart(since: $0.pulse) }) {
                gateway.logger.critical("a part of the gateway stands still", metadata: ["part": "\(stuck)"])
            } else {
                gateway.systemd.send("WATCHDOG=1", "STATUS=\(now.text)")
            }
            if isComparable { before = (now, ContinuousClock.now) }
        }
    }

    private final class Answer: Sendable {
        private let pulse = Mutex<Pulse?>(nil)
        func put(_ new: Pulse) { pulse.withLock { $0 = new } }
        func take() -> Pulse? { pulse.withLock { $0.take() } }
    }
}
