/// A cyclic redundancy check by the parameters of the Rocksoft model (Ross Williams, "A painless guide to CRC error
/// detection algorithms", 1993), a table lookup a byte.
struct CRC: Sendable {
    private let width: UInt32
    private let isReflectedIn: Bool
    private let isReflectedOut: Bool
    private let xorOut: UInt32
    /// The register before the first byte: at the top of the word, or, reflected, at its bottom.
    private let initial: UInt32
    private let table: [UInt32]

    /// `width` is 8 to 32 bits; `polynomial` and `initial` are written with the highest power first, as in catalogues.
    init(
        width: UInt32, polynomial: UInt32, initial: UInt32, reflectedIn: Bool, reflectedOut: Bool, xorOut: UInt32
    ) {
        self.width = width
        self.isReflectedIn = reflectedIn
        self.isReflectedOut = reflectedOut
        self.xorOut = xorOut
        let top = 32 - width
        self.initial = reflectedIn ? Self.reverse(initial << top) : initial << top
        let divisor = reflectedIn ? Self.reverse(polynomial << top) : polynomial << top
        table = (0..<256).map { (index: UInt32) in
            var register = reflectedIn ? index : index << 24
            for _ in 0..<8 {
                if reflectedIn {
                    register = register & 1 != 0 ? register >> 1 ^ divisor : register >> 1
                } else {
                    register = register >> 31 != 0 ? register << 1 ^ divisor : register << 1
                }
            }
            return register
        }
    }

    func value(of bytes: some Sequence<UInt8>) -> UInt32 {
        var register = initial
        if isReflectedIn {
            for byte in bytes { register = register >> 8 ^ table[Int((register ^ UInt32(byte)) & 0xFF)] }
        } else {
            for byte in bytes { register = register << 8 ^ table[Int(register >> 24 ^ UInt32(byte))] }
            register >>= 32 - width
        }
        if isReflectedIn != isReflectedOut { register = Self.reverse(register) >> (32 - width) }
        return register ^ xorOut
    }

    private static func reverse(_ word: UInt32) -> UInt32 {
        var rest = word
        var reversed: UInt32 = 0
        for _ in 0..<32 {
            reversed = reversed << 1 | rest & 1
            rest >>= 1
        }
        return reversed
    }
}
