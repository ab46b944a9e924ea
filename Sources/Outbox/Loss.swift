package import Readings

/// Messages of one class that were lost before they could be offered to the outbox: it tells the upstream of them.
package struct Loss: Hashable, Sendable {
    package var deliveryClass: DeliveryClass
    package var count: Int64
    /// When the first and the last one of them came.
    package var from: Timestamp
    package var to: Timestamp

    package init(_ deliveryClass: DeliveryClass, count: Int64, from: Timestamp, to: Timestamp) {
        self.deliveryClass = deliveryClass
        self.count = count
        self.from = from
        self.to = to
    }

    /// More of the same class, later ones.
    package mutating func append(_ next: Loss) {
        count += next.count
        to = next.to
    }
}
