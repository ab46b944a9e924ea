extension JSONReader {
    // MARK: Strings

    /// Reads a string, from its quote on.
    mutating func readString(_ text: Span<UInt8>) throws(JSONError) {
        let start = offset + 1
        var place = start
        var hasEscapes = false
        while true {
            place = Self.plainEnd(text, from: place)
            guard place < text.count else { throw JSONError(offset: place, reason: .endsInside("a string")) }
            switch text[place] {
            case UInt8(ascii: "\""):
                offset = place + 1
                return try append(hasEscapes ? .escapedString : .string, from: start, length: place - start)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                place = try Self.escapeEnd(text, from: place)
            case 0..<0x20:
                throw JSONError(offset: place, reason: .controlCharacter(text[place]))
            default:
                guard let length = Self.characterLength(text, at: place) else {
                    throw JSONError(offset: place, reason: .notUTF8)
                }
                place += length
            }
        }
    }

    /// The first byte from `place` on that ends a string, begins an escape, is a control character or is not ASCII. Eight
    /// bytes are looked at in one step.
    private static func plainEnd(_ text: Span<UInt8>, from place: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        /// A high bit for every zero byte of `word`, and perhaps for bytes above the lowest zero byte.
        func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & highs }
        var place = place
        let raw = text.bytes
        while place &+ 8 <= text.count {
            let word = UInt64(littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: place, as: UInt64.self))
            let found =
                word & highs | zeros(word ^ (ones &* 0x22)) | zeros(word ^ (ones &* 0x5C))
                | (word &- (ones &* 0x20)) & ~word & highs
            if found != 0 { return place + found.trailingZeroBitCount / 8 }
            place += 8
        }
        while place < text.count {
            switch text[place] {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0..<0x20, 0x80...: return place
            default: place += 1
            }
        }
        return place
    }

    /// Where an escape ends that begins at `place`.
    private static func escapeEnd(_ text: Span<UInt8>, from place: Int) throws(JSONError) -> Int {
        guard place + 1 < text.count else { throw JSONError(offset: text.count, reason: .endsInside("a string")) }
        switch text[place + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return place + 2
        case UInt8(ascii: "u"): break
        default: throw JSONError(offset: place, reason: .unknownEscape)
        }
        let code = try code(text, at: place)
        guard !JSONEscape.low.contains(code) else { throw JSONError(offset: place, reason: .loneSurrogate) }
        guard JSONEscape.high.contains(code) else { return place + 6 }
        let second = place + 6
        guard second < text.count else { throw JSONError(offset: text.count, reason: .endsInside("a string")) }
        guard text[second] == UInt8(ascii: "\\"), second + 1 == text.count || text[second + 1] == UInt8(ascii: "u")
        else { throw JSONError(offset: place, reason: .loneSurrogate) }
        guard JSONEscape.low.contains(try self.code(text, at: second)) else {
            throw JSONError(offset: place, reason: .loneSurrogate)
        }
        return second + 6
    }

    /// The number of a `\u` escape that begins at `place`.
    private static func code(_ text: Span<UInt8>, at place: Int) throws(JSONError) -> UInt32 {
        if let code = JSONEscape.code(text, at: place + 2) { return code }
        if text.count < place + 6 { throw JSONError(offset: text.count, reason: .endsInside("a string")) }
        throw JSONError(offset: place, reason: .noHexadecimalDigit)
    }

    /// How many bytes the character at `place` has, which is not ASCII; `nil` when it is not UTF-8 (RFC 3629 §4).
    private static func characterLength(_ text: Span<UInt8>, at place: Int) -> Int? {
        let (length, second): (Int, ClosedRange<UInt8>)
        switch text[place] {
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: return nil
        }
        guard place + length <= text.count, second.contains(text[place + 1]) else { return nil }
        for next in place + 2..<place + length where text[next] & 0xC0 != 0x80 { return nil }
        return length
    }

    // MARK: Numbers

    /// Reads a number. Says whether it is an integer within Int64.
    mutating func readNumber(_ text: Span<UInt8>) throws(JSONError) -> Bool {
        let start = offset
        var place = offset
        if text[place] == UInt8(ascii: "-") { place += 1 }
        let first = place
        place = try Self.digitsEnd(text, from: place, after: "the sign")
        let digits = place - first
        guard digits == 1 || text[first] != UInt8(ascii: "0") else {
            throw JSONError(offset: first, reason: .leadingZero)
        }
        var isWhole = true
        if place < text.count, text[place] == UInt8(ascii: ".") {
            isWhole = false
            place = try Self.digitsEnd(text, from: place + 1, after: "the point")
        }
        var exponent = 0
        if place < text.count, text[place] | 0x20 == UInt8(ascii: "e") {
            isWhole = false
            place += 1
            var isNegative = false
            if place < text.count, text[place] == UInt8(ascii: "+") || text[place] == UInt8(ascii: "-") {
                isNegative = text[place] == UInt8(ascii: "-")
                place += 1
            }
            let end = try Self.digitsEnd(text, from: place, after: "the exponent")
            while place < end {
                exponent = min(exponent * 10 + Int(text[place] - UInt8(ascii: "0")), 1_000_000_000)
                place += 1
            }
            if isNegative { exponent = -exponent }
        }
        offset = place
        if isWhole, digits < 19 { return true }
        if isWhole, digits == 19, JSONNumber.integer(text, start..<place) != nil { return true }
        // Below 10^308 all are finite.
        guard digits + exponent <= 308 || JSONNumber.double(text, start..<place).isFinite else {
            throw JSONError(offset: start, reason: .numberTooLarge)
        }
        return false
    }

    /// Where the digits end that begin at `place`: at least one.
    private static func digitsEnd(_ text: Span<UInt8>, from place: Int, after part: String) throws(JSONError) -> Int {
        var end = place
        while end < text.count, text[end] &- UInt8(ascii: "0") <= 9 { end += 1 }
        guard end > place else {
            throw place < text.count
                ? JSONError(offset: place, reason: .noDigit(after: part))
                : JSONError(offset: place, reason: .endsInside("a number"))
        }
        return end
    }
}
