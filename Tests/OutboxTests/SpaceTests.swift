import Database
import Readings
import TestSupport
import Testing

@testable import Outbox

/// What the disk leaves is a bound like the class's own.
@Suite struct SpaceTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    @Test func theReserveIsForThoseThatMayUseIt() {
        var space = DiskSpace(minimumFree: 150)
        #expect(space.room(isReserved: false) == .max && !space.isShort)
        space.measured(free: 190, insideFile: 10)
        #expect(space.room(isReserved: false) == 50 && space.room(isReserved: true) == .max)
        space.measured(free: 140, insideFile: 0)
        #expect(space.room(isReserved: false) == 0 && space.room(isReserved: true) == .max && space.isShort)
        space.measured(free: nil, insideFile: 0)
        #expect(!space.isShort)
    }

    /// - Parameter isShort: as on a disk with nothing left but the reserve.
    private func open(isShort: Bool, _ overflow: ClassLimits.Overflow) throws -> OutboxStore {
        var events = ClassLimits()
        events.isReserved = true
        var configuration = OutboxStore.Configuration.test(
            folder, classes: [.telemetry: ClassLimits(overflow: overflow), .events: events], time: time)
        configuration.minimumFree = isShort ? .max / 2 : 1
        return try sinks.open(configuration)
    }

    private func fill(_ store: OutboxStore, _ name: DeliveryClass) async throws {
        for round in 0..<40 {
            try await store.append(
                (0..<10).map {
                    .test(String(repeating: "x", count: 1_000), name, time: time.now(), token: UInt64(round * 10 + $0))
                })
            try await store.flush()
        }
    }

    @Test func whenItIsShortTheClassIsFull() async throws {
        var store = try open(isShort: false, .dropOldest)
        try await fill(store, .telemetry)
        #expect(store.shortage == nil)
        let before = try #require(try await store.backlog().first { $0.deliveryClass == .telemetry })
        #expect(before.count == 400)
        await store.close()

        store = try open(isShort: true, .dropOldest)
        try await fill(store, .telemetry)
        #expect(store.shortage != nil && store.problem == nil)
        var after = try #require(try await store.backlog().first { $0.deliveryClass == .telemetry })
        // What was stored found its place; a little more came in, once.
        #expect(after.dropped > 200 && after.bytes >= before.bytes && after.bytes < before.bytes + 80_000)
        #expect(sinks.settled.flatMap { $0 }.count == 800, "the oldest give way: new ones are acknowledged")
        // The reserve is there for these.
        try await fill(store, .events)
        #expect(try await store.backlog().first { $0.deliveryClass == .events }?.count == 400)
        let first = try #require(try await store.claim(limit: 9, byteLimit: 1 << 20).first { $0.stream == "telemetry" })
        #expect(first.text.contains(#""reason":"overflow""#))
        await store.close()

        store = try open(isShort: false, .dropOldest)
        try await fill(store, .telemetry)
        after = try #require(try await store.backlog().first { $0.deliveryClass == .telemetry })
        #expect(after.bytes > before.bytes + 300_000 && store.shortage == nil)
    }

    @Test func whatMustNotDisplaceOthersIsRefused() async throws {
        var store = try open(isShort: false, .rejectNewest)
        try await fill(store, .telemetry)
        await store.close()
        store = try open(isShort: true, .rejectNewest)
        try await fill(store, .telemetry)
        #expect(sinks.rejected.flatMap { $0 }.count > 200)
        #expect(try await store.claim(limit: 9, byteLimit: 1 << 20).first?.text.hasPrefix("xxx") == true)
    }

    @Test func ballastIsTakenAndGivenUp() throws {
        var ballast = Ballast(path: "\(folder.path)/reserve", bytes: 100_000)
        let hadNone = !ballast.release()
        #expect(hadNone)
        ballast.hold()
        #expect(ballast.isHeld && Ballast(path: ballast.path, bytes: 100_000).isHeld)
        let hadSome = ballast.release()
        #expect(hadSome && !ballast.isHeld)
        #expect(!Ballast(path: ballast.path, bytes: 100_000).isHeld)
        var missing = Ballast(path: "\(folder.path)/no/reserve", bytes: 100_000)
        missing.hold()
        #expect(!missing.isHeld)
    }
}
