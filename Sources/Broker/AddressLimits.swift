/// What one address may take of the listener: connections at once, and new ones per second. A value without sockets or
/// clocks; times are monotonic nanoseconds.
///
/// Of IPv6 the first 64 bits count, since a peer has all addresses below them.
package struct AddressLimits: Sendable {
    package struct Configuration: Hashable, Sendable {
        package var connections = Bound(250)
        /// New connections per second; for a moment ten times as many may come, as after a power cut behind one router.
        package var rate = Bound(100)

        package init() {}
    }

    package struct Bound: Hashable, Sendable {
        package var value: Int
        /// This machine's own addresses are held to it too.
        package var holdsForLoopback: Bool

        package init(_ value: Int, holdsForLoopback: Bool = false) {
            self.value = value
            self.holdsForLoopback = holdsForLoopback
        }
    }

    package enum Verdict: Hashable, Sendable {
        case welcome
        case tooMany
        case tooFast
        /// More of them are refused already than are worth an answer.
        case notWorthAnAnswer
    }

    private struct Entry {
        var open = 0
        /// Connections that may still come, and when that was so.
        var tokens: Double
        var at: Int64
    }

    private static let burst = 10
    /// May change at any time; addresses keep what they have.
    package var configuration: Configuration
    private var entries: [String: Entry] = [:]
    private var nextSweep: Int64 = 0

    package init(_ configuration: Configuration) { self.configuration = configuration }

    /// Addresses that are remembered.
    package var count: Int { entries.count }

    /// A connection came; `closed` must follow whatever the verdict. `address` is `nil` for a Unix socket.
    package mutating func opened(_ address: String?, isLoopback: Bool, now: Int64) -> Verdict {
        guard let address else { return .welcome }
        sweep(now)
        let capacity = Double(configuration.rate.value * Self.burst)
        var entry = entries[address] ?? Entry(tokens: capacity, at: now)
        defer { entries[address] = entry }
        entry.tokens = min(
            capacity, entry.tokens + Double(now - entry.at) / 1e9 * Double(configuration.rate.value))
        entry.at = now
        entry.open += 1
        if !isLoopback || configuration.connections.holdsForLoopback {
            if entry.open > configuration.connections.value * 2 { return .notWorthAnAnswer }
            if entry.open > configuration.connections.value { return .tooMany }
        }
        if !isLoopback || configuration.rate.holdsForLoopback {
            if entry.tokens < 1 { return .tooFast }
            entry.tokens -= 1
        }
        return .welcome
    }

    package mutating func closed(_ address: String?) {
        guard let address, var entry = entries[address] else { return }
        entry.open -= 1
        entries[address] = entry
    }

    /// Forgets addresses that have nothing open and would be served as if they were new.
    private mutating func sweep(_ now: Int64) {
        guard now >= nextSweep else { return }
        nextSweep = now + 10_000_000_000
        let forgotten = Int64(Self.burst) * 1_000_000_000
        entries = entries.filter { $0.value.open > 0 || now - $0.value.at < forgotten }
    }
}
