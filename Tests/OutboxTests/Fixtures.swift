import Database
import Outbox
import Readings
import Synchronization
import TestSupport

/// A clock that a test moves by hand.
final class ManualTime: TimeSource {
    private let state: Mutex<(boot: Int64, unix: Int64)>

    init(boot: Duration = .seconds(1000), unixSeconds: Int64 = 1_795_433_520) {
        state = Mutex((boot.wholeNanoseconds, unixSeconds * 1_000_000_000))
    }

    func now() -> Timestamp {
        state.withLock {
            Timestamp(instant: Instant(nanoseconds: $0.boot), unixNanoseconds: $0.unix, quality: .synced)
        }
    }

    /// Lets time pass on both clocks.
    func advance(_ duration: Duration) {
        state.withLock {
            $0.boot += duration.wholeNanoseconds
            $0.unix += duration.wholeNanoseconds
        }
    }

    /// Sets the wall clock alone.
    func setWallClock(unixSeconds: Int64) { state.withLock { $0.unix = unixSeconds * 1_000_000_000 } }
}

/// What the store told its sinks.
final class Sinks: Sendable {
    private let state = Mutex(
        (settled: [[SettleToken]](), rejected: [[SettleToken]](), notices: [OutboxNotice](), available: 0))

    var settled: [[SettleToken]] { state.withLock { $0.settled } }
    var rejected: [[SettleToken]] { state.withLock { $0.rejected } }
    var notices: [OutboxNotice] { state.withLock { $0.notices } }
    var available: Int { state.withLock { $0.available } }

    func open(_ configuration: OutboxStore.Configuration) throws(OutboxError) -> OutboxStore {
        try OutboxStore(
            configuration: configuration,
            settled: { tokens in self.state.withLock { $0.settled.append(tokens) } },
            rejected: { tokens in self.state.withLock { $0.rejected.append(tokens) } },
            noticed: { notice in self.state.withLock { $0.notices.append(notice) } },
            available: { self.state.withLock { $0.available += 1 } }
        )
    }
}

extension OutboxStore.Configuration {
    static func test(
        _ folder: TemporaryDirectory, classes: [DeliveryClass: ClassLimits] = [.telemetry: ClassLimits()],
        time: ManualTime = ManualTime(), boot: String = "boot-1", commitAfter: Duration = .zero
    ) -> Self {
        let classes = classes.mapValues { limits in
            var limits = limits
            limits.commitAfter = commitAfter
            return limits
        }
        return Self(path: "\(folder.path)/outbox.db", classes: classes, time: time, boot: BootID(boot)) {
            "gaps/\($0.name)"
        }
    }
}

extension OutboxStore.Entry {
    static func test(
        _ text: String, _ name: DeliveryClass = .telemetry, time: Timestamp, token: UInt64? = nil,
        isContinued: Bool = false
    ) -> Self {
        Self(
            message: Message(topic: "t", payload: Array(text.utf8), deliveryClass: name, time: time),
            settle: token.map { SettleToken(connection: 1, publication: $0) }, isContinued: isContinued
        )
    }
}

extension OutboxStore.Claimed {
    var text: String { String(decoding: message.payload, as: UTF8.self) }
}

extension OutboxStore {
    /// Hands out all that waits, as an upstream that acknowledges everything.
    func drain() throws -> [Claimed] {
        attach()
        var all: [Claimed] = []
        while true {
            let claimed = try claim(limit: 100, byteLimit: 1 << 20)
            if claimed.isEmpty { return all }
            all += claimed
            try settle(claimed.map(\.id))
        }
    }
}
