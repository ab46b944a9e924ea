/// A payload that is not what its rule says it is.
package struct DecodingFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package var expected: String
    /// What was there instead, shortened to 80 characters, control characters escaped.
    package var found: String

    package init(expected: String, found: String) {
        self.expected = expected
        self.found = found
    }

    /// - Parameter reason: what is wrong with the text; `nil` where the expectation says it.
    init(expected: String, text: String, reason: String? = nil) {
        let head = text.prefix(80)
        let shown = head.unicodeScalars.map {
            $0.properties.generalCategory == .control ? $0.escaped(asASCII: true) : String($0)
        }
        let mark = head.endIndex < text.endIndex ? "…" : ""
        self.init(expected: expected, found: "\"\(shown.joined())\(mark)\"\(reason.map { ": \($0)" } ?? "")")
    }

    package var description: String { "expected \(expected), found \(found)" }
}
