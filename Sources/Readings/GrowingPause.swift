/// The pause before what failed is tried again: doubles with every failure, up to a limit. A value; pure.
package struct GrowingPause: Hashable, Sendable {
    /// For a disk that takes nothing: a full one tells nobody when it has room again.
    package static let disk = Duration.milliseconds(100)...Duration.seconds(10)

    private let limits: ClosedRange<Duration>
    private var failures = 0

    /// - Parameter limits: the first pause, and the longest.
    package init(_ limits: ClosedRange<Duration>) { self.limits = limits }

    /// It failed once more: the pause before the next try.
    package mutating func next() -> Duration {
        defer { failures += 1 }
        return Self.length(after: failures, limits)
    }

    /// The pause after one failure that followed `failures` others.
    package static func length(after failures: Int, _ limits: ClosedRange<Duration>) -> Duration {
        var length = limits.lowerBound
        for _ in 0..<min(failures, 63) where length < limits.upperBound {
            length = length > limits.upperBound / 2 ? limits.upperBound : length * 2
        }
        return length
    }
}
