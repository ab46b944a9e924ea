import Admin
import Outbox
import Upstream

/// What shows that each part gets on. Making one asks every part; it is complete only when all have answered.
package struct Pulse: Sendable {
    /// How often the link's loop has turned over; `nil` while it is not connected, when it has little to do.
    package var linkTurns: UInt64?
    package var ingestRounds: UInt64
    package var waiting: Int
    package var storeFails: Bool
    package var text: String

    package init(linkTurns: UInt64?, ingestRounds: UInt64, waiting: Int, storeFails: Bool, text: String) {
        self.linkTurns = linkTurns
        self.ingestRounds = ingestRounds
        self.waiting = waiting
        self.storeFails = storeFails
        self.text = text
    }

    /// The part that has not moved since `earlier`; `nil` when all have. A failing disk is a state that is reported,
    /// not a hang: restarting would not mend it.
    package func stuckPart(since earlier: Pulse) -> String? {
        if let linkTurns, linkTurns == earlier.linkTurns { return "upstream" }
        if earlier.waiting > 0, ingestRounds == earlier.ingestRounds, !storeFails { return "ingest" }
        return nil
    }
}

extension Pulse {
    /// Asks every part.
    init(_ gateway: Gateway) async {
        let status = await gateway.status()
        let progress = gateway.ingest.progress
        linkTurns = gateway.currentLink.link.flatMap { $0.isBeyondHelp ? 0 : $0.snapshot().state.isUp ? $0.turns : nil }
        ingestRounds = progress.rounds
        waiting = status.intake.waiting
        storeFails = gateway.outbox.problem != nil
        let queued = status.queues.reduce(0) { $0 + $1.messages }
        text = "\(status.link.state), \(queued) queued, \(status.clientCount) clients"
    }
}
