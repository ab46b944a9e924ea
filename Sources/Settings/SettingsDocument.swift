/// One settings file, or several merged: its tables by the declared sections.
package struct SettingsDocument: Sendable {
    package internal(set) var root: TOMLTable

    package init(_ root: TOMLTable) { self.root = root }

    /// Nothing, where something may be that cannot be read.
    package init(unknownFrom start: SourcePosition) {
        root = TOMLTable(position: start)
        root.isIncomplete = true
    }

    /// Merges a later file over this one.
    package mutating func merge(_ later: TOMLTable, into diagnostics: Diagnostics) {
        root.merge(later, into: diagnostics)
    }

    /// Tells about everything at the top of the document that no section declares.
    package func checkSections(_ sections: [Section], into diagnostics: Diagnostics) {
        let known = sections.map(\.name)
        for entry in root.entries where !known.contains(entry.key) {
            let unique = known.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
            var kind = "key"
            if case .table = entry.node.value { kind = "table" }
            if case .array = entry.node.value { kind = "array" }
            diagnostics.error(
                "unknown \(kind) \"\(entry.key)\"\(NearestName.hint(entry.key, among: unique))", at: entry.keyPosition)
        }
    }

    /// `[name]`; an empty table when it is not there.
    package func table(_ name: String, into diagnostics: Diagnostics) -> TOMLTable {
        guard let node = root[name] else {
            var none = TOMLTable(position: root.unreadablePosition(name) ?? root.position)
            none.isIncomplete = root.isIncomplete || root.unreadablePosition(name) != nil
            return none
        }
        guard case .table(let table) = node.value else {
            diagnostics.error("\"\(name)\": expected a table, [\(name)], found \(node.value.found)", at: node.position)
            var none = TOMLTable(position: node.position)
            none.isIncomplete = true
            return none
        }
        return table
    }

    /// `[name.NAME]`, in the order written.
    package func named(_ name: String, into diagnostics: Diagnostics) -> [(name: String, table: TOMLTable)] {
        table(name, into: diagnostics).entries.compactMap { entry in
            guard case .table(let table) = entry.node.value else {
                diagnostics.error(
                    "\"\(entry.key)\": expected a table, [\(name).\(entry.key)], found \(entry.node.value.found)",
                    at: entry.keyPosition)
                return nil
            }
            return (entry.key, table)
        }
    }

    /// `[[name]]`, in the order written; `nil` when there is none at all.
    package func tables(_ name: String, into diagnostics: Diagnostics) -> [TOMLTable]? {
        guard let node = root[name] else { return nil }
        guard case .array(let nodes) = node.value else {
            diagnostics.error(
                "\"\(name)\": expected an array of tables, [[\(name)]], found \(node.value.found)", at: node.position)
            return nil
        }
        return nodes.compactMap { node in
            guard case .table(let table) = node.value else {
                diagnostics.error("\"\(name)\": expected only tables, found \(node.value.found)", at: node.position)
                return nil
            }
            return table
        }
    }
}
