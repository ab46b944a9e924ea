import Database
import TestSupport
import Testing

@Suite struct MigrationsTests {
    let folder: TemporaryDirectory
    var path: String { "\(folder.path)/test.db" }
    let first = "CREATE TABLE a(x); INSERT INTO a VALUES(1)"
    let second = "CREATE TABLE b(y); INSERT INTO b SELECT x + 1 FROM a"

    init() throws { folder = try TemporaryDirectory() }

    @Test func everyStepRunsOnceWhateverVersionTheFileHas() throws {
        do {
            let connection = try Connection.open(path)
            try Migrations([first]).migrate(connection)
            #expect(try connection.integer("PRAGMA user_version", doing: "test") == 1)
        }
        let connection = try Connection.open(path)
        try Migrations([first, second]).migrate(connection)
        try Migrations([first, second]).migrate(connection)
        #expect(try connection.integer("PRAGMA user_version", doing: "test") == 2)
        #expect(try connection.integer("SELECT y FROM b", doing: "test") == 2)
        #expect(try connection.integer("SELECT count(*) FROM b", doing: "test") == 1)
    }

    @Test func aFailingStepLeavesThePreviousVersion() throws {
        let connection = try Connection.open(path)
        #expect(throws: SQLiteError.self) {
            try Migrations([first, "CREATE TABLE c(z); nonsense"]).migrate(connection)
        }
        #expect(try connection.integer("PRAGMA user_version", doing: "test") == 1)
        #expect(try connection.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'c'", doing: "test") == 0)
        try Migrations([first, second]).migrate(connection)
        #expect(try connection.integer("PRAGMA user_version", doing: "test") == 2)
    }

    @Test func aNewerFileIsRefusedAndLeftAsItIs() throws {
        let connection = try Connection.open(path)
        try Migrations([first, second]).migrate(connection)
        let error = #expect(throws: SQLiteError.self) { try Migrations([first]).migrate(connection) }
        #expect(error?.condition == .newerSchema)
        #expect(error?.reason == "it has schema version 2, this program knows versions up to 1")
        #expect(try connection.integer("PRAGMA user_version", doing: "test") == 2)
    }
}
