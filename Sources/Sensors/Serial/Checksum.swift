/// What guards a frame. CRCs by their names in Greg Cook's catalogue of parametrised CRC algorithms (reveng).
package enum Checksum: String, Hashable, Sendable, CaseIterable {
    case crc8 = "crc-8"
    /// 1-Wire.
    case crc8Maxim = "crc-8-maxim"
    case crc16Modbus = "crc-16-modbus"
    /// CRC-16/IBM-3740, often called CCITT-FALSE.
    case crc16CCITT = "crc-16-ccitt-false"
    case crc16XModem = "crc-16-xmodem"
    case crc16Kermit = "crc-16-kermit"
    /// CRC-16/ARC, of DSMR telegrams.
    case crc16ARC = "crc-16-arc"
    case crc32 = "crc-32"
    case crc32C = "crc-32c"
    /// All bytes exclusive-or.
    case xor
    case sum8
    /// So that all bytes and the sum are zero together.
    case sum8Complement = "sum8-complement"
    case sum16

    /// How many bytes it takes.
    package var width: Int {
        switch self {
        case .crc8, .crc8Maxim, .xor, .sum8, .sum8Complement: 1
        case .crc16Modbus, .crc16CCITT, .crc16XModem, .crc16Kermit, .crc16ARC, .sum16: 2
        case .crc32, .crc32C: 4
        }
    }

    /// Over all of `bytes`. Eight steps a byte for a CRC: a serial line is slow.
    package func value(of bytes: some Sequence<UInt8>) -> UInt32 {
        switch self {
        case .xor: bytes.reduce(0) { $0 ^ UInt32($1) }
        case .sum8: bytes.reduce(0) { ($0 + UInt32($1)) & 0xFF }
        case .sum8Complement: (0x100 - bytes.reduce(0) { ($0 + UInt32($1)) & 0xFF }) & 0xFF
        case .sum16: bytes.reduce(0) { ($0 + UInt32($1)) & 0xFFFF }
        case .crc8: Self.forward(bytes, width: 8, polynomial: 0x07, initial: 0)
        case .crc16CCITT: Self.forward(bytes, width: 16, polynomial: 0x1021, initial: 0xFFFF)
        case .crc16XModem: Self.forward(bytes, width: 16, polynomial: 0x1021, initial: 0)
        case .crc8Maxim: Self.reflected(bytes, polynomial: 0x8C, initial: 0)
        case .crc16Modbus: Self.reflected(bytes, polynomial: 0xA001, initial: 0xFFFF)
        case .crc16Kermit: Self.reflected(bytes, polynomial: 0x8408, initial: 0)
        case .crc16ARC: Self.reflected(bytes, polynomial: 0xA001, initial: 0)
        case .crc32: ~Self.reflected(bytes, polynomial: 0xEDB8_8320, initial: .max)
        case .crc32C: ~Self.reflected(bytes, polynomial: 0x82F6_3B78, initial: .max)
        }
    }

    /// The highest bit first.
    private static func forward(
        _ bytes: some Sequence<UInt8>, width: UInt32, polynomial: UInt32, initial: UInt32
    ) -> UInt32 {
        let top: UInt32 = 1 << (width - 1)
        let mask = top | (top - 1)
        var value = initial
        for byte in bytes {
            value ^= UInt32(byte) << (width - 8)
            for _ in 0..<8 { value = (value & top != 0 ? value << 1 ^ polynomial : value << 1) & mask }
        }
        return value
    }

    /// The lowest bit first; the polynomial is written the other way round.
    private static func reflected(_ bytes: some Sequence<UInt8>, polynomial: UInt32, initial: UInt32) -> UInt32 {
        var value = initial
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 != 0 ? value >> 1 ^ polynomial : value >> 1 }
        }
        return value
    }
}
