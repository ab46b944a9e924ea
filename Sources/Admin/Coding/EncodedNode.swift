import Readings

/// A value that is being encoded. A tree of references, because an encoder hands out several containers of one value; it is
/// as deep as the types that are encoded, and no deeper.
final class EncodedNode {
    private enum Content {
        case null
        case boolean(Bool)
        case integer(any BinaryInteger)
        case number(Double)
        case text(String)
        case array([EncodedNode])
        case object([String: EncodedNode])
    }

    private var content = Content.null

    /// - Throws: what the value's own `encode(to:)` throws.
    func encode(_ value: some Encodable) throws {
        switch value {
        case let text as String: content = .text(text)
        case let boolean as Bool: content = .boolean(boolean)
        case let integer as any BinaryInteger: content = .integer(integer)
        case let number as Double: content = .number(number)
        case let number as Float: content = .number(Double(number))
        default: try value.encode(to: NodeEncoder(node: self))
        }
    }

    func encodeNil() { content = .null }

    func becomeObject() {
        if case .object = content { return }
        content = .object([:])
    }

    func becomeArray() {
        if case .array = content { return }
        content = .array([])
    }

    /// The member of an object, made when there is none.
    func member(_ name: String) -> EncodedNode {
        guard case .object(var members) = content else { preconditionFailure("it became an object before") }
        if let node = members[name] { return node }
        let node = EncodedNode()
        content = .null
        members[name] = node
        content = .object(members)
        return node
    }

    /// A new element at the end of an array.
    func appendElement() -> EncodedNode {
        guard case .array(var elements) = content else { preconditionFailure("it became an array before") }
        let node = EncodedNode()
        content = .null
        elements.append(node)
        content = .array(elements)
        return node
    }

    var elementCount: Int {
        if case .array(let elements) = content { elements.count } else { 0 }
    }

    func write(to writer: inout JSONWriter) {
        switch content {
        case .null: writer.writeNull()
        case .boolean(let boolean): writer.write(boolean)
        case .integer(let integer): writer.write(integer)
        case .number(let number): writer.write(number)
        case .text(let text): writer.write(text)
        case .array(let elements):
            writer.beginArray()
            for element in elements { element.write(to: &writer) }
            writer.endArray()
        case .object(let members):
            writer.beginObject()
            for (name, member) in members.sorted(by: { $0.key < $1.key }) {
                writer.name(name)
                member.write(to: &writer)
            }
            writer.endObject()
        }
    }
}

/// What a value's `encode(to:)` is given.
private struct NodeEncoder: Encoder {
    let node: EncodedNode
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        node.becomeObject()
        return KeyedEncodingContainer(Members(node: node))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        node.becomeArray()
        return Elements(node: node)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { Single(node: node) }

    private struct Members<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let node: EncodedNode
        var codingPath: [any CodingKey] { [] }

        func encodeNil(forKey key: Key) { node.member(key.stringValue).encodeNil() }

        func encode(_ value: some Encodable, forKey key: Key) throws { try node.member(key.stringValue).encode(value) }

        func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type, forKey key: Key
        ) -> KeyedEncodingContainer<Nested> {
            NodeEncoder(node: node.member(key.stringValue)).container(keyedBy: type)
        }

        func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            NodeEncoder(node: node.member(key.stringValue)).unkeyedContainer()
        }

        func superEncoder() -> any Encoder { NodeEncoder(node: node.member("super")) }
        func superEncoder(forKey key: Key) -> any Encoder { NodeEncoder(node: node.member(key.stringValue)) }
    }

    private struct Elements: UnkeyedEncodingContainer {
        let node: EncodedNode
        var codingPath: [any CodingKey] { [] }
        var count: Int { node.elementCount }

        func encodeNil() { node.appendElement().encodeNil() }
        func encode(_ value: some Encodable) throws { try node.appendElement().encode(value) }

        func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
            NodeEncoder(node: node.appendElement()).container(keyedBy: type)
        }

        func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
            NodeEncoder(node: node.appendElement()).unkeyedContainer()
        }

        func superEncoder() -> any Encoder { NodeEncoder(node: node.appendElement()) }
    }

    private struct Single: SingleValueEncodingContainer {
        let node: EncodedNode
        var codingPath: [any CodingKey] { [] }

        func encodeNil() { node.encodeNil() }
        func encode(_ value: some Encodable) throws { try node.encode(value) }
    }
}
