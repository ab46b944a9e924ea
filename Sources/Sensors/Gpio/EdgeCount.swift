package import Readings

/// A counter's total and rate from the kernel's numbers of edges. A value.
package struct EdgeCount: Sendable {
    /// Edges since the counter was last reset.
    package private(set) var total: UInt64
    private var sequence: UInt32 = 0
    private var last: (total: UInt64, at: Instant)?

    package init(total: UInt64) { self.total = total }

    /// The kernel's number of the last edge, which wraps around after four thousand million; returns how many are new.
    @discardableResult
    package mutating func advance(to sequence: UInt32) -> UInt32 {
        let new = sequence &- self.sequence
        self.sequence = sequence
        total &+= UInt64(new)
        return new
    }

    /// The counter is set to `total`.
    package mutating func reset(to total: UInt64) {
        self.total = total
        last = nil
    }

    /// Edges per second since the last call; `nil` the first time.
    package mutating func rate(now: Instant) -> Double? {
        defer { last = (total, now) }
        guard let last, total >= last.total else { return nil }
        let seconds = Double((now - last.at).wholeNanoseconds) / 1e9
        return seconds > 0 ? Double(total - last.total) / seconds : nil
    }
}
