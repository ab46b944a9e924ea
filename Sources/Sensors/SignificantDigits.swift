import Glibc

/// Decimal rounding: a scale of 0.1 makes 21.5 of 215, not 21.500000000000004.
enum SignificantDigits {
    /// `number` to so many decimal digits, 1 to 17; what is not finite stays as it is.
    static func round(_ number: Double, to digits: Int) -> Double {
        guard number != 0, number.isFinite else { return number }
        let exponent = digits - 1 - Int(log10(abs(number)).rounded(.down))
        // Multiplying by a power of ten is exact where dividing by its inverse is not.
        if exponent >= 0, exponent <= 300 {
            let power = pow(10, Double(exponent))
            let scaled = (number * power).rounded()
            return scaled.isFinite ? scaled / power : number
        }
        if exponent < 0, exponent >= -300 {
            let power = pow(10, Double(-exponent))
            return (number / power).rounded() * power
        }
        return number
    }

    /// What a device meant with a float of 32 bits: 0.1, not the 0.10000000149011612 that it is in binary.
    static func shortest(_ float: Float) -> Double { Double("\(float)") ?? Double(float) }
}
