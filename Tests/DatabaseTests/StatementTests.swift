import Database
import TestSupport
import Testing

@Suite struct StatementTests {
    let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    @Test(
        arguments: [
            ("sensors/a", [1, 2, 3]), ("", []), ("grüße/🌊", [0]), ("a", [UInt8](repeating: 255, count: 100_000)),
        ] as [(String, [UInt8])])
    func textAndBytesComeBackAsTheyWentIn(text: String, bytes: [UInt8]) throws {
        let connection = try Connection.open("\(folder.path)/test.db")
        try connection.execute("CREATE TABLE t(a INTEGER, b TEXT NOT NULL, c BLOB NOT NULL)", doing: "test")
        let insert = try Statement("INSERT INTO t VALUES(?, ?, ?)", on: connection, doing: "test")
        try insert.bind(.min, at: 1)
        try insert.run(text: text, at: 2, blob: bytes, at: 3)
        let select = try Statement("SELECT a, b, c, typeof(c) FROM t", on: connection, doing: "test")
        try #require(try select.step())
        #expect(select.integer(at: 0) == .min)
        #expect(select.text(at: 1) == text)
        #expect(select.byteCount(at: 1) == text.utf8.count)
        #expect(select.byteCount(at: 2) == bytes.count)
        #expect(select.bytes(at: 2) == bytes)
        #expect(select.text(at: 3) == "blob")
        #expect(try !select.step())
    }

    @Test func aStatementOutlivesItsConnection() throws {
        func make() throws -> Statement {
            let connection = try Connection.open("\(folder.path)/test.db")
            return try Statement("SELECT 7", on: connection, doing: "test")
        }
        let statement = try make()
        #expect(try statement.step())
        #expect(statement.integer(at: 0) == 7)
    }

    @Test func aMistakeInTheSQLIsAnErrorThatQuotesIt() throws {
        let connection = try Connection.open("\(folder.path)/test.db")
        let error = #expect(throws: SQLiteError.self) {
            _ = try Statement("SELECT * FROM absent", on: connection, doing: "look for nothing")
        }
        #expect(error?.description == "cannot look for nothing: no such table: absent")
    }
}
