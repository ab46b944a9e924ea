internal import CSQLite
internal import Glibc

/// The one connection to one SQLite file, set up for a small board: WAL, every commit durable, little memory, nobody
/// else let in.
///
/// Opened without SQLite's own mutexes (`SQLITE_OPEN_NOMUTEX`): whoever owns the connection uses it from one thread
/// at a time, which is what an actor on a ``ThreadExecutor`` does (sqlite.org/threadsafe.html).
package struct Connection: ~Copyable {
    /// How a file is opened.
    package struct Options: Sendable {
        /// How long to wait for another process to let go of the file before giving up with `.locked`. A restarted
        /// service may overlap its predecessor for a moment.
        package var lockTimeoutMilliseconds: Int32 = 2000
        /// SQLite's page cache, in KiB. A queue touches its head and its tail: more is wasted memory.
        package var cacheKiB: Int = 1024
        /// Pages (4 KiB) in the write-ahead log at which it is copied into the file. Fewer would write the pages at
        /// the queue's two ends to flash again and again; more makes the pause of a checkpoint longer.
        package var checkpointPages: Int = 1000
        /// The write-ahead log is cut back to this after a checkpoint that found it larger, in bytes.
        package var journalSizeLimit: Int = 4 << 20
        /// The file may not grow beyond this many pages; `nil` for SQLite's own limit.
        package var maximumPages: Int?
        /// Whether a log that is damaged in its midst counts as a damaged file. SQLite itself takes it for ended there,
        /// and everything after it, though it was committed and synced, for never written.
        package var checksLog = false

        package init() {}
    }

    /// The path of a database that lives in memory, as long as the connection.
    package static let memory = ":memory:"

    let handle: OpaquePointer
    /// Where the file lies.
    package let path: String
    /// With ``Options/checksLog``: the log that was found went on after its last commit. That of a transaction which was
    /// not committed looks like one that was, and is damaged.
    package private(set) var logEndedEarly = false
    /// There was a log with something in it: the last process that had the file did not close it after a
    /// ``checkpoint()``.
    package private(set) var hadLog = false

    /// Opens or creates the file at `path` and takes it for this process alone.
    ///
    /// The lock is SQLite's own (`locking_mode=EXCLUSIVE`): it lasts as long as the connection, vanishes with the
    /// process, needs no second file, keeps a stray `sqlite3` shell from changing rows behind the counters held in
    /// memory, and makes the shared-memory file and two locking system calls per transaction unnecessary
    /// (sqlite.org/wal.html, section 8).
    /// - Throws: `.locked` when another process has it; `.corrupt` when the file is no sound database.
    package static func open(_ path: String, options: Options = Options()) throws(SQLiteError) -> Connection {
        let doing = "open the database \(path)"
        if options.checksLog, fileSize(path) == 0, fileSize("\(path)-wal") ?? 0 > 0 {
            // SQLite would delete the log.
            throw SQLiteError(condition: .corrupt, doing: doing, reason: "the file is empty, and its log is not")
        }
        let hadLog = path != memory && fileSize("\(path)-wal") ?? 0 > 0
        var raw: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(path, &raw, flags, nil)
        guard code == SQLITE_OK, let raw else {
            let error = SQLiteError(handle: raw, code: code, doing: doing)
            sqlite3_close_v2(raw)
            throw error
        }
        var connection = Connection(handle: raw, path: path)
        connection.hadLog = hadLog
        try connection.configure(options, doing: doing)
        return connection
    }

    private init(handle: OpaquePointer, path: String) {
        self.handle = handle
        self.path = path
    }

    private mutating func configure(_ options: Options, doing: String) throws(SQLiteError) {
        sqlite3_busy_timeout(handle, options.lockTimeoutMilliseconds)
        // A typing error in quotes must not become a string, and a damaged schema must not run functions.
        _ = csqlite_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0)
        _ = csqlite_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0)
        _ = csqlite_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        _ = csqlite_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1)

        // Closing must change nothing: were the file damaged, SQLite would copy the log into it and delete the log.
        _ = csqlite_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

        try execute("PRAGMA locking_mode=EXCLUSIVE", doing: doing)
        // Takes effect only before the first table exists; makes it possible to give pages back after an outage. Where
        // it is set already, setting it again would write to the file.
        let autoVacuum = try integer("PRAGMA auto_vacuum", doing: doing)
        // The file was read by that, and nobody else has it from then on; nothing is written yet.
        if options.checksLog { try checkLog(doing: doing) }
        if autoVacuum != 2 {
            try execute("PRAGMA auto_vacuum=INCREMENTAL", doing: doing)
        }
        let mode = try text("PRAGMA journal_mode=WAL", doing: doing)
        guard mode == (path == Self.memory ? "memory" : "wal") else {
            throw SQLiteError(
                condition: .other, doing: doing, reason: "the journal mode stayed \(mode) instead of wal"
            )
        }
        // FULL syncs the log at every commit: a COMMIT that returned survives a power cut.
        try execute("PRAGMA synchronous=FULL", doing: doing)
        try execute("PRAGMA foreign_keys=ON", doing: doing)
        try execute("PRAGMA cache_size=-\(options.cacheKiB)", doing: doing)
        // A read error of mapped memory is a signal that ends the process; of a read, an error code.
        try execute("PRAGMA mmap_size=0", doing: doing)
        try execute("PRAGMA wal_autocheckpoint=\(options.checkpointPages)", doing: doing)
        try execute("PRAGMA journal_size_limit=\(options.journalSizeLimit)", doing: doing)
        if let pages = options.maximumPages {
            try execute("PRAGMA max_page_count=\(pages)", doing: doing)
        }
    }

    /// From now on whatever would write fails (`SQLITE_READONLY`).
    package func refuseWrites() throws(SQLiteError) {
        try execute("PRAGMA query_only=ON", doing: "keep \(path) as it is")
    }

    /// Cost: reads the log, as SQLite has just done.
    private mutating func checkLog(doing: String) throws(SQLiteError) {
        let pageSize = try integer("PRAGMA page_size", doing: doing)
        guard let log = WriteAheadLog("\(path)-wal", pageSize: Int(pageSize)) else { return }
        guard !log.isDamaged else {
            throw SQLiteError(
                condition: .corrupt, doing: doing,
                reason: "its log is damaged, and committed transactions lie beyond the damage")
        }
        logEndedEarly = log.endsEarly
    }

    /// Statements may outlive this: SQLite then closes with the last of them. The log stays where it is and is read
    /// again at the next opening; ``checkpoint()`` first empties it.
    deinit { sqlite3_close_v2(handle) }

    /// Runs statements that return nothing of interest.
    /// - Parameter doing: what to tell a person when it fails, to follow "cannot".
    package func execute(_ sql: String, doing: String) throws(SQLiteError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw SQLiteError(handle: handle, code: code, doing: doing) }
    }

    /// The first column of the first row as an integer; 0 when there is none.
    package func integer(_ sql: String, doing: String) throws(SQLiteError) -> Int64 {
        let statement = try Statement(sql, on: self, doing: doing)
        return try statement.step() ? statement.integer(at: 0) : 0
    }

    /// The first column of the first row as text; empty when there is none.
    package func text(_ sql: String, doing: String) throws(SQLiteError) -> String {
        let statement = try Statement(sql, on: self, doing: doing)
        return try statement.step() ? statement.text(at: 0) : ""
    }

    /// Runs `body` between BEGIN and COMMIT. When either fails nothing of it remains and the connection is ready for
    /// the next transaction. Cost: one sync of the log. Does not nest.
    package func transaction<R>(
        doing: String, _ body: () throws(SQLiteError) -> R
    ) throws(SQLiteError) -> R {
        try execute("BEGIN IMMEDIATE", doing: doing)
        do {
            let result = try body()
            try execute("COMMIT", doing: doing)
            return result
        } catch {
            // After some errors SQLite has rolled back by itself (sqlite.org/lang_transaction.html); a second
            // ROLLBACK would only replace the error that matters.
            if sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
            throw error
        }
    }

    /// Gives the page cache back: what is used next is read from the file again, so that damage to it is noticed then and
    /// not at the next start. Cost: none here; later reads of the kernel's cache.
    package func releaseMemory() { sqlite3_db_release_memory(handle) }

    /// Reads the whole file and compares its pages with each other, not with their indexes.
    /// - Throws: `.corrupt` with the first contradiction found.
    package func quickCheck() throws(SQLiteError) {
        let doing = "check \(path)"
        releaseMemory()
        let result = try text("PRAGMA quick_check(1)", doing: doing)
        guard result == "ok" else { throw SQLiteError(condition: .corrupt, doing: doing, reason: result) }
        guard let log = WriteAheadLog("\(path)-wal", pageSize: Int(try integer("PRAGMA page_size", doing: doing))),
            log.isDamaged
        else { return }
        throw SQLiteError(condition: .corrupt, doing: doing, reason: "its log is damaged")
    }

    /// Rows that the last INSERT, UPDATE or DELETE changed.
    package var changes: Int64 { sqlite3_changes64(handle) }

    /// Copies the whole log into the file and begins it anew, in the space that it has: on a full disk what is written
    /// next then needs none. Cost: as ``checkpoint()``.
    package func restartLog() throws(SQLiteError) {
        let code = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_RESTART, nil, nil)
        guard code == SQLITE_OK else {
            throw SQLiteError(handle: handle, code: code, doing: "copy the log of \(path) into it")
        }
    }

    /// Copies the whole log into the file and empties it. Cost: as many page writes as the log holds, two syncs.
    package func checkpoint() throws(SQLiteError) {
        let code = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_TRUNCATE, nil, nil)
        guard code == SQLITE_OK else {
            throw SQLiteError(handle: handle, code: code, doing: "write the log of \(path) into the file")
        }
    }
}

/// `nil` when there is no such file.
private func fileSize(_ path: String) -> Int? {
    var information = stat()
    return stat(path, &information) == 0 ? Int(information.st_size) : nil
}
