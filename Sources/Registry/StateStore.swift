internal import Database
package import MQTT
package import Readings

/// Why the state cannot be kept.
package struct StateError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    /// Another process has the file.
    package let isLocked: Bool
}

/// The state database, `state.db`: what the listener's sessions need over a restart, users and access rules.
///
/// Runs on a thread of its own, since SQLite and its syncs block. Whatever becomes of this file, the outbox is another.
package actor StateStore {
    /// A damaged file that was moved aside when the store was opened, and why. Until ``reopen()`` the access rules deny
    /// everything then that no new rule allows: losing the rules must not open the gateway.
    package nonisolated let recovery: (quarantined: String, reason: String)?

    private let executor: ThreadExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let time: any TimeSource
    /// Both on one connection, and `nil` once closed.
    private var sessions: SessionFile?
    private(set) var accountFile: AccountFile?

    /// Opens or creates the file. A damaged one is moved aside, see ``recovery``.
    /// - Parameters:
    ///   - boot: names the running kernel's boot.
    ///   - lockTimeoutMilliseconds: how long to wait for another process to let go of the file.
    package init(
        path: String, boot: String, time: any TimeSource, lockTimeoutMilliseconds: Int32 = 2_000
    ) throws(StateError) {
        do throws(ThreadStartError) {
            executor = try ThreadExecutor(name: "state")
        } catch {
            throw StateError(description: "\(error)", isLocked: false)
        }
        self.time = time
        let file: StateFile
        do throws(SQLiteError) {
            (file, recovery) = try Self.open(path, lockTimeoutMilliseconds)
            sessions = try SessionFile(file, boot: boot)
        } catch {
            throw StateError(description: "\(error)", isLocked: error.condition == .locked)
        }
        accountFile = AccountFile(file)
    }

    private static func open(
        _ path: String, _ lockTimeoutMilliseconds: Int32
    ) throws(SQLiteError) -> (StateFile, recovery: (quarantined: String, reason: String)?) {
        let unfinished = try moving(path) { () throws(QuarantineError) in try finishQuarantine(path) }
            .map { (quarantined: $0, reason: "a damaged file was not yet moved aside with its log") }
        do throws(SQLiteError) {
            let file = try StateFile(path: path, lockTimeoutMilliseconds: lockTimeoutMilliseconds)
            // The one before it was damaged, also where its process ended before it could say so here.
            if file.isNew, hasQuarantined(path) { try AccountFile(file).setClosed(true) }
            return (file, unfinished)
        } catch {
            guard error.condition == .corrupt else { throw error }
            let quarantined = try moving(path) { () throws(QuarantineError) in try quarantine(path) }
            let file = try StateFile(path: path, lockTimeoutMilliseconds: lockTimeoutMilliseconds)
            try AccountFile(file).setClosed(true)
            return (file, (quarantined, error.reason))
        }
    }

    private static func moving<R>(
        _ path: String, _ body: () throws(QuarantineError) -> R
    ) throws(SQLiteError) -> R {
        do throws(QuarantineError) {
            return try body()
        } catch {
            throw SQLiteError(
                condition: .corrupt, doing: "move the damaged state \(path) aside", reason: "errno \(error.code)")
        }
    }

    /// Everything kept.
    package func load() throws -> StoredSessions {
        guard let sessions else { return StoredSessions() }
        return try sessions.load(now: time.now().instant.nanoseconds)
    }

    /// Makes a batch durable, all of it or nothing.
    package func commit(_ changes: [SessionChange]) throws {
        try sessions?.apply(changes)
    }

    /// Copies the log into the file and lets go of it. Sessions are not kept any more then, and accounts not to be had.
    package func close() {
        // The log is durable as it is: a checkpoint that fails here is made up for at the next opening.
        try? accountFile?.file.connection.checkpoint()
        sessions = nil
        accountFile = nil
    }
}
