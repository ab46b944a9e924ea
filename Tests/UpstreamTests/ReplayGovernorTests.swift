import Outbox
import Readings
import TestSupport
import Testing

@testable import Upstream

/// A broker that takes `capacity` messages per second, and lets acknowledgements wait when it gets more.
private struct SimulatedBroker {
    var capacity: Double
    var roundTrip: Duration
    private(set) var busyUntil = Instant(nanoseconds: 0)

    init(capacity: Double, roundTrip: Duration) { (self.capacity, self.roundTrip) = (capacity, roundTrip) }

    /// - Returns: how long the last of them takes.
    mutating func take(_ count: Int, now: Instant) -> Duration {
        busyUntil = max(busyUntil, now) + .nanoseconds(Int64(Double(count) / capacity * 1e9))
        return busyUntil - now + roundTrip
    }
}

@Suite struct ReplayGovernorTests {
    private static let start = Instant(nanoseconds: 5_000_000_000)

    /// Runs a backlog through the governor, a millisecond at a time.
    /// - Returns: messages sent in each second.
    private func run(
        _ governor: inout ReplayGovernor, _ broker: inout SimulatedBroker, seconds: Int, bytes: Int = 100,
        window: Int = 100
    ) -> [Int] {
        var sent = [Int](repeating: 0, count: seconds)
        var pending: [(due: Instant, count: Int, latency: Duration)] = []
        var inFlight = 0
        for millisecond in 0..<seconds * 1_000 {
            let now = Self.start + .milliseconds(millisecond)
            while let first = pending.first, first.due <= now {
                inFlight -= first.count
                governor.acknowledged(first.count, latency: first.latency, now: now)
                pending.removeFirst()
            }
            let allowance = governor.allowance(now: now)
            let count = min(
                allowance.messages, window - inFlight, allowance.bytes / bytes + (allowance.bytes % bytes > 0 ? 1 : 0))
            guard count > 0 else { continue }
            governor.sent(messages: count, bytes: count * bytes)
            let latency = broker.take(count, now: now)
            pending.append((now + latency, count, latency))
            inFlight += count
            sent[millisecond / 1_000] += count
        }
        return sent
    }

    @Test func aloneItSoonGoesAsFastAsTheWindow() {
        var governor = ReplayGovernor(.init(), now: Self.start)
        var broker = SimulatedBroker(capacity: 1e9, roundTrip: .milliseconds(2))
        let sent = run(&governor, &broker, seconds: 2)
        // Window by round trip: 50,000 a second, less the millisecond that the simulation takes for a turn.
        #expect(sent[1] > 25_000, "\(sent)")
    }

    @Test func itBeginsModestly() {
        var governor = ReplayGovernor(.init(), now: Self.start)
        #expect(governor.allowance(now: Self.start).messages <= 1_000)
        governor.sent(messages: 1_000, bytes: 1)
        #expect(governor.wait > .zero)
        #expect(governor.allowance(now: Self.start + .milliseconds(10)).messages <= 200)
    }

    @Test(arguments: [200.0, 1_000.0, 10_000.0]) func aBusyBrokerIsNotDrowned(capacity: Double) {
        var governor = ReplayGovernor(.init(), now: Self.start)
        var broker = SimulatedBroker(capacity: capacity, roundTrip: .milliseconds(20))
        let sent = run(&governor, &broker, seconds: 30)
        let end = Self.start + .seconds(30)
        // Much of what it can take, and a shorter queue in front of it than the window alone would make.
        #expect(Double(sent[10...].reduce(0, +)) > 20 * min(capacity, 5_000) * 0.6, "\(sent)")
        #expect(broker.busyUntil - end < .milliseconds(250), "\(broker.busyUntil - end)")
    }

    @Test func itNeverCrawls() {
        var governor = ReplayGovernor(.init(), now: Self.start)
        governor.acknowledged(1, latency: .milliseconds(1), now: Self.start)
        for step in 1...1_000 {
            governor.acknowledged(1, latency: .seconds(5), now: Self.start + .milliseconds(step * 100))
        }
        #expect(governor.rate == ReplayGovernor.leastRate)
    }

    @Test func whatTheSettingsAllowIsNotExceeded() {
        var governor = ReplayGovernor(.init(messagesPerSecond: 500), now: Self.start)
        var broker = SimulatedBroker(capacity: 1e9, roundTrip: .milliseconds(1))
        let messages = run(&governor, &broker, seconds: 10)
        #expect(messages.reduce(0, +) <= 5_000 + 25 && messages.reduce(0, +) > 4_500, "\(messages)")

        broker = SimulatedBroker(capacity: 1e9, roundTrip: .milliseconds(1))
        governor = ReplayGovernor(.init(bytesPerSecond: 50_000), now: Self.start)
        let bytes = run(&governor, &broker, seconds: 10, bytes: 1_000)
        #expect(bytes.reduce(0, +) <= 500 + 4 && bytes.reduce(0, +) > 450, "\(bytes)")
        // A message that is larger than the bucket goes, and is paid for afterwards.
        broker = SimulatedBroker(capacity: 1e9, roundTrip: .milliseconds(1))
        governor = ReplayGovernor(.init(bytesPerSecond: 1_000), now: Self.start)
        let large = run(&governor, &broker, seconds: 10, bytes: 3_000)
        #expect((3...4).contains(large.reduce(0, +)), "\(large)")
    }

    @Test(.enabled(if: MosquittoProcess.isInstalled)) func aBacklogKeepsToTheRateAndWhatIsNewDoesNotWait() async throws
    {
        let broker = try await MosquittoProcess()
        let observer = try await broker.subscribe("gw/#", name: "observer")
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.replayRate = 100
        let gateway = try Gateway(configuration)
        try await gateway.append(1...150)
        try await gateway.outbox.flush()
        let began = ContinuousClock.now
        try await gateway.run {
            try await eventually("some have arrived") { observer.messages.count >= 10 }
            try await gateway.append(1...1, topic: "gw/alarm", class: .alarm)
            try await eventually("the alarm has arrived") { observer.messages.contains { $0.topic == "gw/alarm" } }
            #expect(observer.messages.count < 150)
            try await gateway.drained()
        }
        // However slow the machine, it was no faster.
        #expect(ContinuousClock.now - began > .milliseconds(1_400))
    }
}
