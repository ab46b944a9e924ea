/// A TOML value with the place it stands at.
package struct TOMLNode: Sendable {
    package var value: TOMLValue
    package var position: SourcePosition
}

/// A TOML 1.0.0 value. Dates and times are recognised and kept as written.
package enum TOMLValue: Sendable {
    case string(String)
    case integer(Int64)
    case float(Double)
    case boolean(Bool)
    case datetime(String)
    case array([TOMLNode])
    case table(TOMLTable)

    /// "the number 250", "a table": for messages that say what was found.
    package var found: String {
        switch self {
        case .string(let text): "the string \"\(text.prefix(60))\""
        case .integer(let number): "the number \(number)"
        case .float(let number): "the number \(number)"
        case .boolean(let boolean): "the boolean \(boolean)"
        case .datetime(let text): "the date \(text)"
        case .array: "an array"
        case .table: "a table"
        }
    }
}

/// A TOML table: its keys in the order written, each with its place.
package struct TOMLTable: Sendable {
    package struct Entry: Sendable {
        package var key: String
        package var keyPosition: SourcePosition
        package var node: TOMLNode
    }

    package internal(set) var entries: [Entry] = []
    private var index: [String: Int] = [:]
    /// Where the table begins: its header, or its brace.
    package var position: SourcePosition

    package init(position: SourcePosition) { self.position = position }

    package subscript(key: String) -> TOMLNode? { index[key].map { entries[$0].node } }

    /// The entry of `key`, with the place of the key itself.
    package func entry(_ key: String) -> Entry? { index[key].map { entries[$0] } }

    /// Adds an entry, or replaces the value of the one that is there.
    mutating func set(_ key: String, at keyPosition: SourcePosition, to node: TOMLNode) {
        if let existing = index[key] {
            entries[existing].node = node
            entries[existing].keyPosition = keyPosition
        } else {
            index[key] = entries.count
            entries.append(Entry(key: key, keyPosition: keyPosition, node: node))
        }
    }

    /// Merges a later file's table over this one: tables key by key, arrays of tables one after the other, anything
    /// else replaced. A key that is a table in one file and not in the other is a mistake.
    package mutating func merge(_ later: TOMLTable, into diagnostics: Diagnostics) {
        for entry in later.entries {
            guard let existing = self[entry.key] else {
                set(entry.key, at: entry.keyPosition, to: entry.node)
                continue
            }
            switch (existing.value, entry.node.value) {
            case (.table(var mine), .table(let theirs)):
                mine.merge(theirs, into: diagnostics)
                set(entry.key, at: entry.keyPosition, to: TOMLNode(value: .table(mine), position: existing.position))
            case (.array(let mine), .array(let theirs)) where Self.areTables(mine) && Self.areTables(theirs):
                set(
                    entry.key, at: entry.keyPosition,
                    to: TOMLNode(value: .array(mine + theirs), position: existing.position))
            case (.table, _), (_, .table):
                diagnostics.error(
                    "\"\(entry.key)\" is \(entry.node.value.found) here, but \(existing.value.found) at \(existing.position)",
                    at: entry.node.position)
            default:
                set(entry.key, at: entry.keyPosition, to: entry.node)
            }
        }
    }

    private static func areTables(_ nodes: [TOMLNode]) -> Bool {
        !nodes.isEmpty
            && nodes.allSatisfy { node in
                if case .table = node.value { true } else { false }
            }
    }
}
