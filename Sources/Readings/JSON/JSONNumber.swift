/// Numbers of JSON texts to values. The bytes are a number as RFC 8259 §6 has it.
enum JSONNumber {
    /// The number as an integer; `nil` when it has a fraction or an exponent, or lies outside of Int64. `-0` is 0.
    static func integer(_ text: Span<UInt8>, _ range: Range<Int>) -> Int64? {
        let isNegative = text[range.lowerBound] == UInt8(ascii: "-")
        // Towards the negative, because there is one more of them.
        var result: Int64 = 0
        for place in range.dropFirst(isNegative ? 1 : 0) {
            let digit = text[place] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            let (product, isTooLarge) = result.multipliedReportingOverflow(by: 10)
            let (sum, overflow) = product.subtractingReportingOverflow(Int64(digit))
            guard !isTooLarge, !overflow else { return nil }
            result = sum
        }
        guard !isNegative else { return result }
        return result == .min ? nil : -result
    }

    /// The Double that is nearest to the number; infinite where that is too large.
    static func double(_ text: Span<UInt8>, _ range: Range<Int>) -> Double {
        if let exact = short(text, range) { return exact }
        let digits = String(decoding: range.map { text[$0] }, as: UTF8.self)
        // Only `nil` for what is no number, which these bytes are.
        return Double(digits) ?? .infinity
    }

    /// Numbers of few digits, as devices write them: up to 2^53 and 10^22 both factors are exact, and so is the only
    /// rounding (Clinger, How to read floating point numbers accurately, 1990).
    private static func short(_ text: Span<UInt8>, _ range: Range<Int>) -> Double? {
        var place = range.lowerBound
        let isNegative = text[place] == UInt8(ascii: "-")
        if isNegative { place += 1 }
        var mantissa: UInt64 = 0
        var digits = 0
        var scale = 0
        var isFraction = false
        while place < range.upperBound {
            let byte = text[place]
            let digit = byte &- UInt8(ascii: "0")
            if digit <= 9 {
                mantissa = mantissa &* 10 &+ UInt64(digit)
                digits += 1
                if isFraction { scale -= 1 }
            } else if byte == UInt8(ascii: ".") {
                isFraction = true
            } else {
                break
            }
            place += 1
        }
        // 19 digits cannot have overflown.
        guard digits <= 19, mantissa <= 1 << 53 else { return nil }
        if place < range.upperBound {
            place += 1
            let isBelowOne = text[place] == UInt8(ascii: "-")
            if isBelowOne || text[place] == UInt8(ascii: "+") { place += 1 }
            var exponent = 0
            while place < range.upperBound {
                exponent = min(exponent * 10 + Int(text[place] - UInt8(ascii: "0")), 10_000)
                place += 1
            }
            scale += isBelowOne ? -exponent : exponent
        }
        guard abs(scale) < powers.count else { return nil }
        let magnitude = Double(mantissa)
        let result = scale < 0 ? magnitude / powers[-scale] : magnitude * powers[scale]
        return isNegative ? -result : result
    }

    /// Of ten; each is exact.
    private static let powers: [Double] = [
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ]
}
