internal import Readings

/// Which topics a newer retained message has gone out for than those that a replay brings. Pure.
///
/// Where what is new goes first, a broker would keep what came last, and so the oldest value for the current one: of two
/// retained messages of one topic only the newer may be retained. Forgotten when nothing is left to replay, and with the
/// process.
struct RetainedTopics: Sendable {
    /// Beyond it, a replayed message is retained as it was.
    private static let limit = 65_536

    /// By the topic's hash: when the newest one was taken.
    private var newest: [Int: Instant] = [:]

    /// - Parameters:
    ///   - claimed: about to go out. Of those that are historical and were overtaken, `retain` is taken away.
    ///   - boot: this one; what is of another was taken before.
    ///   - isReplaying: there is something that could be overtaken.
    mutating func pass(_ claimed: inout [OutboxStore.Claimed], boot: BootID, isReplaying: Bool) {
        if !isReplaying, !newest.isEmpty { newest = [:] }
        for place in claimed.indices where claimed[place].message.retain {
            let message = claimed[place].message
            let key = message.topic.hashValue
            if claimed[place].isHistorical {
                guard let newest = newest[key] else { continue }
                if claimed[place].boot != boot || message.time.instant < newest {
                    claimed[place].message.retain = false
                }
            } else if isReplaying, newest[key] != nil || newest.count < Self.limit {
                newest[key] = max(newest[key] ?? message.time.instant, message.time.instant)
            }
        }
    }
}
