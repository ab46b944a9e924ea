import Logging
import Synchronization

/// Counts and tells what came down for a rule that has a mistake in the settings, and went no further.
final class DroppedCommandLog: Sendable {
    private let count = Atomic<UInt64>(0)
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    func note(_ topic: String, rule: String) {
        let count = count.wrappingAdd(1, ordering: .relaxed).newValue
        // Every power of two: the first is news, the thousandth is not.
        guard count & (count - 1) == 0 else { return }
        logger.error(
            "a message from the upstream comes out nowhere: the rule that takes it has a mistake, or one before it",
            metadata: [
                "topic": "\(topic)", "rule": "\(rule)", "so_far": "\(count)",
                "try": "mend the [[accept]] or [[both]] rules; tidegate check says where",
            ])
    }
}
