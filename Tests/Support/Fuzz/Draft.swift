/// A control packet as its fields, before it becomes bytes, so that one field can be broken and all others stay right.
/// Written down from the standards' tables, and shares nothing with the codec that it tests.
package struct Draft: Sendable {
    /// What a field means, which tells how it can be broken.
    package enum Kind: Sendable {
        case number, protocolName, protocolLevel, connectFlags, packetIdentifier, topicName, topicFilter, text, data
        case subscriptionOptions, reason, properties, payload
    }

    package struct Property: Sendable {
        package var identifier: UInt8
        package var value: [UInt8]
    }

    package struct Field: Sendable {
        package var kind: Kind
        package var bytes: [UInt8]
        /// Strings and binary data have their length, in two bytes, before them.
        package var hasLength = false
        /// A length that is not that of `bytes`.
        package var falseLength: Int?
        package var properties: [Property] = []

        fileprivate var encoded: [UInt8] {
            if kind == .properties {
                let content = properties.flatMap { [$0.identifier] + $0.value }
                return Draft.variableByteInteger(falseLength ?? content.count) + content
            }
            return hasLength ? Draft.twoBytes(falseLength ?? bytes.count) + bytes : bytes
        }
    }

    package var type: UInt8
    package var flags: UInt8
    package var fields: [Field]
    /// Behind the last field.
    package var trailing: [UInt8] = []
    /// Cuts the body.
    package var cut: Int?
    /// Stands in the place of the remaining length.
    package var falseRemainingLength: [UInt8]?
    /// The shortest form there is: what an encoder has to write.
    package var isCanonical = true

    package init(type: UInt8, flags: UInt8 = 0, fields: [Field] = []) {
        self.type = type
        self.flags = flags
        self.fields = fields
    }

    package var body: [UInt8] {
        let whole = fields.flatMap(\.encoded) + trailing
        return cut.map { Array(whole.prefix($0)) } ?? whole
    }

    package var bytes: [UInt8] {
        let body = body
        return [type << 4 | flags] + (falseRemainingLength ?? Self.variableByteInteger(body.count)) + body
    }

    package static func twoBytes(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }

    package static func fourBytes(_ value: Int) -> [UInt8] { twoBytes(value >> 16 & 0xFFFF) + twoBytes(value & 0xFFFF) }

    package static func variableByteInteger(_ value: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 128 {
            bytes.append(UInt8(rest % 128) + 128)
            rest /= 128
        }
        return bytes + [UInt8(rest)]
    }
}

extension Draft.Field {
    package static func byte(_ kind: Draft.Kind, _ value: UInt8) -> Self { Self(kind: kind, bytes: [value]) }
    package static func two(_ kind: Draft.Kind, _ value: Int) -> Self { Self(kind: kind, bytes: Draft.twoBytes(value)) }
    package static func string(_ kind: Draft.Kind, _ text: String) -> Self {
        Self(kind: kind, bytes: Array(text.utf8), hasLength: true)
    }
    package static func data(_ bytes: [UInt8]) -> Self { Self(kind: .data, bytes: bytes, hasLength: true) }
    package static func properties(_ list: [Draft.Property]) -> Self {
        Self(kind: .properties, bytes: [], properties: list)
    }
}
