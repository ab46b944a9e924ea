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
        case .string(let text): "the string \(TOMLText.excerpt(text))"
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
///
/// Keys are compared as Swift compares strings: two that look the same (canonically equivalent) are the same.
package struct TOMLTable: Sendable {
    package struct Entry: Sendable {
        package var key: String
        package var keyPosition: SourcePosition
        package var node: TOMLNode
    }

    package private(set) var entries: [Entry] = []
    private var index: [String: Int] = [:]
    /// Keys that stand in the file with something that could not be read, which has been told.
    private var unreadable: [String: SourcePosition] = [:]
    /// A header could not be read: keys that are missing may be there.
    var isIncomplete = false
    /// Where those headers stand: what follows them is none of the table before.
    var unreadableHeaders: [SourcePosition] = []
    /// Where the table begins: its header, or its brace.
    package var position: SourcePosition

    package init(position: SourcePosition) { self.position = position }

    package subscript(key: String) -> TOMLNode? { index[key].map { entries[$0].node } }

    /// The entry of `key`, with the place of the key itself.
    package func entry(_ key: String) -> Entry? { index[key].map { entries[$0] } }

    /// Where `key` stands with something that could not be read; `nil` when it has a value or is not there.
    func unreadablePosition(_ key: String) -> SourcePosition? { index[key] == nil ? unreadable[key] : nil }

    /// Whether any key has no readable value.
    var hasUnreadable: Bool { !unreadable.isEmpty }

    /// Notes a key whose value could not be read.
    mutating func setUnreadable(_ key: String, at keyPosition: SourcePosition) { unreadable[key] = keyPosition }

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

    /// Where each key stands, those without a readable value included.
    var keyPositions: [(key: String, position: SourcePosition)] {
        entries.map { ($0.key, $0.keyPosition) } + unreadable.filter { index[$0.key] == nil }.map { ($0.key, $0.value) }
    }

    /// Removes a key, as if it had never been there.
    mutating func takeOut(_ key: String) {
        unreadable[key] = nil
        guard index[key] != nil else { return }
        entries.removeAll { $0.key == key }
        index = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($0.element.key, $0.offset) })
    }

    /// Gives a key that is there another value.
    mutating func replace(_ key: String, with value: TOMLValue) {
        if let place = index[key] { entries[place].node.value = value }
    }

    /// Merges a later file's table over this one: tables key by key, arrays of tables one after the other, anything
    /// else replaced. A key that is a table, or an array of tables, in one file and something else in the other is a
    /// mistake; the earlier one stays.
    package mutating func merge(_ later: TOMLTable, into diagnostics: Diagnostics) {
        isIncomplete = isIncomplete || later.isIncomplete
        unreadableHeaders += later.unreadableHeaders
        unreadable.merge(later.unreadable) { earlier, _ in earlier }
        for entry in later.entries {
            guard let place = index[entry.key] else {
                set(entry.key, at: entry.keyPosition, to: entry.node)
                continue
            }
            let existing = entries[place].node
            switch (existing.value, entry.node.value) {
            case (.table(var mine), .table(let theirs)):
                mine.merge(theirs, into: diagnostics)
                entries[place].node.value = .table(mine)
            // An empty array may be either kind.
            case (.array(let mine), .array(let theirs))
            where (mine.isEmpty || existing.value.isOfTables) && (theirs.isEmpty || entry.node.value.isOfTables):
                entries[place].node.value = .array(mine + theirs)
            case (let mine, let theirs) where mine.isStructure || theirs.isStructure:
                diagnostics.error(
                    "\(TOMLText.excerpt(entry.key)) is \(theirs.kind) here, but \(mine.kind) at \(existing.position)",
                    at: entry.node.position)
            default:
                set(entry.key, at: entry.keyPosition, to: entry.node)
            }
        }
    }
}

extension TOMLValue {
    /// An array with nothing but tables, and at least one.
    fileprivate var isOfTables: Bool {
        guard case .array(let nodes) = self else { return false }
        return !nodes.isEmpty
            && nodes.allSatisfy { node in
                if case .table = node.value { true } else { false }
            }
    }

    /// Holds settings by name, so that no other kind of value can take its place.
    fileprivate var isStructure: Bool {
        if case .table = self { true } else { isOfTables }
    }

    fileprivate var kind: String { isOfTables ? "an array of tables" : found }
}
