import Readings
import Sensors
import TestSupport
import Testing

/// Checksums, frames and fields of binary protocols.
@Suite struct BinaryFrameTests {
    static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// The catalogue's check values: of the nine digits.
    @Test(
        arguments: [
            (Checksum.crc8, 0xF4), (.crc8Maxim, 0xA1), (.crc16Modbus, 0x4B37), (.crc16CCITT, 0x29B1),
            (.crc16XModem, 0x31C3),
            (.crc16Kermit, 0x2189), (.crc16ARC, 0xBB3D), (.crc32, 0xCBF4_3926), (.crc32C, 0xE306_9283), (.xor, 0x31),
            (.sum8, 0xDD), (.sum8Complement, 0x23), (.sum16, 0x01DD),
        ] as [(Checksum, UInt32)])
    func checksumsAreTheCatalogues(checksum: Checksum, expected: UInt32) {
        #expect(checksum.value(of: "123456789".utf8) == expected)
        #expect(UInt64(checksum.value(of: [])) < 1 << UInt64(8 * checksum.width))
    }

    static let formats: [FrameFormat] = [
        FrameFormat(
            start: [0xAA, 0x55], cut: .length(offset: 2, size: 1, isLittleEndian: false, adds: 5),
            check: .init(.crc16Modbus, isLittleEndian: true)),
        FrameFormat(
            start: [0x7E], cut: .length(offset: 1, size: 2, isLittleEndian: true, adds: 4),
            check: .init(.sum8Complement, from: 3)),
        FrameFormat(start: [0x02], cut: .end([0x03], escape: 0x10, mask: 0x20), check: .init(.crc8)),
        FrameFormat(start: [0x16, 0x16], cut: .fixed(12), check: .init(.crc32)),
        FrameFormat(cut: .end([0x0D, 0x0A], escape: nil, mask: 0), check: .init(.xor)),
    ]

    /// A frame as a device of that format sends it, and as it is handed out.
    static func frame(_ format: FrameFormat, using random: inout SplitMix64) -> (sent: [UInt8], expected: [UInt8]) {
        var payload = (0..<Int.random(in: 1...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random)
        }
        var frame = format.start
        switch format.cut {
        case .fixed(let length):
            payload = (0..<(length - format.start.count - (format.check?.checksum.width ?? 0))).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
        case .length(_, let size, let isLittleEndian, let adds):
            let total = format.start.count + size + payload.count + (format.check?.checksum.width ?? 0)
            let bytes = (0..<size).map { UInt8(truncatingIfNeeded: (total - adds) >> (8 * $0)) }
            frame += isLittleEndian ? bytes : bytes.reversed()
        case .end(let end, _, _):
            // Without an escape, the end must not occur in the data.
            payload = payload.map { end.contains($0) ? 0x20 : $0 }
        case .gap: break
        }
        frame += payload
        if let check = format.check {
            let value = check.checksum.value(of: frame.dropFirst(check.from))
            let bytes = (0..<check.checksum.width).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
            frame += check.isLittleEndian ? bytes : bytes.reversed()
        }
        guard case .end(let end, let escape, let mask) = format.cut else { return (frame, frame) }
        var sent = format.start
        for byte in frame.dropFirst(format.start.count) {
            if let escape, byte == escape || end.contains(byte) || format.start.contains(byte) {
                sent += [escape, byte ^ mask]
            } else {
                sent.append(byte)
            }
        }
        return (sent + end, frame + end)
    }

    /// Every frame is found among garbage, however the bytes are cut into portions; nothing else is taken for one.
    @Test(arguments: formats) func everyFrameIsFoundAmongGarbage(format: FrameFormat) {
        var random = SplitMix64(seed: 77)
        for _ in 0..<50 {
            var framer = BinaryFramer(format)
            var stream: [UInt8] = []
            var expected: [[UInt8]] = []
            let isGuardedWell = format.check.map { $0.checksum.width > 1 } ?? false
            for _ in 0..<20 {
                if isGuardedWell {
                    stream += (0..<Int.random(in: 0...30, using: &random)).map { _ in
                        UInt8.random(in: 0...255, using: &random)
                    }
                }
                let (sent, whole) = Self.frame(format, using: &random)
                stream += sent
                expected.append(whole)
            }
            var found: [[UInt8]] = []
            var now: Int64 = 0
            var rest = stream[...]
            while !rest.isEmpty {
                let portion = rest.prefix(Int.random(in: 1...25, using: &random))
                rest = rest.dropFirst(portion.count)
                found += framer.push(portion, at: Self.at(now))
                now += 1
            }
            found += framer.idle(now: Self.at(now + 5_000))
            if isGuardedWell {
                #expect(expected.allSatisfy { found.contains($0) })
                #expect(found.count == expected.count)
            } else {
                // One byte of checksum and an end that may also be the checksum: some are lost, none is made up.
                #expect(found.allSatisfy { expected.contains($0) } || found.count <= expected.count)
                #expect(found.count >= expected.count / 2)
            }
        }
    }

    @Test func silenceEndsAFrame() {
        var framer = BinaryFramer(FrameFormat(cut: .gap(.milliseconds(10)), maximumLength: 8))
        #expect(framer.push([1, 2], at: Self.at(0)).isEmpty)
        #expect(framer.push([3], at: Self.at(5)).isEmpty)
        #expect(framer.deadline == Self.at(15))
        #expect(framer.idle(now: Self.at(14)).isEmpty)
        #expect(framer.idle(now: Self.at(15)) == [[1, 2, 3]])
        #expect(framer.deadline == nil)
        // Late: the silence is seen with the next byte.
        #expect(framer.push([4], at: Self.at(20)).isEmpty)
        #expect(framer.push([5], at: Self.at(40)) == [[4]])
        #expect(framer.push([UInt8](repeating: 9, count: 20), at: Self.at(41)).isEmpty)
        #expect(framer.idle(now: Self.at(60)).isEmpty)
        #expect(framer.overlong == 1)
        #expect(framer.push([7], at: Self.at(70)).isEmpty)
        #expect(framer.idle(now: Self.at(90)) == [[7]])
    }

