import Outbox
import Registry

extension OutboxStore {
    /// What is wrong with the outbox's file; `nil` when nothing is.
    nonisolated var failure: PartFailure? {
        problem.map { PartFailure(.outside, text: "messages cannot be stored: \($0)") }
    }
}

extension StateStore {
    /// What is wrong with the state file; `nil` when nothing is.
    nonisolated var failure: PartFailure? {
        snapshot.problem.map { problem in
            PartFailure(
                .outside,
                "sessions, retained messages and accounts cannot be stored, and are lost with a restart: "
                    + problem.reason,
                remedy: problem.remedy)
        }
    }
}
