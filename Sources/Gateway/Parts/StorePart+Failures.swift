import Outbox
import Readings
import Registry

extension OutboxStore {
    /// What is wrong with the outbox's file; `nil` when nothing is.
    nonisolated func failure(now: Instant) -> PartFailure? {
        let condition = condition
        if let problem = condition.memoryOnly {
            return PartFailure(
                .outside, "messages are in memory alone: \(problem.reason)", remedy: problem.remedy)
        }
        if let problem = condition.commitFailure {
            return PartFailure(.outside, "messages cannot be stored: \(problem.reason)", remedy: problem.remedy)
        }
        if let (path, problem) = condition.unsalvaged.min(by: { $0.key < $1.key }) {
            return PartFailure(
                .outside, "the damaged outbox \(path) is not brought in yet: \(problem.reason)", remedy: problem.remedy)
        }
        if let (recovery, at) = condition.recovery, now - at.instant < Self.shownAsNews {
            return PartFailure(
                .outside, "the outbox was damaged (\(recovery.reason)); it was moved to \(recovery.quarantined)",
                remedy: "check the storage (journalctl -k); what could be read of the file is sent beside what is new")
        }
        return nil
    }

    /// A file that was replaced works again at once: somebody should hear of it all the same.
    private static let shownAsNews = Duration.seconds(600)
}

extension OutboxCondition {
    /// What happened to the file since the start, for `status`.
    func notes(now: Instant) -> [String] {
        var notes: [String] = []
        if let (recovery, at) = recovery {
            notes.append(
                "was damaged (\(recovery.reason)) and replaced at \(rfc3339(unixNanoseconds: at.unixNanoseconds)); "
                    + "the damaged file is \(recovery.quarantined)")
        }
        for difference in mended {
            notes.append(
                "counted \(difference.told) messages of \(difference.deliveryClass) where there were "
                    + "\(difference.counted): mended")
        }
        for (path, problem) in unsalvaged.sorted(by: { $0.key < $1.key }) {
            notes.append("\(path) is not brought in yet: \(problem.reason)")
        }
        return notes
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
