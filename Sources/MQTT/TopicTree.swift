/// Values by topic name, found by topic filter: the retained messages' index. A search visits only the branches that
/// the filter can reach.
package struct TopicTree<Value> {
    private var trie = TopicTrie<Value>()

    /// Values in the tree.
    package private(set) var count = 0

    package init() {}

    /// The value of exactly this topic.
    package subscript(topic: String) -> Value? { trie.find(topic).flatMap { trie[$0] } }

    /// Sets a topic's value; returns the one it had.
    @discardableResult
    package mutating func set(_ topic: String, to value: Value) -> Value? {
        let node = trie.insert(topic)
        let old = trie[node]
        trie[node] = value
        if old == nil { count += 1 }
        return old
    }

    /// Removes a topic's value; returns the one it had.
    @discardableResult
    package mutating func remove(_ topic: String) -> Value? {
        guard let node = trie.find(topic), let old = trie[node] else { return nil }
        count -= 1
        trie.remove(at: node)
        return old
    }

    /// Calls `body` for every value, in no particular order.
    package func forEach(_ body: (Value) -> Void) {
        var stack = [TopicTrie<Value>.root]
        while let node = stack.popLast() {
            visit(node, body)
            stack.append(contentsOf: trie.children(of: node).values)
        }
    }

    /// Calls `body` for the value of every topic that `filter` matches, in no particular order.
    package func forEachMatch(filter: String, _ body: (Value) -> Void) {
        guard count > 0 else { return }
        var frontier = [TopicTrie<Value>.root]
        for (depth, level) in Topic.levels(filter).enumerated() {
            // A leading wildcard does not match topics that begin with `$` [MQTT-4.7.2-1].
            func isReached(_ name: WireText) -> Bool { depth > 0 || name.string.utf8.first != UInt8(ascii: "$") }
            switch level {
            case "#":
                var stack: [Int] = []
                for node in frontier {
                    if depth > 0 { visit(node, body) }
                    for (name, child) in trie.children(of: node) where isReached(name) { stack.append(child) }
                }
                while let node = stack.popLast() {
                    visit(node, body)
                    stack.append(contentsOf: trie.children(of: node).values)
                }
                return
            case "+":
                frontier = frontier.flatMap { node in
                    trie.children(of: node).filter { isReached($0.key) }.map(\.value)
                }
            default:
                let level = WireText(String(level))
                frontier = frontier.compactMap { trie.children(of: $0)[level] }
            }
        }
        for node in frontier { visit(node, body) }
    }

    private func visit(_ node: Int, _ body: (Value) -> Void) {
        if let value = trie[node] { body(value) }
    }
}
