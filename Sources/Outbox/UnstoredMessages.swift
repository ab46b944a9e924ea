internal import DequeModule
internal import Readings

/// One stream's messages that are in memory alone, in the order of their sequences: they wait for the upstream's
/// acknowledgement or for the next commit, whichever comes first.
///
/// Handed out from the front on. Bounded by ``OutboxStore``, all streams together.
struct UnstoredMessages: Sendable {
    struct Item: Sendable {
        /// Of a gap record that of the last message it speaks for.
        var sequence: Int64
        /// Of a gap record only the time.
        var message: Message
        /// The gap record that this is. Beside the item, which is copied for every message and is a record seldom.
        var record: Record?
        /// As the class counts them.
        var bytes: Int64
        /// When the outbox took it; of what can wait to be stored, later.
        var taken: Instant
        var receipt: Receipt
        /// Acknowledged upstream; it goes when those before it have gone.
        var isSettled = false

        var gap: Gap? { record?.gap }
        /// The first sequence that is used up by it.
        var first: Int64 { record?.gap.first ?? sequence }
        /// Whose acknowledgements wait for it.
        var receipts: [Receipt] { [receipt] + (record?.receipts ?? []) }
    }

    final class Record: Sendable {
        let gap: Gap
        /// Of the messages that it speaks for, besides the item's own.
        let receipts: [Receipt]

        init(_ gap: Gap, receipts: [Receipt] = []) {
            self.gap = gap
            self.receipts = receipts
        }
    }

    private var items: Deque<Item> = []
    /// `items[..<handedOut]` are on their way or settled.
    private var handedOut = 0
    /// Not settled.
    private(set) var count = 0
    /// Of those, in bytes as the class counts them.
    private(set) var bytes: Int64 = 0
    /// Of those, not handed out.
    private(set) var waiting = 0

    /// When the oldest one was taken.
    var oldest: Instant? { items.first?.taken }
    var first: Item? { items.first }

    mutating func append(_ item: Item) {
        // In the order of their times: what waits longer is stored with what comes behind it.
        var place = items.count
        while place > 0, items[place - 1].taken > item.taken {
            place -= 1
            items[place].taken = item.taken
        }
        items.append(item)
        count += 1
        bytes += item.bytes
        waiting += 1
    }

    /// The next one to hand out.
    mutating func peek() -> Item? {
        while handedOut < items.count, items[handedOut].isSettled { handedOut += 1 }
        return handedOut < items.count ? items[handedOut] : nil
    }

    /// What ``peek()`` showed is on its way.
    mutating func take() {
        handedOut += 1
        waiting -= 1
    }

    /// Nothing is on its way any more: everything that is not settled is handed out again.
    mutating func release() {
        handedOut = 0
        waiting = count
    }

    /// - Returns: what it was; `nil` when it is not here or was settled before.
    mutating func settle(_ sequence: Int64) -> Item? {
        guard let place = place(of: sequence), !items[place].isSettled else { return nil }
        let item = items[place]
        items[place].isSettled = true
        count -= 1
        bytes -= item.bytes
        while let first = items.first, first.isSettled {
            items.removeFirst()
            handedOut = max(0, handedOut - 1)
        }
        return item
    }

    /// What is at `sequence`; `nil` when it is not here or settled.
    func item(at sequence: Int64) -> Item? {
        place(of: sequence).map { items[$0] }.flatMap { $0.isSettled ? nil : $0 }
    }

    /// Puts a gap record in the place of a message that is here. Whose acknowledgement waited for that waits for this.
    mutating func replace(_ sequence: Int64, with gap: Gap, bytes: Int64) {
        guard let place = place(of: sequence) else { return }
        self.bytes += bytes - items[place].bytes
        items[place].message = Message(
            topic: "", payload: [], deliveryClass: items[place].message.deliveryClass, time: items[place].message.time)
        items[place].record = Record(gap)
        items[place].bytes = bytes
    }

    /// Makes the gap record at the end speak for what follows it, too, unless it is on its way.
    /// - Parameter isTogether: whether one record may speak for the last of the old sequences and the new ones.
    /// - Returns: whether it does now.
    mutating func extendLast(
        by gap: Gap, time: Timestamp, receipts: [Receipt], taken: Instant, isTogether: (Int64) -> Bool
    ) -> Bool {
        let last = items.count - 1
        guard last >= handedOut, let record = items[last].record, record.gap.last + 1 == gap.first,
            isTogether(record.gap.last)
        else { return false }
        var merged = record.gap
        merged.append(gap)
        items[last].record = Record(merged, receipts: record.receipts + receipts)
        items[last].sequence = merged.last
        items[last].message.time = time
        items[last].taken = min(items[last].taken, taken)
        return true
    }

    /// Acknowledgements come from the front nearly always.
    private func place(of sequence: Int64) -> Int? {
        guard let first = items.first, sequence >= first.sequence else { return nil }
        let guess = Int(clamping: sequence - first.sequence)
        if guess < items.count, items[guess].sequence == sequence { return guess }
        var low = 0
        var high = items.count
        while low < high {
            let middle = (low + high) / 2
            if items[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low < items.count && items[low].sequence == sequence ? low : nil
    }

    /// How many from the front on were taken at `instant` or before.
    func count(takenBy instant: Instant) -> Int {
        var count = 0
        while count < items.count, items[count].taken <= instant { count += 1 }
        return count
    }

    /// All of them, the settled ones included.
    var placeCount: Int { items.count }
    /// How many places from the front on have been handed out.
    var handedOutPlaces: Int { handedOut }

    subscript(place: Int) -> Item { items[place] }

    /// Forgets the first ones: they are stored.
    mutating func removeFirst(_ places: Int) {
        for place in 0..<places where !items[place].isSettled {
            count -= 1
            bytes -= items[place].bytes
            if place >= handedOut { waiting -= 1 }
        }
        items.removeFirst(places)
        handedOut = max(0, handedOut - places)
    }
}
