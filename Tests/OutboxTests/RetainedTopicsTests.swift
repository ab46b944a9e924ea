import Outbox
import Readings
import TestSupport
import Testing

/// A broker keeps the retained message that came last; it must not be an older one.
@Suite struct RetainedTopicsTests {
    let folder: TemporaryDirectory
    let time = ManualTime()

    init() throws { folder = try TemporaryDirectory() }

    private func open(boot: String = "boot-1") throws -> OutboxStore {
        var limits = ClassLimits()
        limits.order = .interleave
        return try Sinks().open(
            .test(folder, classes: [.telemetry: limits], time: time, boot: boot, commitAfter: .milliseconds(250)))
    }

    private func entry(_ topic: String, _ text: String) -> OutboxStore.Entry {
        time.advance(.milliseconds(1))
        return .init(
            message: Message(topic: topic, payload: Array(text.utf8), retain: true, time: time.now()), settle: nil)
    }

    private func claim(_ store: OutboxStore) async throws -> [String] {
        try await store.claim(limit: 9, byteLimit: 1000).map { "\($0.text)\($0.message.retain ? " R" : "")" }
    }

    @Test(arguments: ["boot-1", "boot-2"])
    func whatIsOvertakenIsNotRetained(boot: String) async throws {
        var store = try open()
        try await store.append([entry("a", "a1"), entry("b", "b1")])
        await store.close()
        store = try open(boot: boot)
        await store.attach()
        try await store.append([entry("a", "a2")])
        #expect(try await claim(store) == ["a2 R", "a1", "b1 R"])
        // Not if the line breaks in between either: the newer one may have arrived.
        let again = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(again.isEmpty)
        await store.release()
        await store.attach()
        try await store.append([entry("b", "b2")])
        #expect(try await claim(store) == ["b2 R", "a1", "b1", "a2 R"])
    }

    /// It was on its way before, and nobody knows whether it came there.
    @Test func whatIsRepeatedIsStillRetained() async throws {
        let store = try open()
        await store.attach()
        try await store.append([entry("a", "a1")])
        #expect(try await claim(store) == ["a1 R"])
        await store.release()
        try await store.flush()
        await store.attach()
        #expect(try await claim(store) == ["a1 R"])
    }
}
