import Database
import Outbox
import Readings
import Synchronization
import TestSupport
import Testing

/// A board that wakes up without knowing the time.
private final class WakingTime: TimeSource {
    private let state: Mutex<Timestamp>

    init(unixSeconds: Int64, quality: TimeQuality) {
        state = Mutex(
            Timestamp(
                instant: Instant(nanoseconds: 100_000_000_000), unixNanoseconds: unixSeconds * 1_000_000_000,
                quality: quality))
    }

    func now() -> Timestamp { state.withLock { $0 } }

    func advance(_ seconds: Int64) {
        state.withLock {
            $0.instant = $0.instant + .seconds(seconds)
            $0.unixNanoseconds += seconds * 1_000_000_000
        }
    }

    func learn(unixSeconds: Int64) {
        state.withLock {
            $0.unixNanoseconds = unixSeconds * 1_000_000_000
            $0.quality = .synced
        }
    }
}

@Suite struct RestampTests {
    let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    private func open(_ time: WakingTime, boot: String, commitAfter: Duration = .zero) throws -> OutboxStore {
        var limits = ClassLimits()
        limits.commitAfter = commitAfter
        return try Sinks().open(
            OutboxStore.Configuration(
                path: "\(folder.path)/outbox.db", classes: [.telemetry: limits], time: time, boot: BootID(boot)
            ) { "gaps/\($0.name)" })
    }

    private static func reading(_ time: Timestamp) -> OutboxStore.Entry {
        var payload: [UInt8] = []
        ReadingStamp.append(time, to: &payload)
        payload += ",\"v\":1}".utf8
        return .init(message: Message(topic: "t", payload: payload, format: .reading, time: time))
    }

    @Test(arguments: [Duration.zero, .seconds(60)])
    func readingsGetTheirTimeWhenItIsKnown(commitAfter: Duration) async throws {
        let time = WakingTime(unixSeconds: 50, quality: .unsynced)
        let store = try open(time, boot: "a", commitAfter: commitAfter)
        await store.attach()
        try await store.append([Self.reading(time.now()), .test("raw", time: time.now())])
        time.advance(10)
        time.learn(unixSeconds: 2_000_000_000)
        try await store.append([Self.reading(time.now())])
        let claimed = try await store.claim(limit: 9, byteLimit: 9_999)
        #expect(claimed.map(\.message.time.quality) == [.restamped, .restamped, .synced])
        #expect(
            claimed.map { $0.message.time.unixNanoseconds / 1_000_000_000 }
                == [1_999_999_990, 1_999_999_990, 2_000_000_000])
        #expect(
            claimed.map(\.text) == [
                #"{"ts":1999999990000,"tq":"restamped","v":1}"#, "raw", #"{"ts":2000000000000,"tq":"synced","v":1}"#,
            ])
    }

    @Test func alsoAfterAReboot() async throws {
        var time = WakingTime(unixSeconds: 50, quality: .unsynced)
        var store = try open(time, boot: "a")
        try await store.append([.test("a1", time: time.now())])
        time.advance(5)
        time.learn(unixSeconds: 2_000_000_000)
        // Nothing comes any more, and the power fails.
        await store.clockIsTrusted()
        await store.tick()
        await store.close()

        time = WakingTime(unixSeconds: 60, quality: .unsynced)
        store = try open(time, boot: "b")
        try await store.append([.test("b1", time: time.now())])
        let claimed = try await store.claim(limit: 9, byteLimit: 9_999)
        #expect(claimed.map(\.text) == ["a1", "b1"])
        #expect(claimed.map(\.message.time.quality) == [.restamped, .unsynced])
        #expect(claimed[0].message.time.unixNanoseconds == 1_999_999_995 * 1_000_000_000)
        #expect(claimed[1].message.time.unixNanoseconds == 60 * 1_000_000_000)
    }

    /// What was believed first was wrong by an hour.
    @Test(arguments: [Int64(3_600), 0])
    func aCorrectedTimeIsNotedToo(correction: Int64) async throws {
        var time = WakingTime(unixSeconds: 50, quality: .unsynced)
        var store = try open(time, boot: "a")
        try await store.append([.test("a1", time: time.now())])
        time.learn(unixSeconds: 2_000_000_000)
        await store.clockIsTrusted()
        await store.tick()
        time.learn(unixSeconds: 2_000_000_000 + correction)
        await store.clockIsTrusted()
        await store.tick()
        await store.close()
        time = WakingTime(unixSeconds: 60, quality: .unsynced)
        store = try open(time, boot: "b")
        let claimed = try await store.claim(limit: 9, byteLimit: 9_999)
        #expect(claimed.map(\.message.time.unixNanoseconds) == [(2_000_000_000 + correction) * 1_000_000_000])
    }

    @Test func aBootThatNeverKnewStaysUnsynced() async throws {
        var time = WakingTime(unixSeconds: 50, quality: .unsynced)
        var store = try open(time, boot: "a")
        try await store.append([.test("a1", time: time.now())])
        await store.close()
        time = WakingTime(unixSeconds: 2_000_000_000, quality: .synced)
        store = try open(time, boot: "b")
        await store.clockIsTrusted()
        let claimed = try await store.claim(limit: 9, byteLimit: 9_999)
        #expect(claimed.map(\.message.time.quality) == [.unsynced])
        #expect(claimed.map(\.boot.name) == ["a"])
        #expect(claimed[0].message.time.instant == Instant(nanoseconds: 100_000_000_000))
    }

    @Test func theSameBootsNextProcessKnows() async throws {
        let time = WakingTime(unixSeconds: 50, quality: .unsynced)
        var store = try open(time, boot: "a")
        try await store.append([.test("a1", time: time.now())])
        time.learn(unixSeconds: 2_000_000_000)
        await store.clockIsTrusted()
        await store.tick()
        await store.close()
        // It does not know the time yet: its first seconds.
        let untrusted = WakingTime(unixSeconds: 51, quality: .unsynced)
        store = try open(untrusted, boot: "a")
        #expect(try await store.claim(limit: 9, byteLimit: 9_999).map(\.message.time.quality) == [.restamped])
    }
}
