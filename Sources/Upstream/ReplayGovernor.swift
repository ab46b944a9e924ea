internal import Readings

/// How fast a backlog goes upstream: a token bucket whose rate follows what the upstream can take. Pure: time is a
/// parameter.
///
/// It begins modestly, doubles while acknowledgements come as fast as they can, and gives way when they take much
/// longer than the fastest of this connection: a fleet that comes back after an outage must not drown its broker, and one
/// gateway that is alone should not crawl. What is new and need not wait behind the backlog is not held back.
struct ReplayGovernor: Sendable {
    /// What the settings allow at most; `nil` for as much as the upstream takes.
    struct Limits: Hashable, Sendable {
        var messagesPerSecond: Double?
        var bytesPerSecond: Double?
    }

    /// Messages per second that the bucket begins with.
    static let firstRate = 20_000.0
    /// It never gives way further than this.
    static let leastRate = 20.0
    /// How often the rate is looked at.
    static let interval = Duration.milliseconds(20)
    /// Beyond the fastest acknowledgement, this much is the line's own business.
    static let tolerance = 0.1
    /// So much of a second's worth may go at once.
    private static let burst = 0.05
    /// A rate like this is none: the window alone counts.
    private static let unlimited = 1e6

    private let limits: Limits
    /// Messages per second that are let through at present.
    private(set) var rate: Double
    private var tokens: Double
    private var byteTokens: Double
    private var refilled: Instant
    private var looked: Instant
    /// Acknowledgement times in seconds: the fastest of this connection, and the present ones smoothed.
    private var fastest: Double?
    private var present: Double?
    /// Since the last look: whether the bucket was empty, and what was acknowledged.
    private var wasEmpty = false
    private var acknowledged = 0

    init(_ limits: Limits, now: Instant) {
        self.limits = limits
        rate = min(Self.firstRate, limits.messagesPerSecond ?? .infinity)
        tokens = 1
        byteTokens = 1
        refilled = now
        looked = now
        refill(.seconds(1))
    }

    /// Messages and bytes of the backlog that may go now.
    mutating func allowance(now: Instant) -> (messages: Int, bytes: Int) {
        look(now)
        refill(now - refilled)
        refilled = now
        let messages = Int(tokens)
        // A message that is larger than the bucket goes when that is full.
        let bytes = byteTokens <= 0 ? 0 : Int(min(byteTokens, 1e15))
        if messages == 0 || bytes == 0 { wasEmpty = true }
        return (bytes == 0 ? 0 : messages, bytes)
    }

    /// When there is something worth a turn again, after ``allowance(now:)`` gave nothing.
    var wait: Duration {
        var seconds = max(0, max(1, bucket / 4) - tokens) / rate
        if let limit = limits.bytesPerSecond, byteTokens <= 0 { seconds = max(seconds, (1 - byteTokens) / limit) }
        return .milliseconds(Int64((min(seconds, 60) * 1_000).rounded(.up)))
    }

    /// So many tokens the bucket holds.
    private var bucket: Double { max(1, rate * Self.burst) }

    /// So much of the backlog is on its way now.
    mutating func sent(messages: Int, bytes: Int) {
        tokens -= Double(messages)
        byteTokens -= Double(bytes)
        if tokens < 1 { wasEmpty = true }
    }

    /// - Parameter latency: how long the newest of them took.
    mutating func acknowledged(_ count: Int, latency: Duration, now: Instant) {
        let seconds = max(0, Double(latency.wholeNanoseconds) / 1e9)
        fastest = min(fastest ?? seconds, seconds)
        present = present.map { $0 * 0.8 + seconds * 0.2 } ?? seconds
        acknowledged += count
        look(now)
    }

    private mutating func look(_ now: Instant) {
        let passed = now - looked
        guard passed >= Self.interval else { return }
        let highest = limits.messagesPerSecond ?? Self.unlimited
        if let present, let fastest, present > max(3 * fastest, fastest + Self.tolerance) {
            let real = Double(acknowledged) / (Double(passed.wholeNanoseconds) / 1e9)
            rate = max(Self.leastRate, min(rate, max(real, rate / 2)) * 0.8)
        } else if wasEmpty, acknowledged > 0 {
            rate *= 2
        }
        rate = min(rate, highest)
        wasEmpty = false
        acknowledged = 0
        looked = now
    }

    private mutating func refill(_ passed: Duration) {
        let seconds = max(0, Double(passed.wholeNanoseconds) / 1e9)
        tokens = min(tokens + seconds * rate, bucket)
        byteTokens =
            limits.bytesPerSecond.map { min(byteTokens + seconds * $0, max(1, $0 * Self.burst)) } ?? .infinity
    }
}
