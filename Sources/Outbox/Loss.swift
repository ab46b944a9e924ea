package import Readings

/// Messages of one class that were lost before they could be offered to the outbox: it tells the upstream of them.
package struct Loss: Hashable, Sendable {
    package enum Reason: Hashable, Sendable {
        /// There was no room.
        case overflow
        /// They could not be made: a rule took them, and there is no such topic or no such number.
        case invalid
    }

    package var deliveryClass: DeliveryClass
    package var reason: Reason
    package var count: Int64
    /// When the first and the last one of them came.
    package var from: Timestamp
    package var to: Timestamp

    package init(
        _ deliveryClass: DeliveryClass, count: Int64, from: Timestamp, to: Timestamp, reason: Reason = .overflow
    ) {
        self.deliveryClass = deliveryClass
        self.reason = reason
        self.count = count
        self.from = from
        self.to = to
    }

    /// More of the same class for the same reason, later ones.
    package mutating func append(_ next: Loss) {
        count += next.count
        to = next.to
    }
}

extension [Loss] {
    /// Adds to what is there of its class and reason, so that there are no more than those.
    package mutating func merge(_ loss: Loss) {
        if let place = firstIndex(where: { $0.deliveryClass == loss.deliveryClass && $0.reason == loss.reason }) {
            self[place].append(loss)
        } else {
            append(loss)
        }
    }
}
