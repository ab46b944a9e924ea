internal import Database
internal import Glibc
internal import Linux
internal import MQTT

/// What a state file holds, as far as it can be read.
struct StateContents {
    var accounts = StoredAccounts()
    /// Every rule that there was is among them: else losing some must not open what they closed.
    var hasAllRules = false
    var sessions = StoredSessions()
}

/// The open state file with the statements for both of its parts: sessions and accounts. Owned by the ``StateStore`` actor.
final class OpenState {
    let file: StateFile
    let sessions: SessionFile
    let accounts: AccountFile
    /// What the file and its log looked like after this process last used them.
    private var stamps: [FileStamp?] = []

    private var path: String { file.connection.path }

    init(path: String, boot: String, lockTimeoutMilliseconds: Int32) throws(SQLiteError) {
        file = try StateFile(path: path, lockTimeoutMilliseconds: lockTimeoutMilliseconds)
        sessions = try SessionFile(file, boot: boot)
        accounts = AccountFile(file)
        noteUse()
    }

    /// - Parameters:
    ///   - now: nanoseconds on the boot clock.
    ///   - contents: gets what can be read; where this throws, what of each part was read before the damage.
    func read(now: Int64, into contents: inout StateContents) throws(SQLiteError) {
        var damage: SQLiteError?
        do throws(SQLiteError) {
            contents.accounts.isClosed = try accounts.isClosed()
            contents.accounts.rules = try accounts.rules()
            contents.accounts.lastRule = max(try accounts.lastRule(), contents.accounts.rules.last?.id ?? 0)
            contents.hasAllRules = true
        } catch { damage = error }
        do throws(SQLiteError) { try accounts.loadUsers(into: &contents.accounts.users) } catch { damage = error }
        do throws(SQLiteError) { try sessions.load(now: now, into: &contents.sessions) } catch { damage = error }
        noteUse()
        if let damage { throw damage }
    }

    func rewrite(_ accounts: StoredAccounts, _ everything: [SessionChange]) throws(SQLiteError) {
        try sessions.rewrite(everything) { () throws(SQLiteError) in try self.accounts.rewrite(accounts) }
        noteUse()
    }

    /// Reads all of it from the disk, and finds out whether it is sound.
    func check() throws(SQLiteError) {
        try file.connection.quickCheck()
        noteUse()
    }

    /// Nobody else has written to the file, or put another in its place, since this process last used it.
    var isOurs: Bool {
        zip(stamps, Self.stamps(of: path)).allSatisfy { before, now in
            guard let before, let now else { return before == nil && now == nil }
            return now.isUnwritten(since: before)
        }
    }

    /// The file was used: what it looks like now is this process's doing, and what is read next comes from the disk.
    func noteUse() {
        file.connection.releaseMemory()
        stamps = Self.stamps(of: path)
    }

    private static func stamps(of path: String) -> [FileStamp?] { [FileStamp(path), FileStamp("\(path)-wal")] }
}

/// What lies where the state file should be.
enum FoundState {
    /// Nothing.
    case missing
    case sound(OpenState, StateContents)
    /// It lies there still, or where it was moved aside by a process that ended in the midst of it.
    case damaged(StateContents, movedTo: String?, reason: String)
    /// It cannot be used now, as on a disk that is read-only; `contents` are `nil` when it could not even be read.
    case unusable(SQLiteError, contents: StateContents?)

    /// Looks, and opens it where that can be done. Makes no new file.
    /// - Throws: `.locked`: another process has it.
    static func look(
        at path: String, boot: String, now: Int64, lockTimeoutMilliseconds: Int32
    ) throws(SQLiteError) -> FoundState {
        var moved: String?
        do throws(QuarantineError) {
            moved = try finishQuarantine(path)
            try finishReplacement(of: path)
        } catch {
            return .unusable(moving(path, error), contents: nil)
        }
        if let moved, access(path, F_OK) != 0 {
            return .damaged(
                StateContents(), movedTo: moved, reason: "a damaged file was not yet moved aside with its log")
        }
        guard access(path, F_OK) == 0 || errno != ENOENT else { return .missing }
        var contents = StateContents()
        do throws(SQLiteError) {
            let open = try OpenState(path: path, boot: boot, lockTimeoutMilliseconds: lockTimeoutMilliseconds)
            try open.read(now: now, into: &contents)
            return .sound(open, contents)
        } catch {
            if error.condition == .locked { throw error }
            if error.isDamage { return .damaged(contents, movedTo: nil, reason: error.reason) }
            guard error.condition != .newerSchema else { return .unusable(error, contents: nil) }
            return .unusable(error, contents: readCopy(of: path, boot: boot, now: now))
        }
    }

    /// Files larger than this are not copied into memory.
    private static let copyLimit = 128 << 20

