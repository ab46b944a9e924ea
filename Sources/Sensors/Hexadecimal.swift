/// Numbers as people who look for a mistake read them.
package enum Hexadecimal {
    /// All digits of `number`: two for a byte, four for a register.
    package static func text(_ number: some FixedWidthInteger & UnsignedInteger) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: type(of: number).bitWidth / 4 - digits.count) + digits
    }

    /// The numbers one after the other, with `separator` between them.
    package static func text(
        _ numbers: some Sequence<some FixedWidthInteger & UnsignedInteger>, separator: String = ""
    ) -> String {
        numbers.map { text($0) }.joined(separator: separator)
    }
}
