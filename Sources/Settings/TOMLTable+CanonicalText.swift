extension TOMLTable {
    /// The table's values as one text: the same for two tables exactly when they say the same, whatever their order,
    /// their comments and their places. For comparing, not for reading back.
    /// - Parameter keys: the keys that count; `nil` for all.
    package func canonicalText(of keys: Set<String>? = nil) -> String {
        let parts = entries.filter { keys?.contains($0.key) ?? true }.sorted { $0.key < $1.key }.map { entry in
            "\(Self.quoted(entry.key))=\(Self.text(entry.node.value))"
        }
        return "{\(parts.joined(separator: ","))}"
    }

    /// Recursion is bounded by the parser's own bound on nesting.
    private static func text(_ value: TOMLValue) -> String {
        switch value {
        case .string(let text): quoted(text)
        case .integer(let number): "\(number)"
        case .float(let number): "\(number)f"
        case .boolean(let boolean): "\(boolean)"
        case .datetime(let text): "@\(text)"
        case .array(let nodes): "[\(nodes.map { Self.text($0.value) }.joined(separator: ","))]"
        case .table(let table): table.canonicalText()
        }
    }

    private static func quoted(_ text: String) -> String { String(reflecting: text) }
}
