import Glibc
import Readings
import Sensors
import Synchronization
import TestSupport
import Testing

/// The Modbus driver against pymodbus's slaves on a pty pair.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ModbusSensorTests {
    static func settings(_ slaves: ModbusSlaves, _ address: Int, _ registers: [String], more: String = "") -> (
        driver: any SensorDriver.Type, text: String
    ) {
        (
            ModbusSensor.self,
            """
            port = '\(slaves.line)'
            baud = 115200
            slave = \(address)
            interval = '100ms'
            timeout = '250ms'
            registers = [\(registers.map { "'\($0)'" }.joined(separator: ", "))]
            \(more)
            """
        )
    }

    @Test func everyTableAndTypeArrives() async throws {
        let slaves = try await ModbusSlaves([7])
        let rig = try SensorRig([
            Self.settings(
                slaves,
                7,
                [
                    "a input 0 u16", "b input 1 s16 *0.01 V", "c input 2 f32 A", "d holding 3 u32", "e coil 1",
                    "f discrete 1",
                    "g holding 250 u16",
                ])
        ])
        try await rig.run {
            #expect(await eventually { rig.samples(of: 0).count >= 7 }, "\(rig.state(of: 0))")
        }
        let samples = Dictionary(rig.samples(of: 0).map { ($0.metric ?? "", $0) }) { first, _ in first }
        #expect(samples["a"]?.value == .integer(7))
        #expect(samples["b"]?.value == .number(7) && samples["b"]?.unit == Unit("V"))
        #expect(samples["c"]?.value == .number(7.5))
        #expect(samples["d"]?.value == .integer(3 << 16 | 4))
        #expect(samples["e"]?.value == .boolean(true) && samples["f"]?.value == .boolean(false))
        #expect(samples["g"]?.quality == .bad && samples["g"]?.reason?.contains("illegal data address") == true)
        guard case .registers(let blocks)? = rig.hub.snapshot()[0].raw else {
            Issue.record("no registers")
            return
        }
        #expect(blocks.contains(RegisterBlock(table: "input", address: 0, values: [7, 700, 0x40F0, 0])))
    }

    /// One slave after the other dies, answers late, in garbage, under another address: only it reports, and comes back.
    @Test(arguments: ["dead", "late 0.6", "garbage", "cut", "as 9", "as 1"])
    func aSlaveThatMisbehavesStandsAlone(fault: String) async throws {
        let slaves = try await ModbusSlaves([1, 2, 3])
        let rig = try SensorRig(
            (1...3).map { Self.settings(slaves, $0, ["value input 0 u16"], more: "max_backoff = '1s'") })
        try await rig.run {
            #expect(await eventually { (0..<3).allSatisfy { rig.samples(of: $0).count >= 3 } })
            try slaves.faults(["2 \(fault)"])
            #expect(await eventually { rig.state(of: 1).name == "failed" })
            let before = [0, 2].map { rig.samples(of: $0).count }
            #expect(await eventually { zip([0, 2], before).allSatisfy { rig.samples(of: $0).count >= $1 + 10 } })
            #expect([0, 2].map { rig.state(of: $0).name } == ["running", "running"])
            try slaves.faults([])
            #expect(await eventually { rig.state(of: 1).name == "running" })
        }
        // Nobody ever got somebody else's value.
        for index in 0..<3 { #expect(rig.samples(of: index).allSatisfy { $0.value == .integer(Int64(index + 1)) }) }
        #expect(rig.hub.snapshot()[1].restarts == 0)
    }

    /// As after a restart, when the cloud's commands wait already.
    @Test func commandsThatComeBeforeThePortIsOpenAreCarriedOut() async throws {
        let slaves = try await ModbusSlaves([1])
        let rig = try SensorRig([Self.settings(slaves, 1, ["set holding 5 u16 write 0..100"])])
        let done = Atomic(0)
        for number in 1...10 {
            #expect(
                rig.hub.command("cmd/s0/set", payload: Array("\(number)".utf8)) {
                    done.add(1, ordering: .relaxed)
                })
        }
        #expect(done.load(ordering: .relaxed) == 0)
        try await rig.run {
            #expect(await eventually { done.load(ordering: .relaxed) == 10 })
            #expect(slaves.writes == Array(1...10))
            #expect(rig.hub.snapshot()[0].refusedCommands == 0)
        }
        await slaves.unplug()
    }

    @Test func whatIsWrittenIsReadBack() async throws {
        let slaves = try await ModbusSlaves([1])
        let rig = try SensorRig([
            Self.settings(
                slaves,
                1, ["set holding 5 s16 *0.1 Cel write 5..30", "switch coil 2 bool write", "wide holding 20 f32 write"])
        ])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            #expect(rig.hub.command("cmd/s0/set", payload: Array("21.5".utf8)))
            #expect(rig.hub.command("cmd/s0/switch", payload: Array("on".utf8)))
            #expect(rig.hub.command("cmd/s0/wide", payload: Array("-3.25".utf8)))
            #expect(!rig.hub.command("cmd/s0", payload: Array("1".utf8)))
            #expect(
                await eventually {
                    let values = rig.samples(of: 0)
                    return values.contains { $0.metric == "set" && $0.value == .number(21.5) }
                        && values.contains { $0.metric == "switch" && $0.value == .boolean(true) }
                        && values.contains { $0.metric == "wide" && $0.value == .number(-3.25) }
                })
            #expect(rig.hub.command("cmd/s0/set", payload: Array("31".utf8)))
            #expect(await eventually { rig.hub.snapshot()[0].lastRefusal?.contains("from 5.0 to 30.0") == true })
            // It stays as it was.
            let count = rig.samples(of: 0).count
            #expect(await eventually { rig.samples(of: 0).count > count + 6 })
            #expect(rig.samples(of: 0).last { $0.metric == "set" }?.value == .number(21.5))
        }
    }

    @Test func theLineMayBeUnplugged() async throws {
        let slaves = try await ModbusSlaves([1, 2])
        let rig = try SensorRig([
            Self.settings(slaves, 1, ["value input 0 u16"]), Self.settings(slaves, 2, ["value input 0 u16"]),
            (SimulatedSensor.self, "interval = '10ms'"),
        ])
        try await rig.run {
            #expect(await eventually { (0..<2).allSatisfy { rig.state(of: $0).name == "running" } })
            await slaves.unplug()
            #expect(await eventually { (0..<2).allSatisfy { rig.state(of: $0).name == "failed" } })
            let before = rig.values(of: 2).count
            #expect(await eventually { rig.values(of: 2).count > before + 3 })
            let counts = (0..<2).map { rig.samples(of: $0).count }
            try await slaves.plugIn()
            #expect(await eventually { (0..<2).allSatisfy { rig.samples(of: $0).count > counts[$0] + 3 } })
        }
    }

    @Test func onePortHasOneSpeed() async throws {
        let slaves = try await ModbusSlaves([1, 2])
        var other = Self.settings(slaves, 2, ["value input 0 u16"])
        other.text = other.text.replacing("baud = 115200", with: "baud = 9600")
        let rig = try SensorRig([Self.settings(slaves, 1, ["value input 0 u16"]), other])
        try await rig.run {
            #expect(
                await eventually { (0..<2).contains { rig.state(of: $0).problem?.contains("the same speed") == true } })
            #expect(await eventually { (0..<2).contains { rig.state(of: $0).name == "running" } })
        }
    }

    @Test(arguments: [
        ("port = '/x'\nregisters = ['value input 0']", "needs the key \"slave\""),
        ("slave = 1\nregisters = ['value input 0']", "needs the key \"port\" or \"usb\""),
        ("port = '/x'\nslave = 1\nregisters = []", "at least one value"),
        ("port = '/x'\nslave = 1\nregisters = ['a input 0', 'a input 1']", "two values called"),
        ("port = '/x'\nslave = 1\nregisters = ['value input 0', 'b input 1']", "names the only one"),
        ("port = '/x'\nslave = 1\nregisters = ['a inptu 0']", "coil, discrete, input or holding"),
        ("port = '/x'\nusb = '0403:6001'\nslave = 1\nregisters = ['a input 0']", "usb stands instead of port"),
        ("usb = '403:6001'\nslave = 1\nregisters = ['a input 0']", "VENDOR:PRODUCT@BUS-PORT"),
    ])
    func mistakesAreTold(text: String, expected: String) {
        let (sensor, errors) = SensorRig.sensor(ModbusSensor.self, text)
        #expect(sensor == nil)
        #expect(errors.count == 1 && errors[0].contains(expected), "\(errors)")
    }
}
