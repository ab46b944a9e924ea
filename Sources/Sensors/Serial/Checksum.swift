/// What guards a frame.
///
/// The CRCs are those of Greg Cook's catalogue of parametrised CRC algorithms (reveng.sourceforge.io/crc-catalogue),
/// by their common names.
package enum Checksum: String, Hashable, Sendable, CaseIterable {
    /// CRC-8/SMBUS.
    case crc8 = "crc-8"
    /// CRC-8/MAXIM-DOW, of 1-Wire.
    case crc8Maxim = "crc-8-maxim"
    /// CRC-16/MODBUS.
    case crc16Modbus = "crc-16-modbus"
    /// CRC-16/IBM-3740, often called CCITT-FALSE.
    case crc16CCITTFalse = "crc-16-ccitt-false"
    /// CRC-16/XMODEM.
    case crc16XModem = "crc-16-xmodem"
    /// CRC-16/ARC.
    case crc16ARC = "crc-16-arc"
    /// CRC-16/KERMIT.
    case crc16Kermit = "crc-16-kermit"
    /// CRC-32/ISO-HDLC, of Ethernet and zip.
    case crc32 = "crc-32"
    /// CRC-32/ISCSI, also called CRC-32C.
    case crc32C = "crc-32c"
    /// All bytes exclusive-or.
    case xor
    /// The bytes' sum modulo 256.
    case sum8
    /// The two's complement of ``sum8``: the bytes and their checksum sum to 0 modulo 256.
    case sum8Complement = "sum8-complement"
    /// The bytes' sum modulo 65,536.
    case sum16

    /// How many bytes it takes in a frame: 1, 2 or 4.
    package var width: Int {
        switch self {
        case .crc8, .crc8Maxim, .xor, .sum8, .sum8Complement: 1
        case .crc16Modbus, .crc16CCITTFalse, .crc16XModem, .crc16ARC, .crc16Kermit, .sum16: 2
        case .crc32, .crc32C: 4
        }
    }

    /// The checksum over all of `bytes`, in its lowest ``width`` bytes.
    package func value(of bytes: some Sequence<UInt8>) -> UInt32 {
        switch self {
        case .crc8: CRC.smbus.value(of: bytes)
        case .crc8Maxim: CRC.maximDOW.value(of: bytes)
        case .crc16Modbus: CRC.modbus.value(of: bytes)
        case .crc16CCITTFalse: CRC.ibm3740.value(of: bytes)
        case .crc16XModem: CRC.xmodem.value(of: bytes)
        case .crc16ARC: CRC.arc.value(of: bytes)
        case .crc16Kermit: CRC.kermit.value(of: bytes)
        case .crc32: CRC.isoHDLC.value(of: bytes)
        case .crc32C: CRC.iscsi.value(of: bytes)
        case .xor: UInt32(bytes.reduce(0, ^))
        case .sum8: UInt32(bytes.reduce(0, &+))
        case .sum8Complement: UInt32(0 &- bytes.reduce(0, &+))
        case .sum16: UInt32(bytes.reduce(UInt16(0)) { $0 &+ UInt16($1) })
        }
    }
}

/// The catalogue's parameters.
extension CRC {
    fileprivate static let smbus = CRC(
        width: 8, polynomial: 0x07, initial: 0x00, reflectedIn: false, reflectedOut: false, xorOut: 0x00)
    fileprivate static let maximDOW = CRC(
        width: 8, polynomial: 0x31, initial: 0x00, reflectedIn: true, reflectedOut: true, xorOut: 0x00)
    fileprivate static let modbus = CRC(
        width: 16, polynomial: 0x8005, initial: 0xFFFF, reflectedIn: true, reflectedOut: true, xorOut: 0x0000)
    fileprivate static let ibm3740 = CRC(
        width: 16, polynomial: 0x1021, initial: 0xFFFF, reflectedIn: false, reflectedOut: false, xorOut: 0x0000)
    fileprivate static let xmodem = CRC(
        width: 16, polynomial: 0x1021, initial: 0x0000, reflectedIn: false, reflectedOut: false, xorOut: 0x0000)
    fileprivate static let arc = CRC(
        width: 16, polynomial: 0x8005, initial: 0x0000, reflectedIn: true, reflectedOut: true, xorOut: 0x0000)
    fileprivate static let kermit = CRC(
        width: 16, polynomial: 0x1021, initial: 0x0000, reflectedIn: true, reflectedOut: true, xorOut: 0x0000)
    fileprivate static let isoHDLC = CRC(
        width: 32, polynomial: 0x04C1_1DB7, initial: 0xFFFF_FFFF, reflectedIn: true, reflectedOut: true,
        xorOut: 0xFFFF_FFFF)
    fileprivate static let iscsi = CRC(
        width: 32, polynomial: 0x1EDC_6F41, initial: 0xFFFF_FFFF, reflectedIn: true, reflectedOut: true,
        xorOut: 0xFFFF_FFFF)
}
