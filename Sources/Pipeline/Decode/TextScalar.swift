import Readings

extension Decoding {
    /// A finite decimal number; integers are kept exact. No hexadecimal, no `inf`, no `nan`.
    static func number(_ text: some StringProtocol) -> Value? {
        let trimmed = trim(text)
        guard let first = trimmed.first, first.isASCII, first.isNumber || "+-.".contains(first) else { return nil }
        if let integer = Int64(trimmed) { return .integer(integer) }
        guard !trimmed.contains(where: { $0 == "x" || $0 == "X" }), let number = Double(trimmed), number.isFinite
        else { return nil }
        return .number(number)
    }

    static func trim(_ text: some StringProtocol) -> Substring {
        var result = Substring(text)
        while let last = result.last, last.isWhitespace { result.removeLast() }
        return result.drop(while: \.isWhitespace)
    }

    /// A number where it reads as one, else text.
    static func scalar(_ text: some StringProtocol) -> Value { number(text) ?? .text(String(trim(text))) }
}
