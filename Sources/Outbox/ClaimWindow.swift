/// The messages of one stream that are on their way upstream: handed out and not settled yet, in order.
///
/// Its size is the upstream's in-flight window. Messages are mostly settled from the front.
struct ClaimWindow: Sendable {
    struct Item: Sendable {
        let id: MessageID
        /// Bytes as the class counts them.
        let bytes: Int64
        var isSettled = false
    }

    /// Ascending; `items[..<head]` are gone.
    private var items: [Item] = []
    private var head = 0
    /// Handed out and not settled.
    private(set) var count = 0

    mutating func append(_ id: MessageID, bytes: Int64) {
        items.append(Item(id: id, bytes: bytes))
        count += 1
    }

    /// Places in the window, ascending and without duplicates, of those of `ids` that are waiting in it.
    func places(of ids: [MessageID]) -> [Int] {
        var places: [Int] = []
        places.reserveCapacity(ids.count)
        var guess = head
        var isSorted = true
        for id in ids {
            // Acknowledgements come in order nearly always: the next place is tried before a search.
            var place = guess
            if !(place < items.count && items[place].id == id) {
                guard let found = search(id) else { continue }
                place = found
            }
            guess = place + 1
            guard !items[place].isSettled else { continue }
            if let last = places.last, last >= place { isSorted = false }
            places.append(place)
        }
        if !isSorted {
            places.sort()
            var previous = -1
            places.removeAll { place in
                defer { previous = place }
                return place == previous
            }
        }
        return places
    }

    subscript(place: Int) -> Item { items[place] }

    /// Whether nothing between two places is still waiting, so that one range covers both.
    func isContiguous(_ a: Int, _ b: Int) -> Bool {
        var place = a + 1
        while place < b {
            guard items[place].isSettled else { return false }
            place += 1
        }
        return true
    }

    mutating func settle(_ places: [Int]) {
        for place in places {
            items[place].isSettled = true
            count -= 1
        }
        while head < items.count, items[head].isSettled { head += 1 }
        if head == items.count {
            items.removeAll(keepingCapacity: items.capacity <= 4096)
            head = 0
        } else if head > 1024, head > items.count / 2 {
            items.removeFirst(head)
            head = 0
        }
    }

    mutating func removeAll() { self = ClaimWindow() }

    private func search(_ id: MessageID) -> Int? {
        var low = head
        var high = items.count
        while low < high {
            let middle = (low + high) / 2
            if items[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < items.count && items[low].id == id ? low : nil
    }
}
