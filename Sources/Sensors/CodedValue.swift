import Readings

/// Bytes that hold a value, the highest first: how they are read, whichever protocol brought them.
struct CodedValue: Sendable {
    enum Coding: Hashable, Sendable {
        case unsigned
        /// Two's complement.
        case signed
        /// IEEE 754, of 4 or 8 bytes.
        case float
        /// One bit, 0 the lowest.
        case bit(Int)
        /// Two decimal digits a byte.
        case bcd
        /// UTF-8 up to the first NUL, spaces around it ignored.
        case text
    }

    var metric: String?
    var coding: Coding
    var scale: Double
    var offset: Double
    var unit: Unit?

    /// The value in `bytes`, 8 at most for numbers; missing and bad, with the reason, where they hold none.
    func sample(of bytes: [UInt8]) -> Sample {
        let bits = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch coding {
        case .bit(let bit): return Sample(metric: metric, value: .boolean(bits >> UInt64(bit) & 1 == 1))
        case .unsigned: return Int64(exactly: bits).map(number) ?? number(Double(bits))
        case .signed:
            let unused = Int64(64 - 8 * min(bytes.count, 8))
            return number((Int64(bitPattern: bits) << unused) >> unused)
        case .float:
            let isShort = bytes.count == 4
            return number(
                isShort
                    ? SignificantDigits.shortest(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
                    : Double(bitPattern: bits))
        case .bcd:
            var value: Int64 = 0
            for byte in bytes.prefix(8) {
                guard byte >> 4 <= 9, byte & 15 <= 9 else {
                    return bad("0x\(Hexadecimal.text(bytes)) is no BCD number")
                }
                value = value * 100 + Int64(byte >> 4) * 10 + Int64(byte & 15)
            }
            return number(value)
        case .text:
            guard let valid = String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self) else {
                return bad("the text is not UTF-8: 0x\(Hexadecimal.text(bytes))")
            }
            var trimmed = valid[...].drop { $0 == " " }
            while trimmed.last == " " { trimmed.removeLast() }
            return Sample(metric: metric, value: .text(String(trimmed)))
        }
    }

    /// Why there is no value.
    func bad(_ reason: String) -> Sample {
        Sample(metric: metric, value: .missing, quality: .bad, reason: reason)
    }

    private func number(_ integer: Int64) -> Sample {
        guard scale == 1, offset == 0 else { return number(Double(integer)) }
        return Sample(metric: metric, value: .integer(integer), unit: unit)
    }

    private func number(_ number: Double) -> Sample {
        let value = SignificantDigits.round(number * scale + offset, to: 15)
        guard value.isFinite else { return bad("the device sent a value that is no number") }
        return Sample(metric: metric, value: .number(value), unit: unit)
    }
}