    /// Reads a file that cannot be opened where it lies, since its disk takes no writes, from a copy in memory.
    private static func readCopy(of path: String, boot: String, now: Int64) -> StateContents? {
        let parents = [getenv("RUNTIME_DIRECTORY").map { String(cString: $0) }, "/dev/shm", "/tmp"].compactMap { $0 }
        for parent in parents {
            var template = Array("\(parent)/tidegate-state.XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { continue }
            let folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            let copy = "\(folder)/state.db"
            defer {
                for suffix in ["", "-wal", "-shm", "-journal"] { unlink("\(copy)\(suffix)") }
                rmdir(folder)
            }
            guard copyFile(path, to: copy) else { continue }
            if access("\(path)-wal", F_OK) == 0, !copyFile("\(path)-wal", to: "\(copy)-wal") { continue }
            var contents = StateContents()
            do throws(SQLiteError) {
                let open = try OpenState(path: copy, boot: boot, lockTimeoutMilliseconds: 0)
                try open.read(now: now, into: &contents)
            } catch {
                // What could be read before the damage is of use all the same; a copy that failed is not.
                if !error.isDamage { continue }
            }
            return contents
        }
        return nil
    }

    private static func copyFile(_ from: String, to: String) -> Bool {
        let source = open(from, O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { return false }
        defer { close(source) }
        let target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard target >= 0 else { return false }
        defer { close(target) }
        var left = copyLimit
        while left > 0 {
            let count = sendfile(target, source, nil, min(left, 1 << 20))
            if count == 0 { return true }
            guard count > 0 else { return false }
            left -= count
        }
        return false
    }
}

// MARK: Replacement

/// Where a new state file is made before it takes the place of another.
private func draft(of path: String) -> String { "\(path)-new" }

/// Puts a new file with these contents in the place of the one at `path`, which is moved aside. The new one is whole and
/// durable before the old one is touched: a crash at any instant leaves one of them.
/// - Returns: the new file, open, and where the old one lies; `nil` when there was none.
func replaceState(
    at path: String, boot: String, with accounts: StoredAccounts, _ everything: [SessionChange]
) throws(SQLiteError) -> (OpenState, quarantined: String?) {
    let draft = draft(of: path)
    removeDatabase(draft)
    do throws(SQLiteError) {
        let new = try OpenState(path: draft, boot: boot, lockTimeoutMilliseconds: 0)
        try new.rewrite(accounts, everything)
        try new.file.connection.checkpoint()
    } catch {
        removeDatabase(draft)
        throw error
    }
    var quarantined: String?
    do throws(QuarantineError) {
        if access(path, F_OK) == 0 || access("\(path)-wal", F_OK) == 0 { quarantined = try quarantine(path) }
        try adopt(draft, as: path)
    } catch {
        throw moving(path, error)
    }
    let open = try OpenState(path: path, boot: boot, lockTimeoutMilliseconds: 0)
    // Its statements have to know the rows of the sessions.
    var contents = StoredSessions()
    try open.sessions.load(now: 0, into: &contents)
    open.noteUse()
    return (open, quarantined)
}

/// Finishes a replacement that was cut short between its two renames. A new file beside an old one was not finished, and
/// goes.
private func finishReplacement(of path: String) throws(QuarantineError) {
    let draft = draft(of: path)
    guard access(draft, F_OK) == 0 else { return }
    if access(path, F_OK) == 0 { removeDatabase(draft) } else { try adopt(draft, as: path) }
}

private func removeDatabase(_ path: String) {
    for suffix in ["", "-wal", "-shm", "-journal"] { unlink("\(path)\(suffix)") }
}

private func moving(_ path: String, _ error: QuarantineError) -> SQLiteError {
    SQLiteError(storage: error.code, doing: "move the damaged state \(path) aside")
}

extension SQLiteError {
    /// The file is not what it should be: another attempt would not help, another file does.
    var isDamage: Bool { condition == .corrupt || contradictsFile }
}

extension StoredSessions {
    /// What writes all of this anew.
    /// - Parameter now: nanoseconds on the boot clock.
    func changes(now: Int64) -> [SessionChange] {
        var changes: [SessionChange] = []
        for session in sessions {
            let id = session.record.id
            changes.append(.session(session.record))
            changes += session.subscriptions.map {
                .subscription(id, filter: $0.filter, options: $0.options, identifier: $0.identifier)
            }
            for queued in session.queue {
                changes.append(
                    .queued(
                        id, number: queued.number, message: queued.message ?? 0, qos: queued.qos,
                        retain: queued.retain, subscriptionIdentifiers: queued.subscriptionIdentifiers))
                guard let identifier = queued.packetIdentifier, let phase = queued.phase else { continue }
                changes.append(.inFlight(id, number: queued.number, packetIdentifier: identifier, phase: phase))
            }
            changes += session.received.map { .received(id, packetIdentifier: $0) }
        }
        changes += messages.map {
            .message(number: $0.number, publish: $0.publish, receivedAt: now - $0.waitedNanoseconds)
        }
        changes += retained.map { .retained($0.publish, storedAt: now - $0.waitedNanoseconds) }
        return changes
    }
}
