import FoundationEssentials
package import Readings

/// How a payload or a text line becomes values.
///
/// A value called `value` is the source's only or main one and has no metric of its own.
package enum Decoding: Hashable, Sendable {
    /// One decimal number, white space around it ignored.
    case number
    /// The whole payload as UTF-8 text.
    case text
    /// A JSON number, boolean or string; or an object, of which `fields` are taken (dotted paths, `gps.lat`), or
    /// every number, boolean and string at its top when `fields` is empty.
    case json(fields: [String])
    /// Values between separators. `fields` names the columns; an empty name skips one.
    case csv(fields: [String], separator: Character)
    /// Names and values, `T=21.5, RH: 40`: `=` or `:` between them, white space, `,`, `;` or `&` between pairs. `fields` are
    /// taken, or all of them when it is empty.
    case keyValue(fields: [String])
    /// A regular expression; each named group that took part in the match is a value.
    case expression(NamedExpression)

    /// The metric of a field, by the rule above.
    private static func metric(_ field: some StringProtocol) -> String? { field == "value" ? nil : String(field) }

    /// The values in `bytes`, in the payload's order. Throws what was expected and what was found, shortened.
    package func decode(_ bytes: [UInt8]) throws(DecodingFailure) -> [Sample] {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw DecodingFailure(expected: "UTF-8 text", found: "\(bytes.count) bytes that are not UTF-8")
        }
        switch self {
        case .number:
            guard let number = Self.number(text) else { throw DecodingFailure(expected: "a number", text: text) }
            return [Sample(value: number)]
        case .text:
            return [Sample(value: .text(text))]
        case .json(let fields):
            return try Self.json(bytes, text: text, fields: fields)
        case .csv(let fields, let separator):
            return try Self.csv(text, fields: fields, separator: separator)
        case .keyValue(let fields):
            return try Self.keyValue(text, fields: fields)
        case .expression(let expression):
            guard let groups = expression.firstMatch(in: text) else {
                throw DecodingFailure(expected: "a match of \(expression.pattern)", text: text)
            }
            let samples = groups.map { Sample(metric: Self.metric($0.name), value: Self.scalar($0.text)) }
            guard !samples.isEmpty else {
                throw DecodingFailure(expected: "a named group of \(expression.pattern) to take part", text: text)
            }
            return samples
        }
    }

    /// A finite decimal number; integers are kept exact. No hexadecimal, no `inf`, no `nan`.
    static func number(_ text: some StringProtocol) -> Value? {
        let trimmed = trim(text)
        guard let first = trimmed.first, first.isASCII, first.isNumber || "+-.".contains(first) else { return nil }
        if let integer = Int64(trimmed) { return .integer(integer) }
        guard !trimmed.contains(where: { $0 == "x" || $0 == "X" }), let number = Double(trimmed), number.isFinite
        else { return nil }
        return .number(number)
    }

    private static func trim(_ text: some StringProtocol) -> Substring {
        var result = Substring(text)
        while let last = result.last, last.isWhitespace { result.removeLast() }
        return result.drop(while: \.isWhitespace)
    }

    /// A number where it reads as one, else text.
    private static func scalar(_ text: some StringProtocol) -> Value { number(text) ?? .text(String(trim(text))) }

    private static func csv(
        _ text: String, fields: [String], separator: Character
    ) throws(DecodingFailure) -> [Sample] {
        let columns = text.split(separator: separator, omittingEmptySubsequences: false)
        guard columns.count >= fields.count else {
            throw DecodingFailure(expected: "\(fields.count) columns, not \(columns.count)", text: text)
        }
        return zip(fields, columns).compactMap { field, column in
            field.isEmpty ? nil : Sample(metric: metric(field), value: scalar(column))
        }
    }

    private static func keyValue(_ text: String, fields: [String]) throws(DecodingFailure) -> [Sample] {
        var samples: [Sample] = []
        // A space after the sign does not end the pair: "RH: 40".
        var rest = text[...]
        while let sign = rest.firstIndex(where: { $0 == "=" || $0 == ":" }) {
            let name = rest[..<sign].split(whereSeparator: isBetweenPairs).last ?? ""
            rest = rest[rest.index(after: sign)...].drop(while: \.isWhitespace)
            let end = rest.firstIndex(where: isBetweenPairs) ?? rest.endIndex
            if !name.isEmpty { samples.append(Sample(metric: metric(name), value: scalar(rest[..<end]))) }
            rest = rest[end...]
        }
        guard !fields.isEmpty else {
            guard !samples.isEmpty else { throw DecodingFailure(expected: "pairs as in T=21.5", text: text) }
            return samples
        }
        var taken: [Sample] = []
        for field in fields {
            guard let sample = samples.first(where: { $0.metric == metric(field) }) else {
                throw DecodingFailure(expected: "a value for \"\(field)\"", text: text)
            }
            taken.append(Sample(metric: fields.count == 1 ? nil : sample.metric, value: sample.value))
        }
        return taken
    }

    private static func isBetweenPairs(_ character: Character) -> Bool {
        character.isWhitespace || character == "," || character == ";" || character == "&"
    }

    private static func json(
        _ bytes: [UInt8], text: String, fields: [String]
    ) throws(DecodingFailure) -> [Sample] {
        let document: JSONValue
        do {
            document = try JSONDecoder().decode(JSONValue.self, from: Data(bytes))
        } catch {
            throw DecodingFailure(expected: "JSON", text: text)
        }
        if let value = document.scalar, fields.isEmpty { return [Sample(value: value)] }
        guard case .object(let members) = document else {
            throw DecodingFailure(expected: "a JSON object, number, boolean or string", text: text)
        }
        if fields.isEmpty {
            // A dictionary has no order of its own; by name is at least the same every time.
            let samples = members.sorted { $0.key < $1.key }.compactMap { key, value in
                value.scalar.map { Sample(metric: metric(key), value: $0) }
            }
            guard !samples.isEmpty else {
                throw DecodingFailure(expected: "a number, boolean or string in the object", text: text)
            }
            return samples
        }
        var samples: [Sample] = []
        for field in fields {
            guard let value = document[path: field]?.scalar else {
                throw DecodingFailure(expected: "a value at \"\(field)\"", text: text)
            }
            let name = fields.count == 1 ? nil : metric(field.split(separator: ".").joined(separator: "/"))
            samples.append(Sample(metric: name, value: value))
        }
        return samples
    }
}