    @Test func aHalfFrameIsGivenUp() {
        var framer = BinaryFramer(Self.formats[3])
        var random = SplitMix64(seed: 3)
        let (sent, whole) = Self.frame(Self.formats[3], using: &random)
        #expect(framer.push([0x16, 0x16, 1, 2], at: Self.at(0)).isEmpty)
        #expect(framer.push(sent, at: Self.at(2_000)) == [whole])
        #expect(framer.discarded == 4)
    }

    @Test func aMillionBytesOfGarbageAreTakenInTime() {
        var framer = BinaryFramer(Self.formats[0])
        var random = SplitMix64(seed: 5)
        let garbage = (0..<1_000_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        for start in stride(from: 0, to: garbage.count, by: 4_096) {
            _ = framer.push(garbage[start..<min(garbage.count, start + 4_096)], at: Self.at(Int64(start)))
        }
        #expect(framer.discarded > 990_000)
    }

    static func decode(_ text: String, _ frame: [UInt8]) throws -> Sample {
        try BinaryField(parsing: text).decode(frame)
    }

    @Test(
        arguments: [
            ("t @2 s16be *0.1 Cel", Value.number(-1.5)), ("t @2 u16be", .integer(65_521)),
            ("t @2 u16le", .integer(0xF1FF)),
            ("t @0 u8", .integer(1)), ("t @2 s8", .integer(-1)), ("t @0 u24be", .integer(0x0102FF)),
            ("t @0 s24le", .integer(-65_023)), ("t @-4 f32be", .number(21.5)), ("t @0 bit:0", .boolean(true)),
            ("t @0 bit:1", .boolean(false)), ("t @0 bcd:2", .integer(102)), ("value @4 ascii:4", .text("AB")),
            ("t @0 u8 *0.5 +3", .number(3.5)),
        ] as [(String, Value)])
    func fieldsAreDecoded(text: String, expected: Value) throws {
        let frame: [UInt8] = [0x01, 0x02, 0xFF, 0xF1, 0x41, 0x42, 0x20, 0x00, 0x41, 0xAC, 0x00, 0x00]
        let sample = try Self.decode(text, frame)
        #expect(sample.value == expected && sample.quality == .good)
    }

    @Test func whatIsNotThereIsBad() throws {
        #expect(
            try Self.decode("t @11 u16be", [UInt8](repeating: 0, count: 12)).reason == "the frame has only 12 bytes")
        #expect(try Self.decode("t @-13 u8", [UInt8](repeating: 0, count: 12)).quality == .bad)
        #expect(try Self.decode("t @0 f32be", [0x7F, 0x80, 0, 0]).value == .missing)
        #expect(try Self.decode("t @0 bcd:1", [0xFA]).quality == .bad)
        #expect(try Self.decode("t @0 u64be", [UInt8](repeating: 0xFF, count: 8)).value == .number(1.84467440737096e19))
    }

    @Test(arguments: [
        "", "t", "t 2 u8", "t @2", "t @2 u16", "t @2 u12be", "t @2 u8 *0", "t @2 bit:8", "t @2 bit:1 *2", "t/x @2 u8",
        "t @2 u8 V W",
    ])
    func mistakesAreTold(text: String) {
        #expect(throws: BinaryField.Failure.self) { try BinaryField(parsing: text) }
    }

    @Test func aLineThatMakesNoSenseIsDiagnosed() {
        var health = LineHealth()
        health.counted(.init(framing: 10, parity: 0, overrun: 0, breaks: 0))
        for second in 0..<10 { health.received(20, frames: 0, at: Self.at(Int64(second) * 1_000)) }
        #expect(health.problem(now: Self.at(4_000)) == nil)
        #expect(health.problem(now: Self.at(9_000)) == "bytes arrive but never form a frame: wrong speed or parity?")
        health.counted(.init(framing: 33, parity: 2, overrun: 0, breaks: 0))
        #expect(
            health.problem(now: Self.at(9_000))?.hasSuffix("(the port counted 23 framing and 2 parity errors)") == true)
        health.received(20, frames: 1, at: Self.at(10_000))
        #expect(health.problem(now: Self.at(60_000)) == nil)
    }

    @Test func aDeviceIsAskedInItsPaceAndGivenUpOn() {
        var poll = SerialPoll(interval: .seconds(10), timeout: .seconds(1), retries: 2, now: Self.at(0))
        #expect(poll.next(now: Self.at(0)) == .ask)
        #expect(poll.next(now: Self.at(999)) == nil)
        let isAnswered = poll.answered(now: Self.at(999))
        #expect(isAnswered)
        // Nobody asked for this one.
        let isAnswer = poll.answered(now: Self.at(1_000))
        #expect(!isAnswer)
        #expect(poll.deadline == Self.at(10_000))
        #expect(poll.next(now: Self.at(10_000)) == .ask)
        #expect(poll.next(now: Self.at(11_000)) == .ask)
        #expect(poll.next(now: Self.at(12_000)) == .ask)
        #expect(poll.next(now: Self.at(13_000)) == .silent)
        #expect(poll.next(now: Self.at(13_000)) == nil)
        #expect(poll.deadline == Self.at(20_000))
    }
}
