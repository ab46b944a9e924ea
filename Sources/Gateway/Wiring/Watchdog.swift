import Admin
import Logging
import Synchronization
import Upstream

/// Feeds systemd's watchdog, and only when every part has just shown that it still gets on: the event loop answers,
/// the outbox answers, the link's thread has turned over, and ingest has not stood still with work waiting.
///
/// A part that hangs leaves its question unanswered; the watchdog then goes hungry, and systemd restarts the service.
struct Watchdog: Sendable {
    private let gateway: Gateway

    init(gateway: Gateway) { self.gateway = gateway }

    /// Runs until cancelled. Without a watchdog from systemd it only keeps the status text fresh.
    func run() async {
        let interval = min(gateway.systemd.watchdogInterval ?? .seconds(5), .seconds(5))
        let answer = Answer()
        var before: Pulse?
        while !Task.isCancelled {
            // Asked beside the loop: a question that is never answered must not stop the asking.
            Task { answer.put(await Pulse(gateway)) }
            do { try await Task.sleep(for: interval) } catch { return }
            guard let now = answer.take() else {
                gateway.logger.critical("a part of the gateway does not answer; the watchdog is not fed")
                continue
            }
            if let stuck = before.flatMap(now.stuckPart(since:)) {
                gateway.logger.critical("a part of the gateway stands still", metadata: ["part": "\(stuck)"])
            } else {
                gateway.systemd.send("WATCHDOG=1", "STATUS=\(now.text)")
            }
            before = now
        }
    }

    private final class Answer: Sendable {
        private let pulse = Mutex<Pulse?>(nil)
        func put(_ new: Pulse) { pulse.withLock { $0 = new } }
        func take() -> Pulse? { pulse.withLock { $0.take() } }
    }
}

/// What shows that each part gets on. Making one asks every part; it is complete only when all have answered.
struct Pulse: Sendable {
    /// How often the link's loop has turned over; `nil` while it is not connected, when resolving a name may block it.
    let linkTurns: UInt64?
    let ingestRounds: UInt64
    let waiting: Int
    let storeFails: Bool
    let text: String

    init(_ gateway: Gateway) async {
        let status = await gateway.status()
        let progress = gateway.ingest.progress
        linkTurns = gateway.link.snapshot().state == .connected ? gateway.link.turns : nil
        ingestRounds = progress.rounds
        waiting = status.intake.waiting
        storeFails = progress.storeFailure != nil
        let queued = status.queues.reduce(0) { $0 + $1.messages }
        text = "\(status.link.state), \(queued) queued, \(status.clientCount) clients"
    }

    /// The part that has not moved since `earlier`; `nil` when all have. A failing disk is a state that is reported,
    /// not a hang: restarting would not mend it.
    func stuckPart(since earlier: Pulse) -> String? {
        if let linkTurns, linkTurns == earlier.linkTurns { return "upstream" }
        if earlier.waiting > 0, ingestRounds == earlier.ingestRounds, !storeFails { return "ingest" }
        return nil
    }
}
