internal import Outbox
internal import Readings

/// The messages handed to libmosquitto and not acknowledged yet, in the order of publishing. At most a window's worth.
struct InFlight: Sendable {
    struct Item: Sendable {
        let packetIdentifier: Int32
        let claimed: OutboxStore.Claimed
        let published: Instant
    }

    /// `items[..<head]` are gone; an item acknowledged out of turn is `nil` until the head passes it.
    private var items: [Item?] = []
    private var head = 0
    private(set) var count = 0

    var oldest: Item? { head < items.count ? items[head] : nil }

    mutating func append(_ item: Item) {
        items.append(item)
        count += 1
    }

    /// Takes out the message that an acknowledgement belongs to; `nil` for an unknown packet identifier. Brokers
    /// acknowledge in order, so the search nearly always ends at once.
    mutating func acknowledge(_ packetIdentifier: Int32) -> Item? {
        var position = head
        while position < items.count, items[position]?.packetIdentifier != packetIdentifier { position += 1 }
        guard position < items.count, let item = items[position] else { return nil }
        items[position] = nil
        count -= 1
        while head < items.count, items[head] == nil { head += 1 }
        if head == items.count {
            items.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 1024 {
            items.removeFirst(head)
            head = 0
        }
        return item
    }

    mutating func removeAll() {
        items.removeAll(keepingCapacity: true)
        head = 0
        count = 0
    }
}
