/// A value of a JSON text that has been read: the whole text's, or one inside it.
///
/// A value is a place in the text: to go into it, to copy it and to drop it allocates nothing, and the text lives as long
/// as any of its values. Numbers are made from the text when they are asked for, so that nothing is rounded on the way.
///
/// Where names of members repeat, the last member of that name counts, as in JavaScript and Python.
package struct JSONValue: Sendable {
    package enum Kind: Hashable, Sendable {
        case null
        case boolean
        /// A number without fraction and exponent that Int64 holds.
        case integer
        /// Any other number.
        case number
        case string
        case array
        case object
    }

    private let text: JSONText
    private let index: Int

    private init(_ text: JSONText, _ index: Int) {
        self.text = text
        self.index = index
    }

    /// Reads a text. Costs one pass over the bytes, which are kept and not copied, and two allocations.
    package init(reading bytes: [UInt8], _ limits: JSONLimits) throws(JSONError) {
        var reader = JSONReader(limits)
        try reader.read(bytes.span)
        self.init(JSONText(bytes: bytes, nodes: reader.nodes), 0)
    }

    package var kind: Kind {
        switch text.nodes[index].kind {
        case .null: .null
        case .false, .true: .boolean
        case .integer: .integer
        case .number: .number
        case .string, .escapedString: .string
        case .array: .array
        case .object: .object
        }
    }

    package var isNull: Bool { kind == .null }

    /// `nil` for anything but `true` and `false`.
    package var boolean: Bool? {
        switch text.nodes[index].kind {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// The exact value of an integer; `nil` for anything else, as 1.0, 1e3 and what Int64 does not hold. `-0` is 0.
    package var integer: Int64? {
        guard text.nodes[index].kind == .integer else { return nil }
        return text.integer(at: index)
    }

    /// The Double nearest to a number, which is finite; `nil` for anything else. `-0.0` keeps its sign.
    package var double: Double? {
        switch text.nodes[index].kind {
        case .integer, .number: text.double(at: index)
        default: nil
        }
    }

    /// A number as it is written; `nil` for anything else.
    package var numberText: String? {
        switch text.nodes[index].kind {
        case .integer, .number: text.string(at: index)
        default: nil
        }
    }

    /// `nil` for anything but a string. May hold the character NUL.
    package var string: String? {
        switch text.nodes[index].kind {
        case .string, .escapedString: text.string(at: index)
        default: nil
        }
    }

    /// Whether it is this string, byte by byte. Allocates nothing.
    package func isString(_ other: some StringProtocol) -> Bool {
        switch text.nodes[index].kind {
        case .string, .escapedString: text.string(at: index, is: other.utf8)
        default: false
        }
    }

    // MARK: What is inside

    /// The elements of an array; nothing for anything else.
    package var elements: Elements { Elements(text, text.nodes[index].kind == .array ? index : nil) }

    /// The members of an object in the text's order, repeated names too; nothing for anything else.
    package var members: Members { Members(text, text.nodes[index].kind == .object ? index : nil) }

    /// The last member of that name; `nil` when there is none, and for anything but an object. Linear in the members.
    package subscript(name: some StringProtocol) -> JSONValue? {
        guard text.nodes[index].kind == .object else { return nil }
        let end = text.end(of: index)
        var found: Int?
        var member = index + 1
        while member < end {
            if text.string(at: member, is: name.utf8) { found = member + 1 }
            member = text.end(of: member + 1)
        }
        return found.map { JSONValue(text, $0) }
    }

    /// The element at a position from 0 on; `nil` when there is none, and for anything but an array. Linear in the position.
    package subscript(position: Int) -> JSONValue? {
        guard position >= 0 else { return nil }
        var rest = elements.dropFirst(position).makeIterator()
        return rest.next()
    }

    package struct Elements: Sequence, IteratorProtocol, Sendable {
        private let text: JSONText
        private var place: Int
        private let end: Int

        fileprivate init(_ text: JSONText, _ array: Int?) {
            self.text = text
            place = array.map { $0 + 1 } ?? 0
            end = array.map(text.end) ?? 0
        }

        package mutating func next() -> JSONValue? {
            guard place < end else { return nil }
            defer { place = text.end(of: place) }
            return JSONValue(text, place)
        }
    }

    package struct Member: Sendable {
        /// A string.
        fileprivate let key: JSONValue
        package let value: JSONValue

        package var name: String { key.string ?? "" }

        /// Whether it has this name, byte by byte. Allocates nothing.
        package func isNamed(_ name: some StringProtocol) -> Bool { key.isString(name) }
    }

    package struct Members: Sequence, IteratorProtocol, Sendable {
        private let text: JSONText
        private var place: Int
        private let end: Int

        fileprivate init(_ text: JSONText, _ object: Int?) {
            self.text = text
            place = object.map { $0 + 1 } ?? 0
            end = object.map(text.end) ?? 0
        }

        package mutating func next() -> Member? {
            guard place < end else { return nil }
            let member = Member(key: JSONValue(text, place), value: JSONValue(text, place + 1))
            place = text.end(of: place + 1)
            return member
        }
    }

    // MARK: Writing

    /// The value as compact JSON: numbers and strings as they were written, repeated names too.
    func write(to writer: inout JSONWriter) {
        let end = text.end(of: index)
        var open: [(kind: JSONText.Kind, end: Int)] = []
        var next = index
        /// The next string is the name of a member.
        var isName = false
        while next < end || !open.isEmpty {
            if let last = open.last, next == last.end {
                open.removeLast()
                last.kind == .object ? writer.endObject() : writer.endArray()
                isName = open.last?.kind == .object
                continue
            }
            let node = text.nodes[next]
            switch node.kind {
            case .object, .array:
                open.append((node.kind, Int(node.extent)))
                node.kind == .object ? writer.beginObject() : writer.beginArray()
                isName = node.kind == .object
            case .string, .escapedString:
                writer.writeEscaped(text.bytes[text.source(of: next)], isName: isName)
                isName = !isName && open.last?.kind == .object
            case .null, .false, .true, .integer, .number:
                writer.writeWord(text.bytes[text.source(of: next)])
                isName = open.last?.kind == .object
            }
            next += 1
        }
    }
}

extension JSONValue: CustomStringConvertible {
    /// Compact JSON.
    package var description: String {
        var writer = JSONWriter()
        writer.write(self)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}
