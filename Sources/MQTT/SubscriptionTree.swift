/// Who subscribed to what, searched by topic level: the cost of a match depends on the topic's levels and on the
/// matches, not on how many subscriptions there are.
package struct SubscriptionTree<Subscriber: Hashable, Options> {
    private var trie = TopicTrie<[Subscriber: Options]>()

    /// Subscriptions in the tree.
    package private(set) var count = 0

    package init() {}

    /// Adds or replaces `subscriber`'s subscription to `filter`, a valid filter; true when it was new [MQTT-3.8.4-3].
    @discardableResult
    package mutating func insert(_ subscriber: Subscriber, filter: String, options: Options) -> Bool {
        let node = trie.insert(filter)
        let isNew = trie[node, default: [:]].updateValue(options, forKey: subscriber) == nil
        if isNew { count += 1 }
        return isNew
    }

    /// True when there was such a subscription [MQTT-3.10.4-1].
    @discardableResult
    package mutating func remove(_ subscriber: Subscriber, filter: String) -> Bool {
        guard let node = trie.find(filter), trie[node]?.removeValue(forKey: subscriber) != nil else { return false }
        count -= 1
        if trie[node]?.isEmpty == true { trie.remove(at: node) }
        return true
    }

    /// Calls `body` once per matching subscription; a subscriber with overlapping filters comes several times.
    package func forEachMatch(topic: String, _ body: (Subscriber, Options) -> Void) {
        guard count > 0 else { return }
        // A leading wildcard does not match topics that begin with `$` [MQTT-4.7.2-1].
        var mayBeWild = topic.utf8.first != UInt8(ascii: "$")
        var frontier = [TopicTrie<[Subscriber: Options]>.root]
        for level in Topic.levels(topic) {
            let level = WireText(String(level))
            var next: [Int] = []
            for node in frontier {
                let children = trie.children(of: node)
                guard !children.isEmpty else { continue }
                if mayBeWild {
                    if let multi = children[WireText("#")] { visit(multi, body) }
                    if let single = children[WireText("+")] { next.append(single) }
                }
                if let exact = children[level] { next.append(exact) }
            }
            if next.isEmpty { return }
            frontier = next
            mayBeWild = true
        }
        for node in frontier {
            visit(node, body)
            // "a/#" matches "a" itself: the parent level is included.
            if let multi = trie.children(of: node)[WireText("#")] { visit(multi, body) }
        }
    }

    private func visit(_ node: Int, _ body: (Subscriber, Options) -> Void) {
        for (subscriber, options) in trie[node] ?? [:] { body(subscriber, options) }
    }
}

extension TopicTrie {
    /// The payload at a node, made when there is none.
    fileprivate subscript(node: Int, default fallback: @autoclosure () -> Payload) -> Payload {
        get { self[node] ?? fallback() }
        _modify {
            if self[node] == nil { self[node] = fallback() }
            guard var payload = self[node].take() else { preconditionFailure("a payload was put there just now") }
            defer { self[node] = payload }
            yield &payload
        }
    }
}
