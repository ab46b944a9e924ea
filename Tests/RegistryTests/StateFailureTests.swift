import FaultyDisk
import Glibc
import MQTT
import NIOCore
import Readings
import Registry
import Synchronization
import TestSupport
import Testing

/// The state file fails while it is in use, or cannot be used at the start: the store goes on, and another file takes its
/// place with all that memory holds.
@Suite(.serialized) struct StateFailureTests {
    private static let full: Int32 = 13  // SQLITE_FULL
    private static let writeError: Int32 = 10 | 3 << 8  // SQLITE_IOERR_WRITE

    let folder: TemporaryDirectory
    var path: String { folder["state.db"] }

    init() throws {
        folder = try TemporaryDirectory(named: "faulty-state")
        faulty_disk_install()
        faulty_state_fail(0, 0, false)
    }

    private func open(
        _ path: String? = nil, tell: @escaping @Sendable (StateEvent) -> Void = { _ in }
    ) throws -> StateStore {
        try StateStore(
            path: path ?? self.path, boot: "one", time: KernelTime(), lockTimeoutMilliseconds: 100, tell: tell)
    }

    private func name(_ text: String) throws -> UserName { try #require(UserName(text)) }

    /// What a listener has in memory.
    private var everything: [SessionChange] {
        let id = SessionID(client: "c", user: "anna")
        return [
            .session(SessionRecord(id: id, expiryInterval: .max, awaySince: nil, will: nil)),
            .subscription(id, filter: "t/#", options: 1, identifier: nil),
            .message(number: 1, publish: Publish(topic: "t/1", payload: ByteBuffer(string: "waits")), receivedAt: 0),
            .queued(id, number: 1, message: 1, qos: .atLeastOnce, retain: false, subscriptionIdentifiers: []),
            .retained(Publish(topic: "r", payload: ByteBuffer(string: "last"), retain: true), storedAt: 0),
        ]
    }

    private func fill(_ store: StateStore) async throws {
        try await store.putUser(name("anna"), password: [1], cost: 1)
        try await store.addRule(AccessRule(user: name("anna"), access: .readwrite, filter: "t/#"))
        try await store.addRule(AccessRule(user: nil, access: .read, filter: "r"))
        #expect(try await store.removeRule(2))
        try await store.commit(everything)
    }

    /// A new process finds all of it.
    /// - Parameter nextRule: the number of the next rule; those of removed rules are not given again.
    private func checkAll(_ path: String? = nil, nextRule: Int64 = 3) async throws {
        let store = try open(path)
        #expect(store.recovery == nil && store.snapshot.problem == nil)
        let stored = await store.load()
        #expect(stored.sessions.map(\.record.id) == [SessionID(client: "c", user: "anna")])
        #expect(stored.sessions.first?.subscriptions.map(\.filter) == ["t/#"])
        #expect(stored.sessions.first?.queue.map(\.message) == [1])
        #expect(stored.messages.map(\.publish.topic) == ["t/1"])
        #expect(stored.retained.map { String(buffer: $0.publish.payload) } == ["last"])
        #expect(try await store.users() == ["anna"])
        #expect(try await store.hashes()[name("anna")]?.verify([1]) == true)
        #expect(try await store.rules().map(\.id) == [1])
        #expect(try await !store.accessRules().isClosed)
        #expect(try await store.addRule(AccessRule(user: nil, access: .read, filter: "x")) == nextRule)
        #expect(try await store.removeRule(nextRule))
        await store.close()
    }

    private static func overwrite(_ path: String, from: Int = 0, count: Int? = nil) throws {
        let file = Glibc.open(path, O_WRONLY)
        try #require(file >= 0)
        defer { close(file) }
        var information = stat()
        fstat(file, &information)
        let bytes = [UInt8](repeating: 0xA5, count: count ?? Int(information.st_size) - from)
        try #require(pwrite(file, bytes, bytes.count, off_t(from)) == bytes.count)
    }

    // MARK: While it runs

    private enum Harm: CaseIterable {
        case allOfIt, onePage, theLog, deleted, theLogDeleted, replaced
    }

    /// The file is small enough to be in SQLite's cache as a whole, and nothing is written: still it is noticed, and healed.
    @Test(arguments: 0..<6) func whatAnotherProgramDoesToItIsNoticedAndMended(_ number: Int) async throws {
        let harm = Harm.allCases[number]
        do {
            let store = try open()
            try await fill(store)
            await store.close()
        }
        let events = Mutex(0)
        let store = try open { _ in events.withLock { $0 += 1 } }
        _ = await store.load()
        #expect(await store.isIntact())
        if harm == .theLog {
            try await store.commit([.retained(Publish(topic: "q", payload: ByteBuffer(string: "1")), storedAt: 0)])
            #expect(await store.isIntact())
        }
        switch harm {
        case .allOfIt: try Self.overwrite(path)
        case .onePage: try Self.overwrite(path, from: 3 * 4_096, count: 4_096)
        case .theLog: try Self.overwrite("\(path)-wal")
        case .deleted: unlink(path)
        case .theLogDeleted:
            try await store.commit([.retained(Publish(topic: "q", payload: ByteBuffer(string: "1")), storedAt: 0)])
            unlink("\(path)-wal")
        case .replaced: try folder.write([UInt8](repeating: 1, count: 9_000), to: "state.db")
        }
        #expect(await !store.isIntact())
        await #expect(throws: (any Error).self) { try await store.commit(everything) }
        #expect(store.snapshot.problem?.reason.isEmpty == false)
        guard case .written = try await store.rewrite(everything) else {
            Issue.record("not written")
            return
        }
        let snapshot = store.snapshot
        #expect(snapshot.problem == nil)
        #expect(snapshot.replacements.count == 1 && events.withLock { $0 } == 1)
        #expect((snapshot.replacements.first?.quarantined == nil) == (harm == .deleted && !hasLog(1)))
        #expect(await store.isIntact())
        try await store.commit([.retainedEnded(topic: "q")])
        await store.close()
        try await checkAll()
    }

    private func hasLog(_ number: Int) -> Bool { access("\(path).corrupt-\(number)-wal", F_OK) == 0 }

    /// Nothing but a write tells of it: the pages that it needs are read from the disk, and not from the cache.
    @Test func aWriteNoticesTheDamage() async throws {
        let store = try open()
        try await fill(store)
        await store.close()
        let again = try open()
        _ = await again.load()
        try Self.overwrite(path)
        await #expect(throws: (any Error).self) { try await again.commit(everything) }
        #expect(again.snapshot.problem?.remedy != nil)
        _ = try await again.rewrite(everything)
        await again.close()
        #expect(again.snapshot.replacements.count == 1)
        try await checkAll()
    }

    /// Every write, sync and truncation of a replacement fails in turn; whatever is left, the next process finds either
    /// what was there before or everything.
    @Test(arguments: [full, writeError]) func aReplacementThatFailsCanBeRepeated(code: Int32) async throws {
        var call: Int64 = 1
        while call < 200 {
            let folder = try TemporaryDirectory(named: "faulty-state")
            let path = folder["state.db"]
            let store = try open(path)
            try await fill(store)
            try Self.overwrite(path)
            faulty_state_fail(call, code, true)
            let first = try? await store.rewrite(everything)
            let calls = faulty_state_calls()
            faulty_state_fail(0, 0, false)
            if first == nil {
                #expect(store.snapshot.problem != nil, "call \(call)")
                // The disk has recovered.
                _ = try await store.rewrite(everything)
            }
            #expect(store.snapshot.problem == nil, "call \(call)")
            await store.close()
            try await checkAll(path)
            guard first == nil, calls >= call else { break }
            call += call < 40 ? 1 : 7
        }
        #expect(call > 10)
    }

    /// A full disk is no damage: the file stays, and is written again when there is room.
    @Test func aFullDiskIsWaitedFor() async throws {
        let store = try open()
        try await fill(store)
        faulty_state_fail(1, Self.full, true)
        await #expect(throws: (any Error).self) { try await store.commit(everything) }
        for _ in 0..<5 { await #expect(throws: (any Error).self) { try await store.rewrite(everything) } }
        #expect(store.snapshot.problem?.remedy?.contains("free space") == true)
        // Nothing is half done: who is asked knows what is on disk.
        await #expect(throws: AccountError.self) { try await store.putUser(name("ben"), password: [1], cost: 1) }
        #expect(try await store.users() == ["anna"])
        faulty_state_fail(0, 0, false)
        _ = try await store.rewrite(everything)
        #expect(store.snapshot.problem == nil && store.snapshot.replacements.isEmpty)
        try await store.putUser(name("ben"), password: [1], cost: 1)
        #expect(try await store.removeUser(name("ben")))
        await store.close()
        try await checkAll()
    }

    /// Storage that fails again and again under one file may take another.
    @Test func aFileThatTakesNoWritesIsReplaced() async throws {
        let store = try open()
        try await fill(store)
        // Each attempt fails at its first write, until it is made to another file.
        for _ in 0..<4 {
            faulty_state_fail(1, Self.writeError, false)
            if (try? await store.rewrite(everything)) != nil { break }
        }
        faulty_state_fail(0, 0, false)
        _ = try await store.rewrite(everything)
        await store.close()
        try await checkAll()
    }

    // MARK: At the start

    @Test func withoutAFolderItBeginsInMemory() async throws {
        let path = "\(folder.path)/later/state.db"
        let store = try open(path)
        #expect(store.snapshot.problem?.remedy?.isEmpty == false)
        #expect(try await store.accessRules() == AccessRules(isClosed: true), "there may be rules that cannot be read")
        #expect(await store.load().sessions.isEmpty)
        #expect(await !store.isIntact())
        await #expect(throws: (any Error).self) { try await store.rewrite(everything) }
        mkdir("\(folder.path)/later", 0o755)
        while case .found = try await store.rewrite(everything) {}
        #expect(store.snapshot.problem == nil)
        #expect(try await store.accessRules() == AccessRules())
        #expect(await store.isIntact())
        await store.close()
        let again = try open(path)
        #expect(await again.load().sessions.count == 1)
        await again.close()
    }

    /// The file cannot even be read: what is in it is found as soon as it can be, and not written over.
    @Test func whatCannotBeReadAtTheStartIsFoundLater() async throws {
        do {
            let store = try open()
            try await fill(store)
            await store.close()
        }
        try #require(rename(path, "\(path).away") == 0 && mkdir(path, 0o755) == 0)
        let read = Mutex(0)
        let store = try open { event in if case .accountsRead = event { read.withLock { $0 += 1 } } }
        #expect(store.snapshot.problem != nil)
        #expect(await store.load().sessions.isEmpty)
        #expect(try await store.accessRules().isClosed, "rules may exist")
        await #expect(throws: AccountError.self) { try await store.putUser(name("ben"), password: [1], cost: 1) }
        await #expect(throws: (any Error).self) { try await store.rewrite([]) }
        try #require(rmdir(path) == 0 && rename("\(path).away", path) == 0)
        guard case .found(let stored) = try await store.rewrite([]) else {
            Issue.record("not found")
            return
        }
        #expect(stored.sessions.count == 1 && stored.retained.count == 1)
        #expect(read.withLock { $0 } == 1)
        #expect(try await store.users() == ["anna"])
        #expect(try await !store.accessRules().isClosed)
        _ = try await store.rewrite(everything)
        #expect(store.snapshot.problem == nil)
        await store.close()
        try await checkAll()
    }

    // MARK: Closed or open

    /// Whether there were rules outlasts the file.
    @Test(arguments: [true, false]) func aSiteThatNeverHadRulesStaysOpen(hadRules: Bool) async throws {
        let store = try open()
        try await store.putUser(name("anna"), password: [1], cost: 1)
        if hadRules { try await store.addRule(AccessRule(user: nil, access: .read, filter: "a")) }
        await store.close()
        try Self.overwrite(path)
        let damaged = try open()
        #expect(damaged.recovery?.quarantined == "\(path).corrupt-1")
        #expect(try await damaged.accessRules() == AccessRules(isClosed: hadRules))
        await damaged.close()
        // It is damaged once more before anybody has looked after it.
        try Self.overwrite(path)
        let again = try open()
        #expect(try await again.accessRules() == AccessRules(isClosed: hadRules))
        try await again.reopen()
        await again.close()
        try Self.overwrite(path)
        let last = try open()
        #expect(try await last.accessRules() == AccessRules())
        await last.close()
    }

    @Test func theLastRuleThatGoesLeavesTheSiteOpen() async throws {
        let store = try open()
        let id = try await store.addRule(AccessRule(user: nil, access: .read, filter: "a"))
        #expect(textOfFile("\(path).access") == "rules\n")
        #expect(try await store.removeRule(id))
        #expect(textOfFile("\(path).access") == "open\n")
        await store.close()
        try Self.overwrite(path)
        let damaged = try open()
        #expect(try await damaged.accessRules() == AccessRules())
        await damaged.close()
    }

    /// One part of the file is damaged: what the others hold is kept.
    @Test func whatCanBeReadOfADamagedFileIsKept() async throws {
        let store = try open()
        try await fill(store)
        for number in 0..<2_000 {
            try await store.commit([
                .retained(
                    Publish(topic: "many/\(number)", payload: ByteBuffer(repeating: 1, count: 200)), storedAt: 0)
            ])
        }
        await store.close()
        // The last pages are of the retained messages.
        var information = stat()
        try #require(stat(path, &information) == 0)
        try Self.overwrite(path, from: Int(information.st_size) / 4_096 * 4_096 - 16_384)
        let damaged = try open()
        #expect(damaged.recovery != nil)
        #expect(try await damaged.users() == ["anna"])
        #expect(try await damaged.rules().map(\.id) == [1])
        #expect(try await !damaged.accessRules().isClosed)
        #expect(await damaged.load().sessions.count == 1)
        await damaged.close()
    }

    /// Killed between the two renames of a replacement, and before the first.
    @Test func aReplacementThatWasCutShortIsFinished() async throws {
        let store = try open()
        try await fill(store)
        await store.close()
        try #require(rename(path, "\(path)-new") == 0)
        unlink("\(path)-wal")
        try await checkAll()
        try folder.write([UInt8](repeating: 7, count: 5_000), to: "state.db-new")
        try await checkAll(nextRule: 4)
        #expect(!folder.names.contains { $0.hasSuffix("-new") || $0.contains("corrupt") }, "\(folder.names)")
    }
}
