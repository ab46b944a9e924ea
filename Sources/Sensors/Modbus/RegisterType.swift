/// What a value's registers hold.
package enum RegisterType: Hashable, Sendable {
    case bool
    /// One bit of a register, 0 the lowest.
    case bit(Int)
    case u16
    case s16
    case u32
    case s32
    case u64
    case s64
    case f32
    case f64
    /// Four decimal digits a register, so many registers.
    case bcd(registers: Int)
    /// Text, two bytes a register.
    case string(registers: Int)

    /// How many registers, or bits of a table of bits, it takes.
    package var count: Int {
        switch self {
        case .bool, .bit, .u16, .s16: 1
        case .u32, .s32, .f32: 2
        case .u64, .s64, .f64: 4
        case .bcd(let registers), .string(let registers): registers
        }
    }

    /// "u16", "bit:3", "bcd:2", "string:8"; `nil` for anything else.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            switch text {
            case "bool": self = .bool
            case "u16": self = .u16
            case "s16": self = .s16
            case "u32": self = .u32
            case "s32": self = .s32
            case "u64": self = .u64
            case "s64": self = .s64
            case "f32": self = .f32
            case "f64": self = .f64
            case "bcd": self = .bcd(registers: 1)
            default: return nil
            }
            return
        }
        guard let number = Int(parts[1]) else { return nil }
        switch parts[0] {
        case "bit" where (0...15).contains(number): self = .bit(number)
        case "bcd" where (1...4).contains(number): self = .bcd(registers: number)
        case "string" where (1...125).contains(number): self = .string(registers: number)
        default: return nil
        }
    }
}

/// How the bytes A B C D of a number lie in its registers, A the highest. The standard fixes the order in one register
/// only; makers chose all four for two.
package enum ByteOrder: String, Hashable, Sendable, CaseIterable {
    /// Big-endian throughout, as the standard's own.
    case abcd = "ABCD"
    /// Little-endian throughout.
    case dcba = "DCBA"
    /// Bytes swapped in each register.
    case badc = "BADC"
    /// Registers swapped.
    case cdab = "CDAB"

    /// `registers` with the highest byte first.
    package func bytes(of registers: ArraySlice<UInt16>) -> [UInt8] {
        let words = self == .dcba || self == .cdab ? Array(registers.reversed()) : Array(registers)
        let isSwapped = self == .dcba || self == .badc
        return words.flatMap { word -> [UInt8] in
            let pair = [UInt8(word >> 8), UInt8(word & 0xFF)]
            return isSwapped ? [pair[1], pair[0]] : pair
        }
    }

    /// The registers that hold `bytes`, the highest first; an even number of them.
    package func registers(of bytes: [UInt8]) -> [UInt16] {
        let isSwapped = self == .dcba || self == .badc
        let words = stride(from: 0, to: bytes.count - 1, by: 2).map { index in
            let (first, second) = (UInt16(bytes[index]), UInt16(bytes[index + 1]))
            return isSwapped ? second << 8 | first : first << 8 | second
        }
        return self == .dcba || self == .cdab ? words.reversed() : words
    }
}