/// A payload that is not what its rule says it is.
package struct DecodingFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package var expected: String
    /// What was there instead, shortened to 80 characters, control characters escaped.
    package var found: String

    package init(expected: String, found: String) {
        self.expected = expected
        self.found = found
    }

    init(expected: String, text: String) {
        let head = text.prefix(80)
        let shown = head.unicodeScalars.map {
            $0.properties.generalCategory == .control ? $0.escaped(asASCII: true) : String($0)
        }
        self.init(expected: expected, found: "\"\(shown.joined())\(head.endIndex < text.endIndex ? "…" : "")\"")
    }

    package var description: String { "expected \(expected), found \(found)" }
}

/// Any JSON value, as far as a reading needs it.
private enum JSONValue: Decodable {
    case scalar(Value)
    case object([String: JSONValue])
    case other

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let boolean = try? container.decode(Bool.self) {
            self = .scalar(.boolean(boolean))
        } else if let integer = try? container.decode(Int64.self) {
            self = .scalar(.integer(integer))
        } else if let number = try? container.decode(Double.self), number.isFinite {
            self = .scalar(.number(number))
        } else if let text = try? container.decode(String.self) {
            self = .scalar(.text(text))
        } else if let object = try? container.decode([String: JSONValue].self) {
            self = .object(object)
        } else {
            self = .other
        }
    }

    var scalar: Value? {
        if case .scalar(let value) = self { value } else { nil }
    }

    /// The value at a dotted path.
    subscript(path path: String) -> JSONValue? {
        path.split(separator: ".").reduce(Optional(self)) { node, key in
            guard case .object(let members) = node else { return nil }
            return members[String(key)]
        }
    }
}
