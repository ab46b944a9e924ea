/// A damaged outbox file that was moved aside, and why. Nothing in it is lost: it is kept for salvage.
package struct Recovery: Hashable, Sendable {
    /// Where the damaged file lies now; its write-ahead log, if there was one, beside it with `-wal` appended.
    package var quarantined: String
    /// What SQLite said.
    package var reason: String
}
