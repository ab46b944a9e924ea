internal import Database
package import MQTT
package import Readings
internal import Synchronization

/// Why the state cannot be kept.
package struct StateError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    /// Another process has the file.
    package let isLocked: Bool
}

/// The state database, `state.db`: what the listener's sessions need over a restart, users and access rules.
///
/// Runs on a thread of its own, since SQLite and its syncs block. Whatever becomes of this file, the outbox is another.
///
/// **Whatever happens to the file, the store goes on.** Users and rules are in memory, and the listener has its sessions in
/// memory. A file that is damaged, or was changed by another program, is moved aside, and ``rewrite(_:)`` writes all of
/// that into a new one. While no file can be written, ``snapshot`` says why, and `rewrite` is to be called again.
package actor StateStore {
    /// A damaged file that was moved aside when the store was opened, and why.
    package nonisolated let recovery: (quarantined: String, reason: String)?

    private let executor: ThreadExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let path: String
    private let boot: String
    private let lockTimeoutMilliseconds: Int32
    private let time: any TimeSource
    private let tell: @Sendable (StateEvent) -> Void
    private let told: Mutex<StateSnapshot>
    let marker: AccessMarker

    /// `nil` while there is no file that can be used, and once closed.
    private(set) var open: OpenState?
    private(set) var isClosed = false
    /// What the file held is in memory; before that nothing may be written over it.
    private var isRead = true
    /// Of the sessions, until they are asked for.
    private var loaded: StoredSessions?
    /// The file is not what it should be, and another is to take its place.
    private var damage: String?
    /// Rewrites that failed one after the other because of the storage.
    private var storageFailures = 0
    /// Why the last attempt to write failed.
    private(set) var failure: SQLiteError?
    private var checkedAt: Int64
    var accounts: StoredAccounts

    /// How often the whole file is read, to find what the storage has lost of it; nanoseconds.
    private static let checkInterval: Int64 = 3_600_000_000_000
    /// After so many failures of the storage under one file, another is tried.
    private static let patience = 2

    /// Opens or creates the file. A damaged one is moved aside, see ``recovery``. Where no file can be opened or made, the
    /// store begins in memory, see ``snapshot``.
    /// - Parameters:
    ///   - boot: names the running kernel's boot.
    ///   - lockTimeoutMilliseconds: how long to wait for another process to let go of the file.
    ///   - tell: called on the store's thread; must not block.
    /// - Throws: when another process has the file, or no thread can be started.
    package init(
        path: String, boot: String, time: any TimeSource, lockTimeoutMilliseconds: Int32 = 2_000,
        tell: @escaping @Sendable (StateEvent) -> Void = { _ in }
    ) throws(StateError) {
        do throws(ThreadStartError) {
            executor = try ThreadExecutor(name: "state")
        } catch {
            throw StateError(description: "\(error)", isLocked: false)
        }
        self.path = path
        self.boot = boot
        self.time = time
        self.lockTimeoutMilliseconds = lockTimeoutMilliseconds
        self.tell = tell
        marker = AccessMarker(beside: path)
        let now = time.now().instant
        checkedAt = now.nanoseconds
        let start: Start
        do throws(SQLiteError) {
            start = try Start(
                path: path, boot: boot, marker: marker, now: now.nanoseconds,
                lockTimeoutMilliseconds: lockTimeoutMilliseconds)
        } catch {
            throw StateError(description: "\(error)", isLocked: error.condition == .locked)
        }
        open = start.open
        accounts = start.accounts
        loaded = start.sessions
        isRead = start.isRead
        damage = start.damage
        failure = start.failure
        recovery = start.recovery
        told = Mutex(StateSnapshot())
        told.withLock { told in
            if let failure = start.failure { told.problem = .init(failure, since: now) }
            if let recovery = start.recovery {
                told.replacements = [.init(quarantined: recovery.quarantined, reason: recovery.reason, at: now)]
            }
        }
        if start.isRead { settleMarker(marker, accounts) }
    }

    /// How the file does; from any thread.
    package nonisolated var snapshot: StateSnapshot { told.withLock { $0 } }

    // MARK: Sessions

    /// The sessions that were kept, for the start. Where the file cannot be read there are none, and ``rewrite(_:)`` finds
    /// them later.
    package func load() -> StoredSessions {
        defer { loaded = nil }
        return loaded ?? StoredSessions()
    }

    /// Makes a batch durable, all of it or nothing. After an error only ``rewrite(_:)`` is of use.
    package func commit(_ changes: [SessionChange]) throws {
        guard !isClosed else { return }
        try use { (open) throws(SQLiteError) in try open.sessions.apply(changes) }
    }

    /// Makes everything durable that the listener and this store have in memory, in the place of all that is in the file;
    /// if need be in a new one. Cost: a write of all of it.
    package func rewrite(_ everything: [SessionChange]) throws -> SessionRewrite {
        guard !isClosed else { return .written }
        do throws(SQLiteError) {
            if !isRead { return .found(try readAtLast()) }
            if damage == nil { try rewriteInPlace(everything) }
            if let damage { try replaceFile(everything, because: damage) }
        } catch {
            failed(error)
            throw error
        }
        storageFailures = 0
        recovered()
        settleMarker(marker, accounts)
        return .written
    }

    private func rewriteInPlace(_ everything: [SessionChange]) throws(SQLiteError) {
        do throws(SQLiteError) {
            if open == nil {
                open = try OpenState(path: path, boot: boot, lockTimeoutMilliseconds: lockTimeoutMilliseconds)
            }
            guard let open else { return }
            try open.check()
            try open.rewrite(accounts, everything)
        } catch {
            // What is opened anew has nothing of the failure in it.
            open = nil
            guard error.isDamage || error.condition == .inputOutput && storageFailures >= Self.patience else {
                throw error
            }
            damage = error.reason
        }
    }

    private func replaceFile(_ everything: [SessionChange], because reason: String) throws(SQLiteError) {
        open = nil
        let (open, quarantined) = try replaceState(at: path, boot: boot, with: accounts, everything)
        self.open = open
        damage = nil
        note(.init(quarantined: quarantined, reason: reason, at: time.now().instant))
    }

    private func note(_ replacement: StateSnapshot.Replacement) {
        told.withLock { told in
            told.replacements = told.replacements.suffix(StateSnapshot.limit - 1) + [replacement]
        }
        tell(.replaced(replacement))
    }

    /// The file could not be read when the store was opened.
    /// - Returns: the sessions in it, now that it can.
    private func readAtLast() throws(SQLiteError) -> StoredSessions {
        let start = try Start(
            path: path, boot: boot, marker: marker, now: time.now().instant.nanoseconds,
            lockTimeoutMilliseconds: lockTimeoutMilliseconds)
        guard start.isRead else { throw start.failure ?? SQLiteError.closed(path) }
        (open, accounts, isRead, damage) = (start.open, start.accounts, true, start.damage)
        if let recovery = start.recovery {
            note(.init(quarantined: recovery.quarantined, reason: recovery.reason, at: time.now().instant))
        }
        tell(.accountsRead)
        return start.sessions
    }

    /// Whether the file is still what this process wrote, as far as that can be told without reading it; once an hour it
    /// is read. Where it is not, ``rewrite(_:)`` puts another in its place.
    package func isIntact() -> Bool {
        guard !isClosed else { return true }
        guard isRead, damage == nil, let open else { return false }
        guard open.isOurs else {
            damage = "another program has changed or deleted it"
            return false
        }
        let now = time.now().instant.nanoseconds
        guard now - checkedAt >= Self.checkInterval else { return true }
        checkedAt = now
        do throws(SQLiteError) {
            try open.check()
            return true
        } catch {
            failed(error)
            return false
        }
    }

    // MARK: The file

    /// Does something with the file.
    func use<R>(_ body: (OpenState) throws(SQLiteError) -> R) throws(SQLiteError) -> R {
        let open: OpenState
        do throws(SQLiteError) {
            open = try usableFile()
        } catch {
            failed(error)
            throw error
        }
        do throws(SQLiteError) {
            let result = try body(open)
            open.noteUse()
            recovered()
            return result
        } catch {
            open.noteUse()
            failed(error)
            throw error
        }
    }

    private func usableFile() throws(SQLiteError) -> OpenState {
        if let damage {
            throw SQLiteError(condition: .corrupt, doing: "use the state \(path)", reason: damage)
        }
        guard let open else { throw failure ?? SQLiteError.closed(path) }
        return open
    }

    func requireFile() throws(SQLiteError) { _ = try usableFile() }

    private func failed(_ error: SQLiteError) {
        failure = error
        if error.isDamage { damage = error.reason }
        if error.condition == .inputOutput { storageFailures += 1 }
        let now = time.now().instant
        told.withLock { told in
            told.problem = .init(error, since: told.problem?.since ?? now)
        }
    }

    private func recovered() {
        guard failure != nil else { return }
        failure = nil
        told.withLock { $0.problem = nil }
    }

    /// Copies the log into the file and lets go of it. Sessions are not kept any more then, and accounts not to be had.
    package func close() {
        // The log is durable as it is: a checkpoint that fails here is made up for at the next opening.
        try? open?.file.connection.checkpoint()
        open = nil
        isClosed = true
    }

}

/// The marker says what memory says. Where it cannot be written it says `rules` at worst, which opens nothing.
private func settleMarker(_ marker: AccessMarker, _ accounts: StoredAccounts) {
    try? marker.write(accounts.isOpen ? .open : .rules)
}

extension SQLiteError {
    fileprivate static func closed(_ path: String) -> SQLiteError {
        SQLiteError(condition: .cannotOpen, doing: "use the state \(path)", reason: "it is not open")
    }
}

extension StateSnapshot.Problem {
    init(_ error: SQLiteError, since: Instant) {
        self.init(reason: "cannot \(error.doing): \(error.reason)", remedy: error.remedy, since: since)
    }
}
