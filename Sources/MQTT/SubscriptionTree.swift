/// Who subscribed to what, searched by topic level: the cost of a match depends on the topic's levels and on the
/// matches, not on how many subscriptions there are.
///
/// Nodes live in one array and name each other by number, so that deep filters cost no recursion to free.
package struct SubscriptionTree<Subscriber: Hashable & Sendable, Options: Sendable>: Sendable {
    private struct Node: Sendable {
        var children: [String: Int] = [:]
        var subscribers: [Subscriber: Options] = [:]
        var parent: Int
        var level: String

        var isEmpty: Bool { children.isEmpty && subscribers.isEmpty }
    }

    private var nodes: [Node] = [Node(parent: -1, level: "")]
    private var free: [Int] = []

    /// Subscriptions in the tree.
    package private(set) var count = 0

    package init() {}

    /// Adds or replaces `subscriber`'s subscription to `filter`, a valid filter; true when it was new [MQTT-3.8.4-3].
    @discardableResult
    package mutating func insert(_ subscriber: Subscriber, filter: String, options: Options) -> Bool {
        var node = 0
        for level in Topic.levels(filter) {
            let level = String(level)
            if let next = nodes[node].children[level] {
                node = next
            } else {
                let new = Node(parent: node, level: level)
                let index: Int
                if let reused = free.popLast() {
                    nodes[reused] = new
                    index = reused
                } else {
                    nodes.append(new)
                    index = nodes.count - 1
                }
                nodes[node].children[level] = index
                node = index
            }
        }
        let isNew = nodes[node].subscribers.updateValue(options, forKey: subscriber) == nil
        if isNew { count += 1 }
        return isNew
    }

    /// True when there was such a subscription [MQTT-3.10.4-1].
    @discardableResult
    package mutating func remove(_ subscriber: Subscriber, filter: String) -> Bool {
        var node = 0
        for level in Topic.levels(filter) {
            guard let next = nodes[node].children[String(level)] else { return false }
            node = next
        }
        guard nodes[node].subscribers.removeValue(forKey: subscriber) != nil else { return false }
        count -= 1
        while node != 0, nodes[node].isEmpty {
            let parent = nodes[node].parent
            nodes[parent].children[nodes[node].level] = nil
            nodes[node] = Node(parent: -1, level: "")
            free.append(node)
            node = parent
        }
        return true
    }

    /// Calls `body` once per matching subscription; a subscriber with overlapping filters comes several times.
    package func forEachMatch(topic: String, _ body: (Subscriber, Options) -> Void) {
        guard count > 0 else { return }
        // A leading wildcard does not match topics that begin with `$` [MQTT-4.7.2-1].
        let mayBeWild = topic.utf8.first != UInt8(ascii: "$")
        var frontier = [0]
        var isFirst = true
        for level in Topic.levels(topic) {
            let level = String(level)
            var next: [Int] = []
            for node in frontier {
                let children = nodes[node].children
                guard !children.isEmpty else { continue }
                if mayBeWild || !isFirst {
                    if let multi = children["#"] { visit(multi, body) }
                    if let single = children["+"] { next.append(single) }
                }
                if let exact = children[level] { next.append(exact) }
            }
            if next.isEmpty { return }
            frontier = next
            isFirst = false
        }
        for node in frontier {
            visit(node, body)
            // "a/#" matches "a" itself: the parent level is included.
            if let multi = nodes[node].children["#"] { visit(multi, body) }
        }
    }

    private func visit(_ node: Int, _ body: (Subscriber, Options) -> Void) {
        for (subscriber, options) in nodes[node].subscribers { body(subscriber, options) }
    }
}
