internal import Readings

/// How long acknowledgements are held back for messages that the gateway has not taken over yet. Pure but for the receipts:
/// time is a parameter.
struct AcknowledgementHold {
    /// A disk that takes longer than this must not keep messages from going up.
    private let patience: Duration
    /// The patience after a hold that took too long: the cause is likely to be there still.
    private static let shortPatience = Duration.milliseconds(250)

    private var receipts: [ArrivalReceipt] = []
    private var since: Instant?
    /// The last hold took too long.
    private(set) var isLate = false

    init(patience: Duration) { self.patience = patience }

    /// When the hold ends, confirmed or not; `nil` while nothing is held.
    var deadline: Instant? { since.map { $0 + (isLate ? min(patience, Self.shortPatience) : patience) } }

    mutating func add(_ receipt: ArrivalReceipt, now: Instant) {
        receipts.append(receipt)
        since = since ?? now
    }

    enum Outcome: Hashable, Sendable {
        case holding
        /// Everything is confirmed, or nothing was held.
        case confirmed
        /// The gateway has taken too long. `isNew`: the hold before this one did not.
        case late(isNew: Bool)
    }

    mutating func check(now: Instant) -> Outcome {
        receipts.removeAll { $0.isConfirmed }
        guard let deadline else { return .confirmed }
        if receipts.isEmpty {
            (since, isLate) = (nil, false)
            return .confirmed
        }
        guard now >= deadline else { return .holding }
        defer { (receipts, since, isLate) = ([], nil, true) }
        return .late(isNew: !isLate)
    }

    /// The connection is gone: the broker delivers again what it has no acknowledgement for.
    mutating func forget() { (receipts, since) = ([], nil) }
}
