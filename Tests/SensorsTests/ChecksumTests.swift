import Sensors
import TestSupport
import Testing

@Suite struct ChecksumTests {
    /// The catalogue's check values; the sums are counted by hand.
    @Test(
        arguments: [
            ("crc-8", 0xF4), ("crc-8-maxim", 0xA1), ("crc-16-modbus", 0x4B37), ("crc-16-ccitt-false", 0x29B1),
            ("crc-16-xmodem", 0x31C3), ("crc-16-arc", 0xBB3D), ("crc-16-kermit", 0x2189), ("crc-32", 0xCBF4_3926),
            ("crc-32c", 0xE306_9283), ("xor", 0x31), ("sum8", 0xDD), ("sum8-complement", 0x23), ("sum16", 0x01DD),
        ] as [(String, UInt32)])
    func checkValueIsTheCatalogues(name: String, expected: UInt32) throws {
        let checksum = try #require(Checksum(rawValue: name))
        #expect(checksum.value(of: "123456789".utf8) == expected)
        #expect(checksum.rawValue == name)
    }

    @Test func namesAreAllAndNoOthers() {
        #expect(
            Checksum.allCases.map(\.rawValue) == [
                "crc-8", "crc-8-maxim", "crc-16-modbus", "crc-16-ccitt-false", "crc-16-xmodem", "crc-16-arc",
                "crc-16-kermit", "crc-32", "crc-32c", "xor", "sum8", "sum8-complement", "sum16",
            ])
        for name in ["", "CRC-8", "crc8", "crc-16", "none", " xor"] { #expect(Checksum(rawValue: name) == nil) }
    }

    /// Of nothing, a CRC is its initial value after the final exclusive-or.
    @Test(
        arguments: [
            (.crc8, 0), (.crc8Maxim, 0), (.crc16Modbus, 0xFFFF), (.crc16CCITTFalse, 0xFFFF), (.crc16XModem, 0),
            (.crc16ARC, 0), (.crc16Kermit, 0), (.crc32, 0), (.crc32C, 0), (.xor, 0), (.sum8, 0), (.sum8Complement, 0),
            (.sum16, 0),
        ] as [(Checksum, UInt32)])
    func ofNothing(checksum: Checksum, expected: UInt32) { #expect(checksum.value(of: []) == expected) }

    @Test(arguments: Checksum.allCases) func fitsIntoItsWidth(checksum: Checksum) {
        var random = SplitMix64(seed: 1)
        for count in [1, 2, 7, 64, 1_000, 70_000] {
            let value = UInt64(checksum.value(of: random.bytes(count)))
            #expect(value < 1 << UInt64(8 * checksum.width))
        }
        #expect(
            checksum.value(of: [UInt8](repeating: 0xFF, count: 70_000)) <= UInt32.max >> UInt32(32 - 8 * checksum.width)
        )
    }

    /// Any burst up to the CRC's width is seen, above all any one wrong byte.
    @Test(arguments: Checksum.allCases) func everyWrongByteIsSeen(checksum: Checksum) {
        var random = SplitMix64(seed: 2)
        let bytes = random.bytes(40)
        let right = checksum.value(of: bytes)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= UInt8.random(in: 1...255, using: &random)
            #expect(checksum.value(of: damaged) != right)
        }
    }

    /// A table is only a way to be quicker than a division bit by bit.
    @Test func tableAgreesWithDivisionBitByBit() {
        var random = SplitMix64(seed: 3)
        for count in 0..<50 {
            let bytes = random.bytes(count)
            var register: UInt32 = 0xFFFF
            for byte in bytes {
                for bit in 0..<8 {
                    let isSet = (register >> 15 ^ UInt32(byte) >> UInt32(7 - bit)) & 1 == 1
                    register = (register << 1 ^ (isSet ? 0x1021 : 0)) & 0xFFFF
                }
            }
            #expect(Checksum.crc16CCITTFalse.value(of: bytes) == register)
        }
    }

    @Test func complementSumsToZero() {
        var random = SplitMix64(seed: 4)
        for count in 0..<300 {
            let bytes = random.bytes(count)
            let sum = UInt8(truncatingIfNeeded: Checksum.sum8Complement.value(of: bytes))
            #expect((bytes + [sum]).reduce(0, &+) == 0)
        }
    }

    /// Modbus over serial line V1.02 §6.2.2: the example's frame 02 07 has the CRC 41 12 on the line.
    @Test func modbusExample() { #expect(Checksum.crc16Modbus.value(of: [0x02, 0x07]) == 0x1241) }
}
