/// How often each of many keys occurred, of which the most frequent are kept: a table of fixed size, although a peer
/// chooses the keys. A value.
///
/// Space-Saving (Metwally, Agrawal, El Abbadi, 2005): a new key in a full table takes the place of the rarest, and its
/// count. So a count is never too small, and at most `error` too large.
package struct TopCounts<Key: Hashable & Sendable>: Sendable {
    package struct Item: Sendable {
        package var key: Key
        package var count: UInt64
        /// By how much `count` may be too large.
        package var error: UInt64
    }

    private struct Entry: Sendable {
        var count: UInt64
        var error: UInt64
    }

    private let capacity: Int
    private var entries: [Key: Entry] = [:]
    /// Occurrences of all keys.
    package private(set) var total: UInt64 = 0

    /// - Parameter capacity: keys that are kept; at least 1.
    package init(capacity: Int = 64) { self.capacity = max(1, capacity) }

    /// The key occurs once more. Cost: a look-up; a look at all entries when the key is new and the table full.
    package mutating func note(_ key: Key) {
        total &+= 1
        if let index = entries.index(forKey: key) {
            entries.values[index].count &+= 1
            return
        }
        guard entries.count >= capacity, let rarest = entries.min(by: { $0.value.count < $1.value.count }) else {
            entries[key] = Entry(count: 1, error: 0)
            return
        }
        entries[rarest.key] = nil
        entries[key] = Entry(count: rarest.value.count + 1, error: rarest.value.count)
    }

    /// The most frequent keys, the first of them first.
    package func top(_ limit: Int) -> [Item] {
        let items = entries.map { Item(key: $0.key, count: $0.value.count, error: $0.value.error) }
        return Array(items.sorted { $0.count > $1.count }.prefix(limit))
    }
}
