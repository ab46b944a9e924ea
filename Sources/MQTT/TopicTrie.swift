/// A tree of topic levels, with a payload where a topic or filter ends: what the subscription tree and the retained
/// messages' index are made of.
///
/// Nodes live in one array and name each other by number, so that deep topics cost no recursion, neither to search nor
/// to free. A node that is neither a payload's nor on the way to one does not stay.
struct TopicTrie<Payload> {
    private struct Node {
        var children: [WireText: Int] = [:]
        var payload: Payload?
        var parent: Int
        var level: WireText
    }

    /// The root, which stands for no level.
    static var root: Int { 0 }

    private var nodes: [Node] = [Node(parent: -1, level: WireText(""))]
    private var free: [Int] = []

    /// The payload at a node.
    subscript(node: Int) -> Payload? {
        get { nodes[node].payload }
        _modify { yield &nodes[node].payload }
    }

    /// The levels below a node.
    func children(of node: Int) -> [WireText: Int] { nodes[node].children }

    /// The node where `topic` ends; `nil` when there is none.
    func find(_ topic: String) -> Int? {
        var node = Self.root
        for level in Topic.levels(topic) {
            guard let next = nodes[node].children[WireText(String(level))] else { return nil }
            node = next
        }
        return node
    }

    /// The node where `topic` ends, made when there is none. A payload is to be set there.
    mutating func insert(_ topic: String) -> Int {
        var node = Self.root
        for level in Topic.levels(topic) {
            let level = WireText(String(level))
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
        return node
    }

    /// Takes the payload off a node; the node goes, and with it those above that led nowhere else.
    mutating func remove(at end: Int) {
        nodes[end].payload = nil
        var node = end
        while node != Self.root, nodes[node].children.isEmpty, nodes[node].payload == nil {
            let parent = nodes[node].parent
            nodes[parent].children[nodes[node].level] = nil
            nodes[node] = Node(parent: -1, level: WireText(""))
            free.append(node)
            node = parent
        }
    }
}
