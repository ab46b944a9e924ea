internal import Database
internal import Glibc

/// The open state file (`state.db` in the data directory). One per process: SQLite lets no second connection in, so
/// whatever keeps state in it shares this one, on one thread.
final class StateFile {
    let connection: Connection

    /// Opens or creates the file, readable by its owner only, and brings its schema up to date.
    init(path: String, lockTimeoutMilliseconds: Int32) throws(SQLiteError) {
        // SQLite would make it readable for all that may enter the folder. Its log takes the file's permissions. That
        // this fails is found out again, and said better, by opening the database.
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if file >= 0 {
            // One made by an earlier version, which held no accounts, may be open to others.
            fchmod(file, 0o600)
            close(file)
        }
        var options = Connection.Options()
        options.lockTimeoutMilliseconds = lockTimeoutMilliseconds
        // Rules that stand beyond the damage would be gone, and what they deny be allowed.
        options.checksLog = true
        connection = try Connection.open(path, options: options)
        let opening = "open the state \(path)"
        try stateSchema.migrate(connection)
        let names = stateTables.map { "'\($0)'" }.joined(separator: ", ")
        let found = try connection.integer(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN (\(names))", doing: opening)
        guard found == stateTables.count else {
            throw SQLiteError(condition: .corrupt, doing: opening, reason: "tables are missing from the file")
        }
    }
}
