/// Reads one JSON text (RFC 8259) to the letter, in one pass, within ``JSONLimits``. A value; pure.
///
/// - A byte order mark at the beginning is skipped (RFC 8259 §8.1 allows that), because editors put one in recordings.
/// - Trailing commas, comments, `NaN`, `Infinity`, leading zeros, single quotes and control characters are refused.
/// - Strings are UTF-8, and `\u` names whole characters: a lone surrogate is refused, because there is no text for it.
/// - A number that no Double can hold, as `1e999`, is refused. One too small for a Double is 0.
/// - Names of members may repeat; see ``JSONValue``.
///
/// It is ours, and neither libcjson nor libjansson, for three reasons: both build a tree by recursion and one allocation for
/// every value, and free it by recursion; libcjson 1.7 keeps numbers as Double only (2^53 + 1 becomes 2^53), takes text after
/// the value and invalid UTF-8, and libjansson 2.14 refuses integers above 2^63; each adds a package to install.
struct JSONReader {
    private enum Expected {
        case value
        /// The first value of an array, or its end.
        case valueOrEnd
        case name
        /// The first name of an object, or its end.
        case nameOrEnd
        case commaOrEnd
        case end
    }

    private(set) var nodes: [JSONText.Node] = []
    var offset = 0
    private let limits: JSONLimits
    private var depth = 0
    /// The innermost container that is not closed yet; its `extent` names the next one.
    private var container = UInt32.max

    init(_ limits: JSONLimits) { self.limits = limits }

    mutating func read(_ text: Span<UInt8>) throws(JSONError) {
        guard text.count <= limits.bytes else {
            throw JSONError(offset: limits.bytes, reason: .tooLong(limit: limits.bytes))
        }
        // Most texts of devices have no more values than that, and most others grow once or twice.
        nodes.reserveCapacity(min(text.count / 6 + 4, 4_096))
        if text.count >= 3, text[0] == 0xEF, text[1] == 0xBB, text[2] == 0xBF { offset = 3 }
        var expected = Expected.value
        while true {
            skipSpace(text)
            guard offset < text.count else {
                if expected == .end { return }
                throw JSONError(offset: offset, reason: nodes.isEmpty ? .empty : .endsInside(containerName))
            }
            let byte = text[offset]
            switch expected {
            case .value, .valueOrEnd:
                expected = try readValue(text, byte, isFirst: expected == .valueOrEnd)
            case .name, .nameOrEnd:
                expected = try readName(text, byte, isFirst: expected == .nameOrEnd)
            case .commaOrEnd:
                expected = try readCommaOrEnd(byte)
            case .end:
                throw JSONError(offset: offset, reason: .textAfterValue)
            }
        }
    }

    private mutating func skipSpace(_ text: Span<UInt8>) {
        while offset < text.count {
            switch text[offset] {
            case 0x20, 0x0A, 0x0D, 0x09: offset += 1
            default: return
            }
        }
    }

    // MARK: Values

    private mutating func readValue(_ text: Span<UInt8>, _ byte: UInt8, isFirst: Bool) throws(JSONError) -> Expected {
        switch byte {
        case UInt8(ascii: "\""):
            try readString(text)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            let start = offset
            let isInteger = try readNumber(text)
            try append(isInteger ? .integer : .number, from: start, length: offset - start)
        case UInt8(ascii: "{"):
            try open(.object)
            return .nameOrEnd
        case UInt8(ascii: "["):
            try open(.array)
            return .valueOrEnd
        case UInt8(ascii: "]") where containerKind == .array:
            guard isFirst else { throw JSONError(offset: offset, reason: .commaBeforeEnd(of: containerName)) }
            return close()
        case UInt8(ascii: "t"): try readWord(text, "true", .true)
        case UInt8(ascii: "f"): try readWord(text, "false", .false)
        case UInt8(ascii: "n"): try readWord(text, "null", .null)
        default:
            throw JSONError(offset: offset, reason: .noValue)
        }
        return afterValue
    }

    private mutating func readName(_ text: Span<UInt8>, _ byte: UInt8, isFirst: Bool) throws(JSONError) -> Expected {
        if byte == UInt8(ascii: "}") {
            guard isFirst else { throw JSONError(offset: offset, reason: .commaBeforeEnd(of: containerName)) }
            return close()
        }
        guard byte == UInt8(ascii: "\"") else { throw JSONError(offset: offset, reason: .noMemberName) }
        try readString(text)
        skipSpace(text)
        guard offset < text.count else { throw JSONError(offset: offset, reason: .endsInside(containerName)) }
        guard text[offset] == UInt8(ascii: ":") else { throw JSONError(offset: offset, reason: .noColon) }
        offset += 1
        return .value
    }

    private mutating func readCommaOrEnd(_ byte: UInt8) throws(JSONError) -> Expected {
        let isObject = containerKind == .object
        switch byte {
        case UInt8(ascii: ","):
            offset += 1
            return isObject ? .name : .value
        case UInt8(ascii: "}") where isObject, UInt8(ascii: "]") where !isObject:
            return close()
        default:
            throw JSONError(offset: offset, reason: .noCommaOrEnd(of: containerName))
        }
    }

    private mutating func readWord(_ text: Span<UInt8>, _ word: StaticString, _ kind: JSONText.Kind) throws(JSONError) {
        let start = offset
        let length = word.utf8CodeUnitCount
        for place in 0..<length {
            guard start + place < text.count else {
                throw JSONError(offset: text.count, reason: .endsInside("\"\(word)\""))
            }
            guard text[start + place] == word.utf8Start[place] else { throw JSONError(offset: start, reason: .noValue) }
        }
        offset += length
        try append(kind, from: start, length: length)
    }

    // MARK: Containers

    private var containerKind: JSONText.Kind? { depth == 0 ? nil : nodes[Int(container)].kind }

    /// For a person, as in "the text ends inside an object".
    private var containerName: String { containerKind == .array ? "an array" : "an object" }

    private var afterValue: Expected { depth == 0 ? .end : .commaOrEnd }

    private mutating func open(_ kind: JSONText.Kind) throws(JSONError) {
        guard depth < limits.depth else { throw JSONError(offset: offset, reason: .tooDeep(limit: limits.depth)) }
        let index = UInt32(truncatingIfNeeded: nodes.count)
        try append(kind, from: offset, length: Int(container))
        container = index
        depth += 1
        offset += 1
    }

    private mutating func close() -> Expected {
        let outer = nodes[Int(container)].extent
        nodes[Int(container)].extent = UInt32(truncatingIfNeeded: nodes.count)
        container = outer
        depth -= 1
        offset += 1
        return afterValue
    }

    /// Texts are shorter than 2^32 bytes, and so is the number of their values.
    mutating func append(_ kind: JSONText.Kind, from start: Int, length: Int) throws(JSONError) {
        guard nodes.count < limits.values else {
            throw JSONError(offset: start, reason: .tooManyValues(limit: limits.values))
        }
        nodes.append(
            JSONText.Node(
                start: UInt32(truncatingIfNeeded: start), extent: UInt32(truncatingIfNeeded: length), kind: kind))
    }
}
