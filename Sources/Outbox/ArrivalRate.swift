internal import Glibc
internal import Readings

/// How much one class takes in, or gives, per second, averaged over some time, the newest counting most. Pure: time is
/// a parameter.
///
/// A sum that decays exponentially, divided by what a steady rate of one per second would have made of it.
struct ArrivalRate: Hashable, Sendable {
    /// In seconds: a rate that ended this long ago counts for 37 %.
    private let span: Double
    /// What comes is gathered for so long before the sums decay: an append costs no exponential.
    private static let step = Duration.seconds(1)

    /// Per second.
    struct Value: Hashable, Sendable {
        var messages = 0.0
        var bytes = 0.0
    }

    private var sum = Value()
    private var recent = Value()
    private var began: Instant?
    private var folded = Instant(nanoseconds: 0)

    /// - Parameter span: five minutes are long enough for sensors that measure every few minutes.
    init(span: Double = 300) { self.span = span }

    mutating func took(_ bytes: Int64, now: Instant) {
        if began == nil { (began, folded) = (now, now) }
        if now - folded >= Self.step { fold(now) }
        recent.messages += 1
        recent.bytes += Double(bytes)
    }

    private mutating func fold(_ now: Instant) {
        let kept = exp(-Self.seconds(now - folded) / span)
        sum = Value(
            messages: (sum.messages + recent.messages) * kept, bytes: (sum.bytes + recent.bytes) * kept)
        recent = Value()
        folded = now
    }

    /// - Returns: zero before the first message.
    func value(now: Instant) -> Value {
        guard let began else { return Value() }
        var copy = self
        copy.fold(now)
        // The first second of a burst says no more than that second.
        let age = max(1, Self.seconds(now - began))
        let weight = span * (1 - exp(-age / span))
        return Value(messages: copy.sum.messages / weight, bytes: copy.sum.bytes / weight)
    }

    private static func seconds(_ duration: Duration) -> Double { Double(duration.wholeNanoseconds) / 1e9 }
}
