/// A table while its file is read, with how it came to be: that decides what may still be added to it
/// (toml.io/en/v1.0.0#table).
final class TOMLTree {
    /// One part of a dotted key.
    struct Name {
        var text: String
        var position: SourcePosition
    }

    enum Kind {
        /// Made on the way to a deeper header; may be defined later, once.
        case implicit
        /// By `[header]`, or the document itself.
        case header
        /// By a dotted key.
        case dotted
    }

    /// The tables of `[[header]]`s; by reference, so that adding one more copies nothing.
    final class List {
        var trees: [TOMLTree] = []
    }

    enum Child {
        case value(TOMLNode)
        case tree(TOMLTree)
        case trees(List)
        /// Its value could not be read, which has been told.
        case unreadable
    }

    var position: SourcePosition
    var kind: Kind
    /// How many tables it stands in.
    let depth: Int
    var isIncomplete = false
    var unreadableHeaders: [SourcePosition] = []
    var order: [String] = []
    var children: [String: (keyPosition: SourcePosition, child: Child)] = [:]

    init(position: SourcePosition, kind: Kind, depth: Int) {
        self.position = position
        self.kind = kind
        self.depth = depth
    }

    func set(_ key: Name, _ child: Child) {
        if children[key.text] == nil { order.append(key.text) }
        children[key.text] = (key.position, child)
    }

    /// Recurses as deep as tables nest, which the parser bounds.
    var table: TOMLTable {
        var table = TOMLTable(position: position)
        table.isIncomplete = isIncomplete
        table.unreadableHeaders = unreadableHeaders
        for key in order {
            guard let (keyPosition, child) = children[key] else { continue }
            let node =
                switch child {
                case .value(let node): node
                case .tree(let tree): TOMLNode(value: .table(tree.table), position: tree.position)
                case .trees(let list):
                    TOMLNode(
                        value: .array(list.trees.map { TOMLNode(value: .table($0.table), position: $0.position) }),
                        position: list.trees.first?.position ?? position)
                case .unreadable: nil as TOMLNode?
                }
            if let node {
                table.set(key, at: keyPosition, to: node)
            } else {
                table.setUnreadable(key, at: keyPosition)
            }
        }
        return table
    }
}
