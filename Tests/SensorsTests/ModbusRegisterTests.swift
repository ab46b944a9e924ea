import Readings
import Sensors
import Testing

/// How values are described, decoded and written.
@Suite struct ModbusRegisterTests {
    static func sample(_ text: String, _ registers: [UInt16]) throws -> Sample {
        try ModbusRegister(parsing: text).decode(registers[...])
    }

    @Test(
        arguments: [
            ("a input 0 u16", [0xFFFF], Value.integer(65_535)),
            ("a input 0 s16", [0xFFFE], .integer(-2)),
            ("a input 0 u32", [0x0001, 0x0002], .integer(65_538)),
            ("a input 0 u32:CDAB", [0x0002, 0x0001], .integer(65_538)),
            ("a input 0 u32:DCBA", [0x0200, 0x0100], .integer(65_538)),
            ("a input 0 u32:BADC", [0x0100, 0x0200], .integer(65_538)),
            ("a input 0 s32", [0xFFFF, 0xFFFF], .integer(-1)),
            ("a input 0 u64", [0, 0, 0, 7], .integer(7)),
            ("a input 0 u64", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], .number(1.84467440737096e19)),
            ("a input 0 s64:CDAB", [0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF], .integer(-2)),
            ("a input 0 f32", [0x41AC, 0x0000], .number(21.5)),
            // 0.1 has no exact binary fraction.
            ("a input 0 f32", [0x3DCC, 0xCCCD], .number(0.1)),
            ("a input 0 f64", [0x4035, 0x8000, 0, 0], .number(21.5)),
            ("a input 0 s16 *0.1", [215], .number(21.5)),
            ("a input 0 s16 *0.1 -40", [615], .number(21.5)),
            ("a holding 0 bit:3", [0b1000], .boolean(true)),
            ("a holding 0 bit:0", [0b1000], .boolean(false)),
            ("a holding 0 bcd:2", [0x1234, 0x5678], .integer(12_345_678)),
            ("a holding 0 string:3", [0x4142, 0x4320, 0x0000], .text("ABC")),
            ("a coil 0", [1], .boolean(true)),
            ("a discrete 7 bool", [0], .boolean(false)),
        ] as [(String, [UInt16], Value)])
    func decodes(text: String, registers: [UInt16], expected: Value) throws {
        let sample = try Self.sample(text, registers)
        #expect(sample.value == expected)
        #expect(sample.quality == .good)
    }

    @Test(
        arguments: [
            ("a input 0 f32", [0x7FC0, 0x0000], "no number"),
            ("a holding 0 bcd", [0x12A4], "no BCD number"),
            ("a holding 0 string:1", [0xFFFE], "not UTF-8"),
        ] as [(String, [UInt16], String)])
    func whatCannotBeDecodedIsBadAndSaysWhy(text: String, registers: [UInt16], reason: String) throws {
        let sample = try Self.sample(text, registers)
        #expect(sample.value == .missing && sample.quality == .bad)
        #expect(sample.reason?.contains(reason) == true)
    }

    @Test func theLineOfAManualIsOneLineOfSettings() throws {
        let register = try ModbusRegister(parsing: "setpoint holding 0x28 s16 *0.1 +1 Cel write 5..30")
        #expect(register.metric == "setpoint" && register.table == .holding && register.address == 40)
        #expect(register.scale == 0.1 && register.offset == 1 && register.unit == Unit("Cel"))
        #expect(register.writable == 5...30)
        #expect(try ModbusRegister(parsing: "value input 1 u16", isOneBased: true).address == 0)
        #expect(try ModbusRegister(parsing: "value input 1 u16").metric == nil)
        #expect(try ModbusRegister(parsing: "a input 1 f32", order: .cdab).order == .cdab)
        #expect(try ModbusRegister(parsing: "a coil 1", order: .dcba).decode([1]).value == .boolean(true))
        #expect(try ModbusRegister(parsing: "a input 1 f32:ABCD", order: .cdab).order == .abcd)
    }

    @Test(arguments: [
        ("", "a name"), ("a", "coil, discrete, input or holding"), ("a register 1", "coil, discrete, input or holding"),
        ("a input", "expected an address"), ("a input x u16", "expected an address"),
        ("a input 65536", "from 0 to 65535"),
        ("a input -1", "from 0 to 65535"), ("a input 65535 u32", "behind the last register"),
        ("a input 0 u24", "none of u16"),
        ("a input 0 u32:ABDC", "none of u16"), ("a coil 0 u16", "a coil is a bool"), ("a input 0 bool", "no bool"),
        ("a input 0 u16 write", "cannot be written"), ("a/b input 0", "a name"), ("a input 0 u16 *0", "no scale"),
        ("a coil 0 bool *2", "cannot be scaled"), ("a holding 0 bit:1 write", "others would change"),
    ])
    func mistakesAreTold(text: String, expected: String) {
        let failure = #expect(throws: ModbusRegister.Failure.self) { try ModbusRegister(parsing: text) }
        #expect(failure?.description.contains(expected) == true, "\(failure?.description ?? "")")
    }

    @Test(
        arguments: [
            ("a holding 0 s16 *0.1 write -40..85", "-12.3", [UInt16(bitPattern: -123)]),
            ("a holding 0 u16 write", "65535", [65_535]),
            ("a holding 0 u32:CDAB write", "65538", [2, 1]),
            ("a holding 0 f32 write", "21.5", [0x41AC, 0]),
            ("a holding 0 f64:DCBA write", "21.5", [0, 0, 0x0080, 0x3540]),
            ("a holding 0 bcd:2 write", "12345678", [0x1234, 0x5678]),
            ("a coil 0 bool write", "on", [1]), ("a coil 0 bool write", "FALSE", [0]),
        ] as [(String, String, [UInt16])])
    func commandsBecomeRegisters(text: String, command: String, expected: [UInt16]) throws {
        let register = try ModbusRegister(parsing: text)
        let written = try register.encode(command: command)
        #expect(written == expected)
        // What is read back is what was asked for.
        if let number = register.decode(written[...]).value.asDouble { #expect(number == Double(command)) }
    }

    @Test(arguments: [
        ("a holding 0 s16 *0.1 write 5..30", "30.1", "from 5.0 to 30.0"),
        ("a holding 0 u16 write", "-1", "does not fit"),
        ("a holding 0 u16 write", "65536", "does not fit"), ("a holding 0 u16 write", "warm", "expected a number"),
        ("a holding 0 u16 write", "nan", "expected a number"), ("a holding 0 u16 write", "inf", "expected a number"),
        ("a coil 0 bool write", "2", "on or off"), ("a holding 0 u16", "1", "not written to"),
        ("a holding 0 bcd write", "10000", "does not fit"),
    ])
    func whatMayNotBeWrittenIsRefused(text: String, command: String, expected: String) throws {
        let register = try ModbusRegister(parsing: text)
        let refusal = #expect(throws: ModbusRegister.Refusal.self) { try register.encode(command: command) }
        #expect(refusal?.description.contains(expected) == true, "\(refusal?.description ?? "")")
    }

    @Test func adjacentRegistersAreOneRequest() throws {
        let registers = try [
            "a input 0 f32", "b input 2 f32", "c input 5 u16", "d holding 0 u16", "e input 4 u16", "f coil 3",
            "g coil 9",
        ].map { try ModbusRegister(parsing: $0) }
        let plan = ModbusReadPlan(registers)
        #expect(
            plan.requests == [
                .init(table: .coil, address: 3, count: 1, values: [5]),
                .init(table: .coil, address: 9, count: 1, values: [6]),
                .init(table: .input, address: 0, count: 6, values: [0, 1, 4, 2]),
                .init(table: .holding, address: 0, count: 1, values: [3]),
            ])
        #expect(ModbusReadPlan(registers, limit: 4).requests.filter { $0.table == .input }.map(\.count) == [4, 2])
        #expect(ModbusReadPlan(registers, gap: 5).requests.filter { $0.table == .coil }.map(\.count) == [7])
        // Two views of one register.
        let views = try ["a holding 4 bit:0", "b holding 4 bit:1", "c holding 4 u16"].map {
            try ModbusRegister(parsing: $0)
        }
        #expect(ModbusReadPlan(views).requests == [.init(table: .holding, address: 4, count: 1, values: [0, 1, 2])])
    }
}
