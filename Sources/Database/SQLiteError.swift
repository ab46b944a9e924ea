internal import CSQLite

/// Why SQLite could not do something: what was tried, what it said, and what a person can do about it.
package struct SQLiteError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The primary result codes that callers act on (sqlite.org/rescode.html).
    package enum Condition: Hashable, Sendable {
        /// No room on the file system, or the file's page limit is reached (`SQLITE_FULL`).
        case diskFull
        /// The device or the file system failed (`SQLITE_IOERR`).
        case inputOutput
        /// The file, its folder or the file system cannot be written (`SQLITE_READONLY`, `SQLITE_PERM`).
        case readOnly
        /// The file cannot be opened or created (`SQLITE_CANTOPEN`).
        case cannotOpen
        /// Content that contradicts itself, or a file that is no database (`SQLITE_CORRUPT`, `SQLITE_NOTADB`).
        case corrupt
        /// Somebody else has the file open (`SQLITE_BUSY`, `SQLITE_LOCKED`).
        case locked
        /// The file was written by a newer version of this program; nothing was changed.
        case newerSchema
        /// The schema forbids the change (`SQLITE_CONSTRAINT`).
        case constraint
        /// A value or a statement exceeds SQLite's limits (`SQLITE_TOOBIG`).
        case tooBig
        /// Out of memory (`SQLITE_NOMEM`).
        case outOfMemory
        /// Anything else: a mistake in this program's SQL, most likely.
        case other
    }

    package var condition: Condition
    /// SQLite's extended result code; 0 where the error is not SQLite's own.
    package var extendedCode: Int32
    /// What was tried, to follow "cannot": `open the database /var/lib/tidegate/outbox.db`.
    package var doing: String
    /// SQLite's own message, without bound values.
    package var reason: String

    package init(condition: Condition, extendedCode: Int32 = 0, doing: String, reason: String) {
        self.condition = condition
        self.extendedCode = extendedCode
        self.doing = doing
        self.reason = reason
    }

    /// What a person can do, where that is known.
    package var remedy: String? {
        switch condition {
        case .diskFull: "free space on the file system that holds the data directory"
        case .inputOutput: "check the storage (kernel log: `journalctl -k`); a worn SD card must be replaced"
        case .readOnly: "check that the file system is mounted read-write and that the service's user owns the file"
        case .cannotOpen: "check that the folder exists and that the service's user may write in it"
        case .corrupt: "keep the file for salvage and let a new one be created"
        case .locked: "stop the other process that has the file open (`fuser` on the file names it)"
        case .newerSchema: "install the newer version again, or move the file aside to start with an empty one"
        case .constraint, .tooBig, .outOfMemory, .other: nil
        }
    }

    package var description: String {
        "cannot \(doing): \(reason)" + (remedy.map { "\n  try: \($0)" } ?? "")
    }

    /// The statement does not fit the file (`SQLITE_ERROR`, `SQLITE_CONSTRAINT`): a table, a column or a row is not there
    /// or is there already. That is a mistake in the statement, unless it is known to fit what the file says it is.
    package var contradictsFile: Bool {
        extendedCode & 0xff == SQLITE_ERROR || extendedCode & 0xff == SQLITE_CONSTRAINT
    }

    /// The error a connection's last call left behind.
    init(handle: OpaquePointer?, code: Int32, doing: String) {
        let message = handle.map { sqlite3_errmsg($0) } ?? sqlite3_errstr(code)
        var reason = message.map { String(cString: $0) } ?? "result code \(code)"
        if let handle, code & 0xff == SQLITE_IOERR || code & 0xff == SQLITE_CANTOPEN {
            let number = sqlite3_system_errno(handle)
            if number != 0 { reason += " (errno \(number))" }
        }
        self.init(condition: Self.condition(of: code), extendedCode: code, doing: doing, reason: reason)
    }

    private static func condition(of code: Int32) -> Condition {
        switch code & 0xff {
        case SQLITE_FULL: .diskFull
        case SQLITE_IOERR: .inputOutput
        case SQLITE_READONLY, SQLITE_PERM: .readOnly
        case SQLITE_CANTOPEN: .cannotOpen
        case SQLITE_CORRUPT, SQLITE_NOTADB: .corrupt
        case SQLITE_BUSY, SQLITE_LOCKED: .locked
        case SQLITE_CONSTRAINT: .constraint
        case SQLITE_TOOBIG: .tooBig
        case SQLITE_NOMEM: .outOfMemory
        default: .other
        }
    }
}
