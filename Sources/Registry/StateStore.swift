internal import Database
package import MQTT
package import Readings

/// Why the state cannot be kept.
package struct StateError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    /// Another process has the file.
    package let isLocked: Bool
}

/// The state database, `state.db`: what the listener's sessions need over a restart.
///
/// Runs on a thread of its own, since SQLite and its syncs block. Whatever becomes of this file, the outbox is another.
package actor StateStore {
    /// A damaged file that was moved aside when the store was opened, and why.
    package nonisolated let recovery: (quarantined: String, reason: String)?

    private let executor: ThreadExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let time: any TimeSource
    /// `nil` once closed.
    private var file: StateFile?

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
        func open() throws(SQLiteError) -> StateFile {
            try StateFile(path: path, boot: boot, lockTimeoutMilliseconds: lockTimeoutMilliseconds)
        }
        do throws(SQLiteError) {
            file = try open()
            recovery = nil
        } catch {
            guard error.condition == .corrupt else {
                throw StateError(description: "\(error)", isLocked: error.condition == .locked)
            }
            let reason = error.reason
            do {
                recovery = (try quarantine(path), reason)
                file = try open()
            } catch {
                throw StateError(description: "cannot replace the damaged state \(path): \(error)", isLocked: false)
            }
        }
    }

    /// Everything kept.
    package func load() throws -> StoredSessions {
        guard let file else { return StoredSessions() }
        return try file.load(now: time.now().instant.nanoseconds)
    }

    /// Makes a batch durable, all of it or nothing.
    package func commit(_ changes: [SessionChange]) throws {
        try file?.apply(changes)
    }

    /// Lets go of the file.
    package func close() { file = nil }
}
