import Database
import Outbox
import Readings
import TestSupport
import Testing

/// Files that earlier versions wrote.
@Suite struct OldFilesTests {
    /// Version 1, as it was released: settled messages were removed one window at a time, and there was one epoch.
    static let version1 = """
        CREATE TABLE store(id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL);
        CREATE TABLE boot(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
        CREATE TABLE stream(
            id INTEGER PRIMARY KEY, class TEXT NOT NULL UNIQUE, next INTEGER NOT NULL DEFAULT 1,
            count INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0
        );
        CREATE TABLE message(
            id INTEGER PRIMARY KEY, format INTEGER NOT NULL, retain INTEGER NOT NULL, boot INTEGER NOT NULL,
            instant INTEGER NOT NULL, unix INTEGER NOT NULL, quality INTEGER NOT NULL, topic TEXT NOT NULL,
            payload BLOB NOT NULL
        );
        INSERT INTO store VALUES(1, 171);
        INSERT INTO boot VALUES(1, 'boot-0');
        INSERT INTO stream VALUES(1, 'telemetry', 1004, 3, 153, 7);
        INSERT INTO message VALUES((1 << 48) + 1001, 0, 0, 1, 5, 1795433520000000000, 0, 't', 'm1');
        INSERT INTO message VALUES((1 << 48) + 1002, 1, 1, 1, 6, 1795433521000000000, 2, 't', '{}');
        INSERT INTO message VALUES((1 << 48) + 1003, 0, 0, 1, 7, 1795433522000000000, 1, 't', 'm3');
        PRAGMA user_version=1;
        """

    @Test func aFileOfVersion1GoesOnWhereItStopped() async throws {
        let folder = try TemporaryDirectory()
        let time = ManualTime()
        let sinks = Sinks()
        do {
            let connection = try Connection.open("\(folder.path)/outbox.db")
            try connection.execute(Self.version1, doing: "test")
        }
        let store = try sinks.open(.test(folder, time: time))
        #expect(store.recovery == nil)
        #expect(try await store.backlog().map { [$0.count, $0.bytes, $0.dropped] } == [[3, 153, 7]])
        try await store.append([.test("m4", time: time.now(), token: 1)])
        let claimed = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(claimed.map(\.text) == ["m1", "{}", "m3", "m4"])
        #expect(claimed.map(\.sequence) == [1001, 1002, 1003, 1004])
        #expect(Set(claimed.map(\.epoch)) == [171])
        #expect(claimed.map(\.boot.name) == ["boot-0", "boot-0", "boot-0", "boot-1"])
        #expect(claimed[1].message.retain && claimed[1].message.format == .reading)
        try await store.settle(claimed.map(\.id))
        #expect(try await store.backlog().map { [$0.count, $0.bytes, $0.dropped] } == [[0, 0, 7]])
        await store.close()
        let again = try sinks.open(.test(folder, time: time))
        #expect(try await again.claim(limit: 9, byteLimit: 1000).isEmpty)
    }

    /// Version 2, as it was released: a boot did not tell its time.
    static let version2 = """
        CREATE TABLE store(
            id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, ahead INTEGER NOT NULL DEFAULT 0
        );
        CREATE TABLE boot(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
        CREATE TABLE stream(
            id INTEGER PRIMARY KEY, class TEXT NOT NULL UNIQUE, next INTEGER NOT NULL DEFAULT 1,
            count INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
            head INTEGER NOT NULL DEFAULT 1
        );
        CREATE TABLE message(
            id INTEGER PRIMARY KEY, format INTEGER NOT NULL, retain INTEGER NOT NULL, boot INTEGER NOT NULL,
            instant INTEGER NOT NULL, unix INTEGER NOT NULL, quality INTEGER NOT NULL, topic TEXT NOT NULL,
            payload BLOB NOT NULL
        );
        CREATE TABLE epoch(
            stream INTEGER NOT NULL, first INTEGER NOT NULL, value INTEGER NOT NULL, PRIMARY KEY(stream, first)
        ) WITHOUT ROWID;
        CREATE TABLE refused(
            id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, reason TEXT NOT NULL, format INTEGER NOT NULL,
            retain INTEGER NOT NULL, boot INTEGER NOT NULL, instant INTEGER NOT NULL, unix INTEGER NOT NULL,
            quality INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL
        );
        INSERT INTO store VALUES(1, 171, 0);
        INSERT INTO boot VALUES(1, 'boot-0');
        INSERT INTO stream VALUES(1, 'telemetry', 1004, 2, 102, 7, 1002);
        INSERT INTO epoch VALUES(1, 1, 171), (1, 1003, 172);
        INSERT INTO message VALUES((1 << 48) + 1001, 0, 0, 1, 5, 1795433520000000000, 0, 't', 'm1');
        INSERT INTO message VALUES((1 << 48) + 1002, 0, 0, 1, 6, 1795433521000000000, 2, 't', 'm2');
        INSERT INTO message VALUES((1 << 48) + 1003, 0, 0, 1, 7, 1795433522000000000, 1, 't', 'm3');
        INSERT INTO refused VALUES(1, 1, 'not allowed', 0, 0, 1, 5, 1795433520000000000, 0, 't', 'm0');
        PRAGMA user_version=2;
        """

    /// Version 3, as it was released: messages had neither expiry nor properties, and no checksum.
    static let version3 =
        version2.replacing("PRAGMA user_version=2;", with: "")
            + """
            ALTER TABLE boot ADD COLUMN offset INTEGER;
            UPDATE boot SET offset = 1795433520000000000;
            PRAGMA user_version=3;
            """

    @Test func aFileOfVersion3GoesOnWhereItStopped() async throws {
        let folder = try TemporaryDirectory()
        let time = ManualTime()
        let sinks = Sinks()
        do {
            let connection = try Connection.open("\(folder.path)/outbox.db")
            try connection.execute(Self.version3, doing: "test")
        }
        let store = try sinks.open(.test(folder, time: time))
        #expect(store.recovery == nil)
        var entry = OutboxStore.Entry.test("m4", time: time.now(), token: 1)
        entry.message.properties = MessageProperties(contentType: "x")
        entry.message.expiry = .seconds(9)
        try await store.append([entry])
        let claimed = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(claimed.map(\.text) == ["m2", "m3", "m4"])
        #expect(claimed.map(\.message.time.quality) == [.restamped, .restamped, .synced])
        #expect(claimed.map(\.message.properties?.contentType) == [nil, nil, "x"])
        #expect(claimed.map(\.remaining) == [nil, nil, .seconds(9)])
        #expect(try await store.takeBack() == (1, 0))
        try await store.settle(claimed.map(\.id))
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["m0"])
    }

    @Test func aFileOfVersion2GoesOnWhereItStopped() async throws {
        let folder = try TemporaryDirectory()
        let time = ManualTime()
        let sinks = Sinks()
        do {
            let connection = try Connection.open("\(folder.path)/outbox.db")
            try connection.execute(Self.version2, doing: "test")
        }
        let store = try sinks.open(.test(folder, time: time))
        #expect(store.recovery == nil)
        try await store.append([.test("m4", time: time.now(), token: 1)])
        let claimed = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(claimed.map(\.text) == ["m2", "m3", "m4"])
        #expect(claimed.map { "\($0.epoch) \($0.sequence)" } == ["171 1002", "172 1", "172 2"])
        // Of that boot nobody knows the time.
        #expect(claimed.map(\.message.time.quality) == [.unsynced, .restamped, .synced])
        #expect(try await store.takeBack() == (1, 0))
        try await store.settle(claimed.map(\.id))
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["m0"])
    }
}
