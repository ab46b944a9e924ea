import Logging
import Outbox

extension OutboxNotice {
    /// One line of the log.
    func tell(_ logger: Logger) {
        switch self {
        case .replaced(let recovery):
            logger.error(
                "the outbox is damaged; a new one takes its place, and what can be read of the old one is brought in",
                metadata: ["file": "\(recovery.quarantined)", "reason": "\(recovery.reason)"])
        case .memoryOnly(let problem):
            logger.error(
                "the outbox has no file: messages are in memory alone, and are acknowledged when the upstream has them",
                metadata: problem.metadata)
        case .fileInUse(let path):
            logger.notice("the outbox has a file again", metadata: ["file": "\(path)"])
        case .mended(let difference):
            logger.warning(
                "the outbox's count of a class was not that of its messages; it is mended",
                metadata: [
                    "class": "\(difference.deliveryClass)", "was": "\(difference.told)",
                    "is": "\(difference.counted)",
                ])
        case .salvaged(let salvage):
            logger.notice(
                "what could be read of a damaged outbox waits for the upstream",
                metadata: ["file": "\(salvage.file)", "saved": "\(salvage.saved)", "lost": "\(salvage.lost)"])
        case .unsalvaged(let path, let problem):
            var metadata = problem.metadata
            metadata["file"] = "\(path)"
            logger.error("a damaged outbox cannot be brought in yet", metadata: metadata)
        }
    }
}

extension OutboxCondition.Problem {
    fileprivate var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = ["reason": "\(reason)"]
        if let remedy { metadata["try"] = "\(remedy)" }
        return metadata
    }
}
