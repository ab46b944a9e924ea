internal import DequeModule
internal import Readings

/// One stream's messages that are in memory alone, in the order of their sequences: they wait for the upstream's
/// acknowledgement or for the next commit, whichever comes first.
///
/// Handed out from the front on. Bounded by ``OutboxStore``, all streams together.
struct UnstoredMessages: Sendable {
    struct Item: Sendable {
        let sequence: Int64
        var message: Message
        /// What the file holds instead of `message`, which then is a gap record as it goes upstream.
        var gap: Gap?
        /// As the class counts them.
        var bytes: Int64
        /// When the outbox took it.
        let taken: Instant
        var receipt: Receipt
        /// Acknowledged upstream; it goes when those before it have gone.
        var isSettled = false
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

    /// - Returns: whose acknowledgement waited for it; `nil` when it is not here or was settled before.
    mutating func settle(_ sequence: Int64) -> Receipt? {
        guard let place = place(of: sequence), !items[place].isSettled else { return nil }
        let item = items[place]
        items[place].isSettled = true
        count -= 1
        bytes -= item.bytes
        while let first = items.first, first.isSettled {
            items.removeFirst()
            handedOut = max(0, handedOut - 1)
        }
        return item.receipt
    }

    /// What is at `sequence`; `nil` when it is not here or settled.
    func item(at sequence: Int64) -> Item? {
        place(of: sequence).map { items[$0] }.flatMap { $0.isSettled ? nil : $0 }
    }

    /// Puts a gap record in the place of a message that is here.
    /// - Parameter receipt: whose acknowledgement waits for it; `nil`: as before.
    /// - Returns: what is there now; `nil` when there was none.
    @discardableResult
    mutating func replace(
        _ sequence: Int64, with gap: Gap, as message: Message, bytes: Int64, receipt: Receipt? = nil
    ) -> Item? {
        guard let place = place(of: sequence) else { return nil }
        self.bytes += bytes - items[place].bytes
        items[place].message = message
        items[place].gap = gap
        items[place].bytes = bytes
        if let receipt { items[place].receipt = receipt }
        return items[place]
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
