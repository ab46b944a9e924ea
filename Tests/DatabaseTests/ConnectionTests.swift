import Database
import TestSupport
import Testing

@Suite struct ConnectionTests {
    let folder: TemporaryDirectory
    var path: String { "\(folder.path)/test.db" }

    init() throws { folder = try TemporaryDirectory() }

    @Test(arguments: [
        ("PRAGMA journal_mode", "wal"), ("PRAGMA synchronous", "2"), ("PRAGMA locking_mode", "exclusive"),
        ("PRAGMA auto_vacuum", "2"), ("PRAGMA foreign_keys", "1"), ("PRAGMA mmap_size", "0"),
        ("PRAGMA wal_autocheckpoint", "1000"),
    ])
    func everyPragmaTookEffect(sql: String, value: String) throws {
        let connection = try Connection.open(path)
        try connection.execute("CREATE TABLE t(a)", doing: "test")
        #expect(try connection.text(sql, doing: "test") == value)
    }

    @Test func theSharedMemoryFileIsNotUsed() throws {
        let connection = try Connection.open(path)
        try connection.execute("CREATE TABLE t(a)", doing: "test")
        #expect(folder.names == ["test.db", "test.db-wal"])
    }

    @Test func aSecondConnectionIsRefused() throws {
        var options = Connection.Options()
        options.lockTimeoutMilliseconds = 0
        let first = try Connection.open(path, options: options)
        try first.execute("CREATE TABLE t(a)", doing: "test")
        let error = #expect(throws: SQLiteError.self) {
            let second = try Connection.open(path, options: options)
            try second.execute("INSERT INTO t VALUES(1)", doing: "test")
        }
        #expect(error?.condition == .locked)
        #expect(error?.description.contains(path) == true)
        // The refused attempt took nothing away from the first.
        try first.execute("INSERT INTO t VALUES(1)", doing: "test")
    }

    @Test func aFailedTransactionLeavesNothingBehind() throws {
        let connection = try Connection.open(path)
        try connection.execute("CREATE TABLE t(a UNIQUE)", doing: "test")
        let error = #expect(throws: SQLiteError.self) {
            try connection.transaction(doing: "test") { () throws(SQLiteError) in
                try connection.execute("INSERT INTO t VALUES(1)", doing: "add one")
                try connection.execute("INSERT INTO t VALUES(1)", doing: "add it again")
            }
        }
        #expect(error?.condition == .constraint)
        #expect(error?.doing == "add it again")
        #expect(try connection.integer("SELECT count(*) FROM t", doing: "test") == 0)
        try connection.transaction(doing: "test") { () throws(SQLiteError) in
            try connection.execute("INSERT INTO t VALUES(1)", doing: "add one")
        }
        #expect(try connection.integer("SELECT count(*) FROM t", doing: "test") == 1)
    }

    @Test func aFolderThatDoesNotExistIsNamedWithARemedy() {
        let error = #expect(throws: SQLiteError.self) { _ = try Connection.open("/nowhere/at/all.db") }
        #expect(error?.condition == .cannotOpen)
        #expect(error?.description.contains("/nowhere/at/all.db") == true)
        #expect(error?.remedy?.contains("folder exists") == true)
    }
}
