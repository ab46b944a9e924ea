internal import Readings

/// Whose acknowledgement waits for a message to be safe.
enum Receipt: Hashable, Sendable {
    /// Nobody's: QoS 0, a sensor.
    case none
    /// The whole arrival became this one message.
    case whole(SettleToken)
    /// One of several messages of an arrival: its key in ``Receipts``.
    case part(UInt64)
}

/// The arrivals that became several messages: their token is due when the last of those is safe, whichever way each
/// of them goes. Bounded by what is in memory.
struct Receipts: Sendable {
    private struct Arrival {
        var token: SettleToken
        var owed: Int
    }

    private var arrivals: [UInt64: Arrival] = [:]
    private var next: UInt64 = 0

    /// Tokens that are due and not told yet.
    private(set) var settled: [SettleToken] = []
    private(set) var rejected: [SettleToken] = []

    /// A receipt for each of the `count` messages of one arrival that were kept.
    mutating func open(_ token: SettleToken?, count: Int) -> Receipt {
        guard let token, count > 0 else { return .none }
        if count == 1 { return .whole(token) }
        next += 1
        arrivals[next] = Arrival(token: token, owed: count)
        return .part(next)
    }

    /// One of the messages is acknowledged upstream or committed.
    mutating func isSafe(_ receipt: Receipt) {
        switch receipt {
        case .none: return
        case .whole(let token): settled.append(token)
        case .part(let key):
            guard var arrival = arrivals[key] else { return }
            arrival.owed -= 1
            if arrival.owed == 0 {
                arrivals[key] = nil
                settled.append(arrival.token)
            } else {
                arrivals[key] = arrival
            }
        }
    }

    /// A message of the arrival is refused: it must never be acknowledged as kept.
    mutating func refuse(_ receipt: Receipt, _ token: SettleToken?) {
        if case .part(let key) = receipt { arrivals[key] = nil }
        if let token { rejected.append(token) }
    }

    /// What is due, once.
    mutating func take() -> (settled: [SettleToken], rejected: [SettleToken]) {
        defer {
            settled = []
            rejected = []
        }
        return (settled, rejected)
    }
}
