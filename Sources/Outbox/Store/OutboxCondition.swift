package import Readings

/// How the outbox's file is, for `status`. A copy: cheap, from any thread (``OutboxStore/condition``).
package struct OutboxCondition: Hashable, Sendable {
    /// Something that does not work, and is tried again by itself.
    package struct Problem: Hashable, Sendable {
        /// What was tried and why it failed, on one line.
        package var reason: String
        /// What a person can do; `nil` where nobody knows.
        package var remedy: String?
        package var since: Timestamp

        package init(reason: String, remedy: String?, since: Timestamp) {
            self.reason = reason
            self.remedy = remedy
            self.since = since
        }

        /// The same problem goes on: it began when the old one did.
        func going(on old: Problem?) -> Problem {
            Problem(reason: reason, remedy: remedy, since: old?.since ?? since)
        }
    }

    /// There is no file: messages are in memory alone, and are acknowledged when the upstream has them. Ends by itself as
    /// soon as a file can be opened.
    package internal(set) var memoryOnly: Problem?
    /// There is a file, and the last commit failed: messages wait in memory, as far as that goes. Ends by itself with the
    /// next commit that succeeds.
    package internal(set) var commitFailure: Problem?
    /// The last time that the file was found damaged and an empty one took its place.
    package internal(set) var recovery: (Recovery, at: Timestamp)? {
        get { recovered.map { ($0.recovery, $0.at) } }
        set { recovered = newValue.map { Recovered(recovery: $0.0, at: $0.at) } }
    }
    private var recovered: Recovered?
    private struct Recovered: Hashable, Sendable {
        var recovery: Recovery
        var at: Timestamp
    }
    /// Counters that were found wrong and mended since the start.
    package internal(set) var mended: [CountDifference] = []
    /// Damaged files that could not be brought in yet, by their paths.
    package internal(set) var unsalvaged: [String: Problem] = [:]

    /// What hinders the outbox right now; `nil` when nothing does.
    package var problem: Problem? { memoryOnly ?? commitFailure }
}
