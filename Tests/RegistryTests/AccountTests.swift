import Database
import Glibc
import MQTT
import Registry
import TestSupport
import Testing

@Suite struct AccountTests {
    let folder: TemporaryDirectory
    var path: String { folder["state.db"] }

    init() throws { folder = try TemporaryDirectory() }

    private func open(lockTimeoutMilliseconds: Int32 = 2_000) throws -> StateStore {
        try StateStore(path: path, boot: "one", time: KernelTime(), lockTimeoutMilliseconds: lockTimeoutMilliseconds)
    }

    private func name(_ text: String) throws -> UserName { try #require(UserName(text)) }

    @Test func usersComeBackAfterAReopening() async throws {
        let store = try open()
        #expect(try await store.putUser(name("anna"), password: [1, 2], cost: 1))
        #expect(try await store.putUser(name("ben"), password: [3], cost: 1))
        #expect(try await !store.putUser(name("anna"), password: [4], cost: 1))
        try await store.setPassword(of: name("ben"), to: [5], cost: 1)
        await store.close()
        await #expect(throws: AccountError.closed) { try await store.users() }

        let reopened = try open()
        #expect(try await reopened.users() == ["anna", "ben"])
        let hashes = try await reopened.hashes()
        #expect(try hashes[name("anna")]?.verify([4]) == true && hashes[name("anna")]?.verify([1, 2]) == false)
        #expect(try hashes[name("ben")]?.verify([5]) == true)
        #expect(try await reopened.removeUser(name("anna")))
        #expect(try await !reopened.removeUser(name("anna")))
        #expect(try await reopened.users() == ["ben"])
        #expect(reopened.recovery == nil)
    }

    @Test func mistakesChangeNothing() async throws {
        let store = try open()
        let anna = try name("anna")
        await #expect(throws: AccountError.unknownUser(anna)) {
            try await store.setPassword(of: anna, to: [1], cost: 1)
        }
        await #expect(throws: AccountError.password(.empty)) { try await store.putUser(anna, password: []) }
        #expect(try await store.users().isEmpty)
    }

    @Test func rulesComeBackInTheirOrder() async throws {
        let anna = try name("anna")
        let rules = [
            try AccessRule(user: nil, access: .read, filter: "a/#"),
            try AccessRule(user: anna, access: .readwrite, filter: "{user}/+"),
            try AccessRule(user: nil, access: .subscribe, filter: "a/#"),
        ]
        let store = try open()
        #expect(try await store.accessRules() == AccessRules())
        for rule in rules { try await store.addRule(rule) }
        #expect(try await store.addRule(rules[0]) == 1)
        #expect(try await store.addRule(rules[1]) == 2)
        await store.close()
        let reopened = try open()
        #expect(try await reopened.rules().map(\.rule) == rules)
        #expect(try await reopened.rules().map(\.id) == [1, 2, 3])
        #expect(try await reopened.removeRule(3))
        #expect(try await !reopened.removeRule(3))
        #expect(try await reopened.addRule(rules[2]) == 4, "numbers are not used twice")
        try await reopened.putUser(anna, password: [1], cost: 1)
        #expect(try await reopened.removeUser(anna))
        #expect(try await reopened.accessRules() == AccessRules([rules[0], rules[2]]), "a user's rules go along")
    }

    @Test func aPasswordFileIsImported() async throws {
        let hash = "$7$1$AAAA$" + String(repeating: "A", count: 86) + "=="
        let store = try open()
        try await store.putUser(name("b"), password: [1], cost: 1)
        try await store.putUser(name("z"), password: [1], cost: 1)
        let file = try PasswordFile(parsing: Array("a:\(hash)\nb:\(hash)\n".utf8))
        let result = try await store.importPasswords(file)
        #expect(result.added == 1 && result.replaced == 1)
        #expect(try await store.users() == ["a", "b", "z"])
        #expect(try await store.hashes()[name("b")]?.text == hash)
    }

    @Test func theFileIsForItsOwnerAlone() async throws {
        let store = try open()
        try await store.putUser(name("anna"), password: [1], cost: 1)
        for name in ["state.db", "state.db-wal"] {
            var information = stat()
            #expect(stat(folder[name], &information) == 0 && information.st_mode & 0o777 == 0o600, "\(name)")
        }
        #expect(throws: StateError.self) { try open(lockTimeoutMilliseconds: 0) }
    }

    @Test func aDamagedFileIsMovedAsideAndNothingIsOpened() async throws {
        try folder.write([UInt8](repeating: 0x55, count: 8192), to: "state.db")
        let store = try open()
        #expect(store.recovery?.quarantined == "\(path).corrupt-1")
        #expect(folder.bytes(of: "state.db.corrupt-1")?.count == 8192)
        await store.close()
        let reopened = try open()
        #expect(reopened.recovery == nil)
        #expect(try await reopened.accessRules().isClosed)
        #expect(try await !reopened.accessRules().access(user: "anna", client: "c").mayPublish("a"))
        try await reopened.reopen()
        #expect(try await reopened.accessRules() == AccessRules())
    }

