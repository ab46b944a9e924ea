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

    /// The values in `bytes`, in the payload's order; of a JSON object that is taken whole, by name. Throws what was
    /// expected and what was found, shortened.
    package func decode(_ bytes: [UInt8]) throws(DecodingFailure) -> [Sample] {
        switch self {
        case .json(let fields): return try Self.json(bytes, fields: fields)
        case .number:
            let text = try Self.text(bytes)
            guard let number = Self.number(text) else { throw DecodingFailure(expected: "a number", text: text) }
            return [Sample(value: number)]
        case .text: return [Sample(value: .text(try Self.text(bytes)))]
        case .csv(let fields, let separator):
            return try Self.csv(try Self.text(bytes), fields: fields, separator: separator)
        case .keyValue(let fields): return try Self.keyValue(try Self.text(bytes), fields: fields)
        case .expression(let expression): return try Self.match(expression, in: try Self.text(bytes))
        }
    }

    private static func text(_ bytes: [UInt8]) throws(DecodingFailure) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw DecodingFailure(expected: "UTF-8 text", found: "\(bytes.count) bytes that are not UTF-8")
        }
        return text
    }

    /// The metric of a field: none for the field called `value`.
    static func metric(_ field: some StringProtocol) -> String? { field == "value" ? nil : String(field) }
}
