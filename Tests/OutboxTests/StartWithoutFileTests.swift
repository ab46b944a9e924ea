import Database
import Glibc
import Outbox
import Readings
import TestSupport
import Testing

/// The file cannot be opened at the start: the outbox works in memory, and takes the file into use as soon as it can be.
@Suite struct StartWithoutFileTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    private var data: String { "\(folder.path)/data" }

    private func open(startsWithoutFile: Bool = true, memoryMessages: Int = 16_384) throws -> OutboxStore {
        var configuration = OutboxStore.Configuration(
            path: "\(data)/outbox.db", classes: [.telemetry: ClassLimits(commitAfter: .milliseconds(250))], time: time,
            boot: BootID("boot-1")
        ) { "gaps/\($0.name)" }
        configuration.startsWithoutFile = startsWithoutFile
        configuration.memoryMessages = memoryMessages
        configuration.lockTimeoutMilliseconds = 50
        return try sinks.open(configuration)
    }

    private var settled: [UInt64] { sinks.settled.flatMap { $0 }.map(\.publication).sorted() }

    private func append(_ store: OutboxStore, _ numbers: ClosedRange<Int>) async throws -> [OutboxStore.Entry] {
        try await store.append(numbers.map { .test("m\($0)", time: time.now(), token: UInt64($0)) })
    }

    @Test func onlyTheUpstreamsAcknowledgementSettlesWhatIsInMemoryAlone() async throws {
        let store = try open()
        #expect(await eventually { !sinks.notices.isEmpty })
        guard case .memoryOnly(let problem) = sinks.notices.first else {
            Issue.record("\(sinks.notices)")
            return
        }
        #expect(problem.reason.contains("outbox.db") && problem.remedy != nil)
        #expect(store.condition.memoryOnly == problem && store.problem != nil)
        await store.attach()
        #expect(try await append(store, 1...2).isEmpty)
        time.advance(.seconds(5))
        await store.tick()
        await #expect(throws: OutboxError.self) { try await store.flush() }
        #expect(settled.isEmpty)
        let claimed = try await store.claim(limit: 1, byteLimit: 1000)
        try await store.settle(claimed.map(\.id))
        #expect(settled == [1])
        // The link goes, and still nothing is safe.
        await store.release()
        #expect(settled == [1])

        try #require(mkdir(data, 0o755) == 0)
        #expect(await eventually { store.condition.memoryOnly == nil })
        #expect(await eventually { settled == [1, 2] })
        #expect(store.problem == nil && sinks.notices.last == .fileInUse(path: "\(data)/outbox.db"))
        await store.close()
        let again = try open(startsWithoutFile: false)
        #expect(try await again.claim(limit: 9, byteLimit: 1000).map(\.text) == ["m2"])
        await again.close()
    }

    /// What the file held goes first, and an acknowledgement from before settles none of its messages.
    @Test func aBacklogIsFoundAgainAndComesFirst() async throws {
        try #require(mkdir(data, 0o755) == 0)
        var store = try open()
        _ = try await append(store, 1...3)
        try await store.flush()
        await store.close()
        try #require(rename(data, "\(folder.path)/gone") == 0)

        store = try open()
        await store.attach()
        _ = try await append(store, 4...6)
        let early = try await store.claim(limit: 3, byteLimit: 1000)
        #expect(early.map(\.text) == ["m4", "m5", "m6"])
        try #require(rename("\(folder.path)/gone", data) == 0)
        #expect(await eventually { store.condition.memoryOnly == nil })
        let first = try await store.claim(limit: 2, byteLimit: 1000)
        #expect(first.map(\.text) == ["m1", "m2"])
        try await store.settle(early.map(\.id))
        #expect(try await store.backlog().map(\.count) == [6])
        let rest = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(rest.map(\.text) == ["m3", "m4", "m5", "m6"])
        try await store.settle((first + rest).map(\.id))
        #expect(try await store.backlog().map(\.count) == [0])
        #expect(settled == [1, 2, 3, 4, 5, 6])
        await store.close()
    }

    @Test func memoryIsBounded() async throws {
        let store = try open(memoryMessages: 10)
        #expect(try await append(store, 1...8).isEmpty)
        #expect(try await append(store, 9...12).count == 4)
        #expect(settled.isEmpty)
        await store.close()
    }

    @Test func aFileThatAnotherHasIsStillAnError() async throws {
        try #require(mkdir(data, 0o755) == 0)
        let store = try open()
        let error = #expect(throws: OutboxError.self) { _ = try open() }
        guard case .database(let cause) = error else {
            Issue.record("another error: \(String(describing: error))")
            return
        }
        #expect(cause.condition == .locked)
        await store.close()
    }

    @Test func whoeverDoesNotWantMemoryGetsTheError() {
        #expect(throws: OutboxError.self) { _ = try open(startsWithoutFile: false) }
    }
}
