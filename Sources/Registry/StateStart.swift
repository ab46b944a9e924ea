internal import Database
internal import MQTT

extension StateStore {
    /// What the store begins with: the file that was there, a new one in the place of a damaged one, or memory alone.
    struct Start {
        private(set) var open: OpenState?
        private(set) var accounts = StoredAccounts()
        private(set) var sessions = StoredSessions()
        /// What the file held is known, or lost for good.
        private(set) var isRead = true
        private(set) var recovery: (quarantined: String, reason: String)?
        /// A new file has to take the old one's place, and could not yet.
        private(set) var damage: String?
        private(set) var failure: SQLiteError?

        /// - Parameter now: nanoseconds on the boot clock.
        /// - Throws: `.locked`: another process has the file.
        init(
            path: String, boot: String, marker: AccessMarker, now: Int64, lockTimeoutMilliseconds: Int32
        ) throws(SQLiteError) {
            let found = try FoundState.look(
                at: path, boot: boot, now: now, lockTimeoutMilliseconds: lockTimeoutMilliseconds)
            let marked = marker.read()
            switch found {
            case .sound(let open, let contents):
                self.open = open
                take(contents)
            case .missing:
                // Of a file that was moved aside by an earlier version, or deleted by hand, rules may have gone along.
                accounts.isClosed = marked.map { $0 == .rules } ?? hasQuarantined(path)
                do throws(SQLiteError) {
                    open = try replaceState(at: path, boot: boot, with: accounts, []).0
                } catch {
                    failure = error
                }
            case .damaged(let contents, let moved, let reason):
                take(contents)
                if !contents.hasAllRules { accounts.isClosed = accounts.isClosed || marked != .open }
                do throws(SQLiteError) {
                    let (open, quarantined) = try replaceState(
                        at: path, boot: boot, with: accounts, sessions.changes(now: now))
                    self.open = open
                    recovery = (moved ?? quarantined ?? path, reason)
                } catch {
                    failure = error
                    damage = reason
                }
            case .unusable(let error, let contents):
                failure = error
                if let contents {
                    take(contents)
                    if !contents.hasAllRules { accounts.isClosed = accounts.isClosed || marked != .open }
                } else {
                    isRead = false
                    accounts.isClosed = marked != .open
                }
            }
        }

        private mutating func take(_ contents: StateContents) {
            accounts = contents.accounts
            sessions = contents.sessions
        }
    }
}