    /// SQLite would take the log for ended there, and a rule behind it for never written.
    @Test func damageInTheLogOpensNothing() async throws {
        let store = try open()
        for number in 1...20 { try await store.putUser(name("user-\(number)"), password: [1], cost: 1) }
        let copy = try TemporaryDirectory()
        for name in ["state.db", "state.db-wal"] { try copy.write(try #require(folder.bytes(of: name)), to: name) }
        var log = try #require(copy.bytes(of: "state.db-wal"))
        try #require(log.count > 20 * 4_096)
        log[log.count / 2] ^= 1
        try copy.write(log, to: "state.db-wal")
        let again = try StateStore(path: copy["state.db"], boot: "one", time: KernelTime())
        #expect(again.recovery?.quarantined == "\(copy.path)/state.db.corrupt-1")
        #expect(try await again.accessRules().isClosed)
        await again.close()
    }

    /// Killed after the log was moved aside, after the file was, and after the new one was made: in none of these does
    /// the gateway come up open.
    @Test func aQuarantineThatWasCutShortOpensNothing() async throws {
        let store = try open()
        try await store.putUser(name("anna"), password: [1], cost: 1)
        await store.close()
        let bytes = try #require(folder.bytes(of: "state.db"))
        for moved in [[], ["state.db"]] {
            let folder = try TemporaryDirectory()
            try folder.write([], to: "state.db.corrupt-1-wal")
            try folder.write(bytes, to: moved.isEmpty ? "state.db" : "state.db.corrupt-1")
            let again = try StateStore(path: folder["state.db"], boot: "one", time: KernelTime())
            #expect(try await again.accessRules().isClosed)
            #expect(folder.bytes(of: "state.db.corrupt-1") == bytes)
            try await again.reopen()
            await again.close()
            let reopened = try StateStore(path: folder["state.db"], boot: "one", time: KernelTime())
            #expect(reopened.recovery == nil)
            #expect(try await !reopened.accessRules().isClosed)
            await reopened.close()
        }
    }

    /// Written by the version that knew sessions only, and let every user of the machine read it.
    @Test func aFileOfVersionOneIsBroughtUpToDate() async throws {
        do {
            let connection = try Connection.open(path)
            try connection.execute(
                """
                CREATE TABLE session(
                    id INTEGER PRIMARY KEY, client TEXT NOT NULL UNIQUE, expiry INTEGER NOT NULL, boot TEXT NOT NULL,
                    away INTEGER NOT NULL, will BLOB NOT NULL, will_delay INTEGER NOT NULL);
                CREATE TABLE subscription(
                    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE, filter TEXT NOT NULL,
                    options INTEGER NOT NULL, identifier INTEGER NOT NULL, PRIMARY KEY(session, filter)) WITHOUT ROWID;
                CREATE TABLE message(
                    id INTEGER PRIMARY KEY, boot TEXT NOT NULL, received INTEGER NOT NULL, publish BLOB NOT NULL);
                CREATE TABLE queued(
                    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE, number INTEGER NOT NULL,
                    message INTEGER NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, identifiers TEXT NOT NULL,
                    packet_identifier INTEGER NOT NULL, phase INTEGER NOT NULL, PRIMARY KEY(session, number))
                    WITHOUT ROWID;
                CREATE TABLE received(
                    session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE, packet_identifier INTEGER NOT NULL,
                    PRIMARY KEY(session, packet_identifier)) WITHOUT ROWID;
                CREATE TABLE retained(
                    topic TEXT PRIMARY KEY, boot TEXT NOT NULL, stored INTEGER NOT NULL, publish BLOB NOT NULL)
                    WITHOUT ROWID;
                INSERT INTO session VALUES(1, 'a', 60, 'zero', -1, x'', 0);
                INSERT INTO subscription VALUES(1, 'x/#', 1, 0);
                PRAGMA user_version=1;
                """, doing: "test")
        }
        try #require(chmod(path, 0o644) == 0)
        let store = try open()
        let session = try #require(await store.load().sessions.first)
        #expect(session.record.id == SessionID(client: "a"))
        #expect(session.subscriptions.map(\.filter) == ["x/#"])
        #expect(try await store.accessRules() == AccessRules())
        #expect(try await store.putUser(name("anna"), password: [1], cost: 1))
        var information = stat()
        #expect(stat(path, &information) == 0 && information.st_mode & 0o777 == 0o600)
        #expect(store.recovery == nil)
    }

    @Test func aNewerFileIsLeftAloneAndNothingIsOpened() async throws {
        do {
            let connection = try Connection.open(path)
            try connection.execute("PRAGMA user_version=99", doing: "test")
        }
        let store = try open()
        #expect(store.snapshot.problem?.reason.contains("99") == true)
        #expect(try await store.accessRules().isClosed)
        await #expect(throws: AccountError.self) { try await store.putUser(name("anna"), password: [1], cost: 1) }
        await #expect(throws: (any Error).self) { try await store.rewrite([]) }
        await store.close()
        #expect(folder.names.allSatisfy { !$0.contains("corrupt") })
    }
}
