import Readings

/// One flat JSON object of a recording: `{"ts": 1700000000000, "v": 21.5}` (RFC 8259). Nested values are not taken.
struct FlatJSON: Sendable {
    /// Names and values in their order; null is left out.
    private(set) var members: [(name: String, value: Value)] = []

    /// `nil` when the bytes are no such object.
    init?(parsing bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var scanner = Scanner(rest: text.unicodeScalars[...])
        guard scanner.take("{") else { return nil }
        if scanner.take("}") {
            guard scanner.isAtEnd else { return nil }
            return
        }
        repeat {
            guard let name = scanner.string(), scanner.take(":"), let value = scanner.value() else { return nil }
            if case .some(let value) = value { members.append((name, value)) }
        } while scanner.take(",")
        guard scanner.take("}"), scanner.isAtEnd else { return nil }
    }

    private struct Scanner {
        var rest: Substring.UnicodeScalarView

        var isAtEnd: Bool {
            mutating get {
                skip()
                return rest.isEmpty
            }
        }

        private mutating func skip() { rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "\r" || $0 == "\n" } }

        mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            skip()
            guard rest.first == scalar else { return false }
            rest.removeFirst()
            return true
        }

        mutating func string() -> String? {
            guard take("\"") else { return nil }
            var text = String.UnicodeScalarView()
            while let scalar = rest.popFirst() {
                switch scalar {
                case "\"": return String(text)
                case "\\":
                    guard let escaped = rest.popFirst() else { return nil }
                    switch escaped {
                    case "n": text.append("\n")
                    case "t": text.append("\t")
                    case "r": text.append("\r")
                    case "\"", "\\", "/": text.append(escaped)
                    case "u":
                        let digits = String(rest.prefix(4))
                        guard digits.count == 4, let code = UInt32(digits, radix: 16),
                            let decoded = Unicode.Scalar(code)
                        else { return nil }
                        rest = rest.dropFirst(4)
                        text.append(decoded)
                    default: return nil
                    }
                case "\u{0}"..."\u{1F}": return nil
                default: text.append(scalar)
                }
            }
            return nil
        }

        /// `.some(nil)` for null.
        mutating func value() -> Value?? {
            skip()
            if rest.first == "\"" { return string().map { .some(.text($0)) } }
            let word = String(rest.prefix { $0 != "," && $0 != "}" && $0 != " " && $0 != "\t" })
            rest = rest.dropFirst(word.unicodeScalars.count)
            switch word {
            case "true": return .some(.boolean(true))
            case "false": return .some(.boolean(false))
            case "null": return .some(nil)
            default: return RecordedNumber.value(word).map { .some($0) }
            }
        }
    }
}

/// A number of a recording.
enum RecordedNumber {
    /// Integers stay exact; `nil` for anything that is not a finite decimal number.
    static func value(_ text: some StringProtocol) -> Value? {
        guard text.allSatisfy({ $0.isASCII && ($0.isNumber || "+-.eE".contains($0)) }) else { return nil }
        if let integer = Int64(text) { return .integer(integer) }
        guard let number = Double(text), number.isFinite else { return nil }
        return .number(number)
    }
}
