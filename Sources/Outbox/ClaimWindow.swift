/// Messages of one stream that are on their way upstream: handed out and not settled yet, in order.
///
/// Its size is the upstream's in-flight window. Messages are mostly settled from the front.
struct ClaimWindow: Sendable {
    struct Item: Sendable {
        let id: MessageID
        /// Bytes as the class counts them.
        var bytes: Int64
        var isSettled = false
    }

    /// Ascending; `items[..<head]` are gone.
    private var items: [Item] = []
    private var head = 0
    /// Handed out and not settled.
    private(set) var count = 0

    /// The first one that is not settled.
    var first: Item? { head < items.count ? items[head] : nil }

    mutating func append(_ id: MessageID, bytes: Int64) {
        items.append(Item(id: id, bytes: bytes))
        count += 1
    }

    func contains(_ id: MessageID) -> Bool { place(of: id) != nil }

    /// It has another size now.
    mutating func resize(_ id: MessageID, bytes: Int64) {
        if let place = place(of: id) { items[place].bytes = bytes }
    }

    /// - Returns: its bytes, and whether everything before it is settled as well; `nil` when it is not here.
    mutating func settle(_ id: MessageID) -> (bytes: Int64, isFirst: Bool)? {
        guard let place = place(of: id) else { return nil }
        let bytes = items[place].bytes
        let isFirst = place == head
        items[place].isSettled = true
        count -= 1
        while head < items.count, items[head].isSettled { head += 1 }
        if head == items.count {
            items.removeAll(keepingCapacity: items.capacity <= 4096)
            head = 0
        } else if head > 1024, head > items.count / 2 {
            items.removeFirst(head)
            head = 0
        }
        return (bytes, isFirst)
    }

    /// Takes out, in order, those up to `id`.
    mutating func removeAll(through id: MessageID) -> [Item] {
        var taken: [Item] = []
        while let first, first.id <= id {
            taken.append(first)
            _ = settle(first.id)
        }
        return taken
    }

    mutating func removeAll() { self = ClaimWindow() }

    /// Where it waits. Acknowledgements come in order nearly always: the front is tried before a search.
    private func place(of id: MessageID) -> Int? {
        guard head < items.count else { return nil }
        var low = head
        if items[low].id != id {
            var high = items.count
            while low < high {
                let middle = (low + high) / 2
                if items[middle].id < id { low = middle + 1 } else { high = middle }
            }
        }
        return low < items.count && items[low].id == id && !items[low].isSettled ? low : nil
    }
}
