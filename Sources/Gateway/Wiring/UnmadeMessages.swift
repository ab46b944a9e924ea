import Outbox
import Readings

/// Messages that rules took and that could not be made, until the outbox is told. Pure.
///
/// The first is told at once. A device that goes on and on sending such does not cost a gap record each, which would go
/// upstream and to the flash: what comes within 10 s is told together.
struct UnmadeMessages: Sendable {
    static let interval = Duration.seconds(10)

    private var losses: [Loss] = []
    /// Nothing is told before this.
    private var due: Instant?
    private var isAwaited = false

    /// - Parameter lost: how many, by class.
    mutating func add(_ lost: [DeliveryClass: Int64], at time: Timestamp) {
        for (name, count) in lost { losses.merge(Loss(name, count: count, from: time, to: time, reason: .invalid)) }
    }

    /// What is to be told now.
    mutating func take(now: Instant) -> [Loss] {
        if let due, now < due { return [] }
        isAwaited = false
        guard !losses.isEmpty else { return [] }
        due = now + Self.interval
        return takeAll()
    }

    mutating func takeAll() -> [Loss] {
        defer { losses = [] }
        return losses
    }

    /// - Returns: when to ask again; `nil` when nothing waits, or somebody was told to ask already.
    mutating func wait(now: Instant) -> Duration? {
        guard !losses.isEmpty, !isAwaited, let due else { return nil }
        isAwaited = true
        return due - now
    }
}
