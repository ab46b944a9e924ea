package import Readings

/// One value in a binary frame: where it is, how it is coded, what it means.
///
/// Written in one line of settings, as the device's manual has it in one row of a table:
///
///     temperature @2 s16be *0.1 Cel
///     voltage @-4 u16le *0.01 V
///     alarm @6 bit:3
///     name @8 ascii:10
package struct BinaryField: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        case unsigned(bytes: Int)
        case signed(bytes: Int)
        case float(bytes: Int)
        case bit(Int)
        case bcd(bytes: Int)
        case ascii(bytes: Int)

        var size: Int {
            switch self {
            case .unsigned(let bytes), .signed(let bytes), .float(let bytes), .bcd(let bytes), .ascii(let bytes): bytes
            case .bit: 1
            }
        }
    }

    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        package var description: String
    }

    /// The metric; `value` stands for the only or main one.
    package var name: String
    /// Bytes from the frame's first; negative: from its end, -1 the last.
    package var offset: Int
    package var kind: Kind
    package var isLittleEndian: Bool
    package var scale = 1.0
    package var adds = 0.0
    package var unit: Unit?

    package var metric: String? { name == "value" ? nil : name }

    /// Parses one line of settings.
    package init(parsing text: String) throws(Failure) {
        func failure(_ reason: String) -> Failure { Failure(description: "\"\(text)\": \(reason)") }
        var words = text.split(whereSeparator: \.isWhitespace)[...]
        guard let name = words.popFirst(), !name.contains(where: { "+#/$@".contains($0) }), name.utf8.count <= 64 else {
            throw failure("expected a name without + # / and $ first, as in \"temperature @2 s16be *0.1 Cel\"")
        }
        guard let place = words.popFirst(), place.first == "@", let offset = Int(place.dropFirst()),
            (-65_536...65_535).contains(offset)
        else { throw failure("expected the place of its first byte behind the name, such as @2, or @-4 from the end") }
        guard let word = words.popFirst(), let (kind, isLittleEndian) = Self.kind(word) else {
            throw failure(
                "expected u8 s8, u16 s16 u24 s24 u32 s32 u64 s64 f32 f64 with be or le, bit:N, bcd:N or ascii:N behind the place"
            )
        }
        guard offset >= 0 || offset + kind.size <= 0 else {
            throw failure("it does not fit: \(kind.size) bytes from @\(offset) on pass the frame's end")
        }
        self.name = String(name)
        self.offset = offset
        self.kind = kind
        self.isLittleEndian = isLittleEndian
        while let word = words.popFirst() {
            if word.first == "*", let number = Double(word.dropFirst()), number.isFinite, number != 0 {
                scale = number
            } else if word.first == "+" || word.first == "-", let number = Double(word), number.isFinite {
                adds = number
            } else if unit == nil, word.first != "*", word.first != "+", word.first != "-", word.utf8.count <= 32 {
                unit = Unit(String(word))
            } else {
                throw failure("\"\(word)\" is no scale (*0.1), offset (+5) or unit")
            }
        }
        if scale != 1 || adds != 0 {
            switch kind {
            case .bit, .ascii: throw failure("only numbers can be scaled")
            default: break
            }
        }
    }

    private static func kind(_ word: Substring) -> (Kind, isLittleEndian: Bool)? {
        let parts = word.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 2, let number = Int(parts[1]) {
            switch parts[0] {
            case "bit" where (0...7).contains(number): return (.bit(number), false)
            case "bcd" where (1...8).contains(number): return (.bcd(bytes: number), false)
            case "ascii" where (1...1_024).contains(number): return (.ascii(bytes: number), false)
            default: return nil
            }
        }
        if word == "u8" { return (.unsigned(bytes: 1), false) }
        if word == "s8" { return (.signed(bytes: 1), false) }
        let isLittleEndian = word.hasSuffix("le")
        guard isLittleEndian || word.hasSuffix("be") else { return nil }
        switch word.dropLast(2) {
        case "u16": return (.unsigned(bytes: 2), isLittleEndian)
        case "s16": return (.signed(bytes: 2), isLittleEndian)
        case "u24": return (.unsigned(bytes: 3), isLittleEndian)
        case "s24": return (.signed(bytes: 3), isLittleEndian)
        case "u32": return (.unsigned(bytes: 4), isLittleEndian)
        case "s32": return (.signed(bytes: 4), isLittleEndian)
        case "u64": return (.unsigned(bytes: 8), isLittleEndian)
        case "s64": return (.signed(bytes: 8), isLittleEndian)
        case "f32": return (.float(bytes: 4), isLittleEndian)
        case "f64": return (.float(bytes: 8), isLittleEndian)
        default: return nil
        }
    }

    /// The value in `frame`; missing and bad where the frame has no such place or the bytes are no such value.
    package func decode(_ frame: [UInt8]) -> Sample {
        let coded = CodedValue(metric: metric, coding: kind.coding, scale: scale, offset: adds, unit: unit)
        let first = offset >= 0 ? offset : frame.count + offset
        guard first >= 0, first + kind.size <= frame.count else {
            return coded.bad("the frame has only \(frame.count) bytes")
        }
        let field = frame[first..<(first + kind.size)]
        return coded.sample(of: isLittleEndian ? field.reversed() : Array(field))
    }
}

extension BinaryField.Kind {
    fileprivate var coding: CodedValue.Coding {
        switch self {
        case .unsigned: .unsigned
        case .signed: .signed
        case .float: .float
        case .bit(let bit): .bit(bit)
        case .bcd: .bcd
        case .ascii: .text
        }
    }
}
