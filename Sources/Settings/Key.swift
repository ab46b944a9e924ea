/// One setting: its name, what it may be, what it is unless set, and what it is for. Checking a file, the sample file
/// and the error messages all come from this one declaration.
package struct Key: Sendable {
    package enum Kind: Sendable {
        case string
        /// A string, or an array of strings.
        case strings
        case integer(ClosedRange<Int64>)
        /// A finite number, with a fraction or without.
        case number
        case boolean
        case duration(ClosedRange<Duration>)
        case byteSize(ClosedRange<Int64>)
        case choice([String])
    }

    package let name: String
    package let kind: Kind
    /// The value it has unless set; `nil` when it then has none.
    let fallback: TOMLValue?
    package let isRequired: Bool
    /// A value as it would be written, for the sample file; where there is no default to show.
    package let example: String?
    /// One sentence or two.
    package let summary: String

    private init(
        _ name: String, _ kind: Kind, fallback: TOMLValue?, required: Bool, example: String?, summary: String
    ) {
        self.name = name
        self.kind = kind
        self.fallback = fallback
        isRequired = required
        self.example = example
        self.summary = summary
    }

    /// The same key, not required: for a table of which it is not known whether it needs it.
    package var optional: Key {
        Key(name, kind, fallback: fallback, required: false, example: example, summary: summary)
    }

    package static func string(
        _ name: String, default fallback: String? = nil, required: Bool = false, example: String? = nil,
        _ summary: String
    ) -> Key {
        Key(
            name, .string, fallback: fallback.map { .string($0) }, required: required, example: example,
            summary: summary)
    }

    package static func strings(
        _ name: String, default fallback: [String]? = nil, required: Bool = false, example: String? = nil,
        _ summary: String
    ) -> Key {
        let nowhere = SourcePosition(file: "", line: 0, column: 0)
        return Key(
            name, .strings,
            fallback: fallback.map { .array($0.map { TOMLNode(value: .string($0), position: nowhere) }) },
            required: required, example: example, summary: summary)
    }

    package static func integer(
        _ name: String, in range: ClosedRange<Int64>, default fallback: Int64? = nil, required: Bool = false,
        example: String? = nil, _ summary: String
    ) -> Key {
        Key(
            name, .integer(range), fallback: fallback.map { .integer($0) }, required: required, example: example,
            summary: summary)
    }

    package static func number(
        _ name: String, default fallback: Double? = nil, required: Bool = false, example: String? = nil,
        _ summary: String
    ) -> Key {
        Key(
            name, .number, fallback: fallback.map { .float($0) }, required: required, example: example, summary: summary
        )
    }

    package static func boolean(
        _ name: String, default fallback: Bool? = nil, required: Bool = false, example: String? = nil, _ summary: String
    ) -> Key {
        Key(
            name, .boolean, fallback: fallback.map { .boolean($0) }, required: required, example: example,
            summary: summary)
    }

    /// - Parameter fallback: as it is written, `"250ms"`.
    package static func duration(
        _ name: String, in range: ClosedRange<Duration>, default fallback: String? = nil, required: Bool = false,
        example: String? = nil, _ summary: String
    ) -> Key {
        Key(
            name, .duration(range), fallback: fallback.map { .string($0) }, required: required, example: example,
            summary: summary)
    }

    /// - Parameter fallback: as it is written, `"256KiB"`.
    package static func byteSize(
        _ name: String, in range: ClosedRange<Int64>, default fallback: String? = nil, required: Bool = false,
        example: String? = nil, _ summary: String
    ) -> Key {
        Key(
            name, .byteSize(range), fallback: fallback.map { .string($0) }, required: required, example: example,
            summary: summary)
    }

    package static func choice(
        _ name: String, _ choices: [String], default fallback: String? = nil, required: Bool = false,
        example: String? = nil, _ summary: String
    ) -> Key {
        Key(
            name, .choice(choices), fallback: fallback.map { .string($0) }, required: required, example: example,
            summary: summary)
    }

    /// Why `node` cannot be this key's value, and where; `nil` when it can.
    func complaint(about node: TOMLNode) -> (message: String, position: SourcePosition)? {
        func wrong(_ expected: String) -> (String, SourcePosition) {
            ("\(name): expected \(expected), found \(node.value.found)", node.position)
        }
        switch (kind, node.value) {
        case (.string, .string(let text)), (.strings, .string(let text)):
            return text.utf8.contains(0) ? wrong("a string without NUL") : nil
        case (.string, _): return wrong("a string in quotes")
        case (.strings, .array(let nodes)):
            for node in nodes {
                guard case .string(let text) = node.value, !text.utf8.contains(0) else {
                    return ("\(name): expected only strings in the array, found \(node.value.found)", node.position)
                }
            }
            return nil
        case (.strings, _): return wrong("a string, or an array of strings")
        case (.integer(let range), .integer(let value)):
            return range.contains(value) ? nil : wrong("a whole number from \(range.lowerBound) to \(range.upperBound)")
        case (.integer(let range), _): return wrong("a whole number from \(range.lowerBound) to \(range.upperBound)")
        case (.number, .integer): return nil
        case (.number, .float(let value)): return value.isFinite ? nil : wrong("a finite number")
        case (.number, _): return wrong("a number")
        case (.boolean, .boolean): return nil
        case (.boolean, _): return wrong("true or false")
        case (.duration(let range), .string(let text)):
            guard let value = Quantity.duration(text) else {
                return wrong("a duration with its unit, such as \"250ms\", \"20s\", \"5m\", \"24h\" or \"30d\"")
            }
            return range.contains(value)
                ? nil
                : wrong("a duration from \(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))")
        case (.duration, _):
            return wrong("a duration as a string with its unit, such as \"250ms\", \"20s\" or \"30d\"")
        case (.byteSize(let range), .string(let text)):
            guard let value = Quantity.byteSize(text) else {
                return wrong("a size with its unit, such as \"512B\", \"64KiB\" or \"200MB\"")
            }
            return range.contains(value)
                ? nil : wrong("a size from \(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))")
        case (.byteSize, _): return wrong("a size as a string with its unit, such as \"64KiB\" or \"200MB\"")
        case (.choice(let choices), .string(let text)):
            guard !choices.contains(text) else { return nil }
            return (
                "\(name): \"\(text)\" is not one of \(choices.map { "\"\($0)\"" }.joined(separator: ", "))"
                    + (NearestName.of(text, among: choices).map { "; did you mean \"\($0)\"?" } ?? ""), node.position
            )
        case (.choice(let choices), _): return wrong("one of \(choices.map { "\"\($0)\"" }.joined(separator: ", "))")
        }
    }
}
