import Readings
import Sensors
import TestSupport
import Testing

/// Fields of binary frames, the health of a line, and asking.
@Suite struct BinaryFieldTests {
    static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

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
