/// A JSON text that has been read, and its values in the text's order: what all ``JSONValue``s of one text share.
///
/// The values stand in one array, so that a deep text costs no recursion, neither to read nor to compare nor to free.
/// Immutable.
final class JSONText: Sendable {
    enum Kind: UInt8 {
        case null
        case `false`
        case `true`
        /// A number without fraction and exponent, within Int64.
        case integer
        /// Any other number.
        case number
        /// Without escapes: its bytes are the text's.
        case string
        case escapedString
        case array
        /// Its members follow: name, value, name, value.
        case object
    }

    /// 12 bytes a value.
    struct Node {
        /// Where it begins in the text; of a string, behind the quote.
        var start: UInt32
        /// Of a scalar its length in bytes, of a string without quotes. Of a container the index behind its last value;
        /// while it is being read, of the container around it.
        var extent: UInt32
        var kind: Kind
    }

    let bytes: [UInt8]
    let nodes: [Node]

    init(bytes: [UInt8], nodes: [Node]) {
        self.bytes = bytes
        self.nodes = nodes
    }

    /// The index behind a value and all that is in it.
    func end(of index: Int) -> Int {
        switch nodes[index].kind {
        case .array, .object: Int(nodes[index].extent)
        default: index + 1
        }
    }

    /// The bytes of a scalar, as written; of a string without its quotes.
    func source(of index: Int) -> Range<Int> {
        let node = nodes[index]
        return Int(node.start)..<Int(node.start) + Int(node.extent)
    }

    /// The exact value of an integer.
    func integer(at index: Int) -> Int64? {
        let bytes = bytes
        return JSONNumber.integer(bytes.span, source(of: index))
    }

    /// The Double nearest to a number.
    func double(at index: Int) -> Double {
        let bytes = bytes
        return JSONNumber.double(bytes.span, source(of: index))
    }

    /// The text of a string, its escapes replaced.
    func string(at index: Int) -> String {
        let range = source(of: index)
        guard nodes[index].kind == .escapedString else {
            return bytes.withUnsafeBufferPointer {
                String(decoding: UnsafeBufferPointer(rebasing: $0[range]), as: UTF8.self)
            }
        }
        var unescaped: [UInt8] = []
        unescaped.reserveCapacity(range.count)
        forEachByte(ofString: range) { byte in
            unescaped.append(byte)
            return true
        }
        return String(decoding: unescaped, as: UTF8.self)
    }

    /// Whether the string is `text`, byte by byte. Allocates nothing.
    func string(at index: Int, is text: some Collection<UInt8>) -> Bool {
        let range = source(of: index)
        guard nodes[index].kind == .escapedString else {
            return range.count == text.count && bytes[range].elementsEqual(text)
        }
        var rest = text.makeIterator()
        let isPrefix = forEachByte(ofString: range) { $0 == rest.next() }
        return isPrefix && rest.next() == nil
    }

    /// Calls `body` with the bytes of a string, its escapes replaced, until it answers false.
    /// - Returns: the last answer.
    @discardableResult
    private func forEachByte(ofString range: Range<Int>, _ body: (UInt8) -> Bool) -> Bool {
        let bytes = bytes
        let span = bytes.span
        var offset = range.lowerBound
        while offset < range.upperBound {
            let byte = bytes[offset]
            offset += 1
            guard byte == UInt8(ascii: "\\") else {
                guard body(byte) else { return false }
                continue
            }
            let escape = bytes[offset]
            offset += 1
            guard escape == UInt8(ascii: "u") else {
                guard body(JSONEscape.byte(escape)) else { return false }
                continue
            }
            var code = JSONEscape.code(span, at: offset) ?? 0
            offset += 4
            if JSONEscape.high.contains(code) {
                // The reader has seen the other half.
                let low = JSONEscape.code(span, at: offset + 2) ?? 0
                code = 0x1_0000 + (code - JSONEscape.high.lowerBound) << 10 + (low - JSONEscape.low.lowerBound)
                offset += 6
            }
            let encoded = UTF8.encode(Unicode.Scalar(code) ?? "\u{FFFD}")
            for byte in encoded ?? UTF8.encodedReplacementCharacter where !body(byte) { return false }
        }
        return true
    }
}

/// The escapes of JSON strings (RFC 8259 §7).
enum JSONEscape {
    /// The first and second halves of surrogate pairs (RFC 2781 §2.1).
    static let high: ClosedRange<UInt32> = 0xD800...0xDBFF
    static let low: ClosedRange<UInt32> = 0xDC00...0xDFFF

    /// What a backslash and `letter` stand for. `letter` is one of `"\/bfnrt`.
    static func byte(_ letter: UInt8) -> UInt8 {
        switch letter {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        default: letter
        }
    }

    /// The number of four hexadecimal digits; `nil` when they are none.
    static func code(_ text: Span<UInt8>, at offset: Int) -> UInt32? {
        guard offset + 4 <= text.count else { return nil }
        var code: UInt32 = 0
        for place in offset..<offset + 4 {
            let digit: UInt8
            switch text[place] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = text[place] - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = text[place] - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = text[place] - UInt8(ascii: "A") + 10
            default: return nil
            }
            code = code << 4 | UInt32(digit)
        }
        return code
    }
}
