/// Reads one table of a settings file by its declared keys.
///
/// Making one checks the whole table: unknown keys, wrong types, values out of range, required keys that are missing
/// are all told, each with its place. What is asked for afterwards is valid, or the default.
package final class TableReader {
    private let table: TOMLTable
    private let keys: [String: Key]
    private let diagnostics: Diagnostics
    private var valid: [String: TOMLValue] = [:]
    /// How the table is called in messages: `[lan]`, `[[sensor]]`.
    package let path: String

    package init(_ table: TOMLTable, keys: [Key], path: String, diagnostics: Diagnostics) {
        self.table = table
        self.keys = Dictionary(keys.map { ($0.name, $0) }) { first, _ in first }
        self.path = path
        self.diagnostics = diagnostics
        for entry in table.entries {
            guard let key = self.keys[entry.key] else {
                let hint = diagnostics.isFull ? "" : NearestName.hint(entry.key, among: keys.map(\.name))
                diagnostics.error(
                    "unknown key \(TOMLText.excerpt(entry.key)) in \(path)\(hint)", at: entry.keyPosition)
                continue
            }
            if let complaint = key.complaint(about: entry.node) {
                diagnostics.error(complaint.message, at: complaint.position)
            } else {
                valid[entry.key] = entry.node.value
            }
        }
        // What could not be read has been told; that it is missing would be untrue.
        for key in keys where key.isRequired && !has(key.name) && !table.isIncomplete {
            diagnostics.error(
                "\(path) needs the key \"\(key.name)\"" + (key.example.map { ", as in \(key.name) = \($0)" } ?? ""),
                at: table.position)
        }
    }

    /// The value, else the default, else `nil`; `nil` or the default too when what is written is not valid.
    private func value(_ name: String) -> TOMLValue? {
        guard let key = keys[name] else { preconditionFailure("\(path) declares no key \"\(name)\"") }
        return valid[name] ?? key.fallback
    }

    package func string(_ name: String) -> String? {
        if case .string(let text) = value(name) { text } else { nil }
    }

    /// A lone string counts as an array of one.
    package func strings(_ name: String) -> [String]? {
        switch value(name) {
        case .string(let text): [text]
        case .array(let nodes):
            nodes.compactMap { node in
                if case .string(let text) = node.value { text } else { nil }
            }
        default: nil
        }
    }

    /// The places of each of `strings`.
    package func positions(_ name: String) -> [SourcePosition] {
        guard let node = table[name] else { return [] }
        if case .array(let nodes) = node.value { return nodes.map(\.position) }
        return [node.position]
    }

    package func integer(_ name: String) -> Int64? {
        if case .integer(let number) = value(name) { number } else { nil }
    }

    package func number(_ name: String) -> Double? {
        switch value(name) {
        case .integer(let number): Double(number)
        case .float(let number): number
        default: nil
        }
    }

    package func boolean(_ name: String) -> Bool? {
        if case .boolean(let boolean) = value(name) { boolean } else { nil }
    }

    package func duration(_ name: String) -> Duration? { string(name).flatMap { Quantity.duration($0) } }

    /// In bytes.
    package func byteSize(_ name: String) -> Int64? { string(name).flatMap { Quantity.byteSize($0) } }

    package func choice(_ name: String) -> String? { string(name) }

    /// True when the file sets it, valid or not.
    package func has(_ name: String) -> Bool { table[name] != nil || table.unreadablePosition(name) != nil }

    /// Whether a value of the table could not be read at all, which has been told.
    package var hasUnreadable: Bool { table.hasUnreadable }

    /// Where the value stands, or the table when it is not set.
    package func position(_ name: String) -> SourcePosition {
        table[name]?.position ?? table.unreadablePosition(name) ?? table.position
    }

    /// Where the key itself stands, or the table when it is not set.
    package func keyPosition(_ name: String) -> SourcePosition {
        table.entry(name)?.keyPosition ?? table.unreadablePosition(name) ?? table.position
    }

    /// Where the table begins.
    package var position: SourcePosition { table.position }

    /// A mistake between keys, at the place of `name`'s value.
    package func error(_ message: String, at name: String? = nil) {
        diagnostics.error(message, at: name.map(position(_:)) ?? table.position)
    }

    /// Something worth a second look, at the place of `name`'s value.
    package func warning(_ message: String, at name: String? = nil) {
        diagnostics.warning(message, at: name.map(position(_:)) ?? table.position)
    }
}
