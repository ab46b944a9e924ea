package import Readings

/// The control socket's messages and the snapshots that scripts read, to JSON text and back.
///
/// Their shape is that of their types: members are sorted by name, and what is `nil` is left out. Dates, data and the like
/// do not occur, and so there are no strategies for them.
package enum ControlCoding {
    /// - Parameter style: compact on the socket and for one object a line, pretty for a person who reads along.
    package static func encode(_ value: some Encodable, _ style: JSONWriter.Style = .compact) throws -> [UInt8] {
        let node = EncodedNode()
        try node.encode(value)
        var writer = JSONWriter(style)
        node.write(to: &writer)
        return writer.bytes
    }

    /// The same as text; `{}` for what cannot be encoded.
    package static func text(_ value: some Encodable, _ style: JSONWriter.Style) -> String {
        guard let bytes = try? encode(value, style) else { return "{}" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// - Throws: `DecodingError` for a value of another shape.
    package static func decode<T: Decodable>(_ type: T.Type, from value: JSONValue) throws -> T {
        try ValueDecoder(value: value, codingPath: []).decode(type)
    }
}
