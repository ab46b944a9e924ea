/// Values by topic name, found by topic filter: the retained messages' index. A search visits only the branches that
/// the filter can reach.
package struct TopicTree<Value: Sendable>: Sendable {
    private struct Node: Sendable {
        var children: [String: Int] = [:]
        var value: Value?
        var parent: Int
        var level: String
    }

    private var nodes: [Node] = [Node(parent: -1, level: "")]
    private var free: [Int] = []

    /// Values in the tree.
    package private(set) var count = 0

    package init() {}

    /// The value of exactly this topic.
    package subscript(topic: String) -> Value? {
        var node = 0
        for level in Topic.levels(topic) {
            guard let next = nodes[node].children[String(level)] else { return nil }
            node = next
        }
        return nodes[node].value
    }

    /// Sets a topic's value; returns the one it had.
    @discardableResult
    package mutating func set(_ topic: String, to value: Value) -> Value? {
        var node = 0
        for level in Topic.levels(topic) {
            let level = String(level)
            if let next = nodes[node].children[level] {
                node = next
                continue
            }
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
        let old = nodes[node].value
        nodes[node].value = value
        if old == nil { count += 1 }
        return old
    }

    /// Removes a topic's value; returns the one it had.
    @discardableResult
    package mutating func remove(_ topic: String) -> Value? {
        var node = 0
        for level in Topic.levels(topic) {
            guard let next = nodes[node].children[String(level)] else { return nil }
            node = next
        }
        guard let old = nodes[node].value else { return nil }
        nodes[node].value = nil
        count -= 1
        while node != 0, nodes[node].children.isEmpty, nodes[node].value == nil {
            let parent = nodes[node].parent
            nodes[parent].children[nodes[node].level] = nil
            nodes[node] = Node(parent: -1, level: "")
            free.append(node)
            node = parent
        }
        return old
    }

    /// Calls `body` for the value of every topic that `filter` matches, in no particular order.
    package func forEachMatch(filter: String, _ body: (Value) -> Void) {
        guard count > 0 else { return }
        var frontier = [0]
        let levels = Topic.levels(filter)
        for (depth, level) in levels.enumerated() {
            var next: [Int] = []
            switch level {
            case "#":
                for node in frontier {
                    if depth > 0 { visit(node, body) }
                    visitBelow(node, isRoot: depth == 0, body)
                }
                return
            case "+":
                for node in frontier {
                    for (name, child) in nodes[node].children where depth > 0 || name.utf8.first != UInt8(ascii: "$") {
                        next.append(child)
                    }
                }
            default:
                let level = String(level)
                next = frontier.compactMap { nodes[$0].children[level] }
            }
            frontier = next
        }
        for node in frontier { visit(node, body) }
    }

    private func visit(_ node: Int, _ body: (Value) -> Void) {
        if let value = nodes[node].value { body(value) }
    }

    private func visitBelow(_ top: Int, isRoot: Bool, _ body: (Value) -> Void) {
        var stack: [Int] = []
        for (name, child) in nodes[top].children where !isRoot || name.utf8.first != UInt8(ascii: "$") {
            stack.append(child)
        }
        while let node = stack.popLast() {
            visit(node, body)
            stack.append(contentsOf: nodes[node].children.values)
        }
    }
}
