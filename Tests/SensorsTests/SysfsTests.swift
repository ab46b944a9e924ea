import Glibc
import Readings
import Sensors
import TestSupport
import Testing

/// The sysfs driver on trees as real boards have them.
@Suite(.serialized, .timeLimit(.minutes(1))) struct SysfsTests {
    /// Files below a folder that stands for /sys.
    struct Tree {
        let directory: TemporaryDirectory
        var root: String { directory.path }

        init(_ files: [String: String]) throws {
            directory = try TemporaryDirectory()
            for (path, text) in files { try write(text, to: path) }
        }

        func write(_ text: String, to path: String) throws {
            var folder = directory.path
            for part in path.split(separator: "/").dropLast() {
                folder += "/\(part)"
                mkdir(folder, 0o755)
            }
            let file = try #require(fopen("\(directory.path)/\(path)", "w"))
            defer { fclose(file) }
            fputs(text, file)
        }

        func remove(_ path: String) { unlink("\(directory.path)/\(path)") }
    }

    static func slave(_ bytes: String, _ thousandths: Int, _ verdict: String = "YES") -> String {
        "\(bytes) : crc=\(bytes.suffix(2)) \(verdict)\n\(bytes) t=\(thousandths)\n"
    }

    static let warm = slave("72 01 4b 46 7f ff 0e 10 57", 23_125)
    static let id = "28-0316a2794d1f"
    static var file: String { "bus/w1/devices/\(id)/w1_slave" }

    static func rig(_ tree: Tree, _ text: String) throws -> SensorRig {
        try SensorRig([(SysfsSensor.self, "root = '\(tree.root)'\ninterval = '100ms'\n\(text)")])
    }

    @Test func aThermometersAnswerIsVerified() throws {
        #expect(try W1Slave.celsius(Self.warm) == 23.125)
        #expect(try W1Slave.celsius(Self.slave("6e ff 4b 46 7f ff 02 10 4a", -9_125)) == -9.125)
        #expect(throws: W1Slave.Failure.checksum) {
            try W1Slave.celsius(Self.slave("72 01 4b 46 7f ff 0e 10 57", 23_125, "NO"))
        }
        // The kernel believed it, and we count again.
        #expect(throws: W1Slave.Failure.checksum) {
            try W1Slave.celsius(Self.slave("73 01 4b 46 7f ff 0e 10 57", 23_187))
        }
        #expect(throws: W1Slave.Failure.zeros) { try W1Slave.celsius(Self.slave("00 00 00 00 00 00 00 00 00", 0)) }
        #expect(throws: W1Slave.Failure.silent) { try W1Slave.celsius(Self.slave("ff ff ff ff ff ff ff ff ff", -62)) }
        for text in [
            "", "\n", "72 01 4b", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n",
            Self.warm.replacing("t=23125", with: "t=x"),
        ] {
            #expect(throws: W1Slave.Failure.unreadable) { try W1Slave.celsius(text) }
        }
    }

    @Test func eightyFiveDegreesAreBelievedOnAPlausibleSlope() {
        func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }
        func take(_ check: inout PowerOnCheck, _ celsius: Double, _ seconds: Double) -> Bool {
            check.take(celsius, at: at(seconds))
        }
        var check = PowerOnCheck()
        #expect(!take(&check, 85, 0))
        #expect(!take(&check, 85, 10))
        #expect(take(&check, 21, 20))
        #expect(!take(&check, 85, 30))
        #expect(take(&check, 21.5, 40))
        // An oven: up it goes, and stays there.
        for (index, celsius) in [60, 70, 78, 82, 85, 85, 84.9375, 85].enumerated() {
            #expect(take(&check, celsius, 100 + Double(index) * 10))
        }
        // Too long ago to say anything.
        #expect(!take(&check, 85, 2_000))
    }

    @Test func aThermometerIsReadAndFoundAgain() async throws {
        let tree = try Tree([Self.file: Self.warm, "bus/w1/devices/w1_bus_master1/uevent": ""])
        let rig = try Self.rig(tree, "kind = 'w1'")
        try await rig.run {
            #expect(await eventually { rig.values(of: 0).first == .number(23.125) })
            #expect(rig.samples(of: 0)[0].unit == Unit("Cel") && rig.samples(of: 0)[0].metric == nil)
            try tree.write(Self.slave("50 05 4b 46 7f ff 0c 10 1c", 85_000), to: Self.file)
            #expect(await eventually { rig.samples(of: 0).last?.quality == .bad })
            #expect(rig.samples(of: 0).last?.reason?.contains("after power-up") == true)
            try tree.write(Self.slave("00 00 00 00 00 00 00 00 00", 0), to: Self.file)
            #expect(await eventually { rig.samples(of: 0).last?.reason?.contains("zeros") == true })
            // It is one bad value after the other, not a failed sensor.
            #expect(rig.state(of: 0).name == "running")
            tree.remove(Self.file)
            #expect(await eventually { rig.state(of: 0).name == "failed" })
            try tree.write(Self.warm, to: Self.file)
            #expect(await eventually { rig.state(of: 0).name == "running" })
        }
    }

    @Test func iioChannelsAreScaled() async throws {
        let bme = "bus/iio/devices/iio:device0"
        let adc = "bus/iio/devices/iio:device1"
        let tree = try Tree([
            "\(bme)/name": "bme280\n", "\(bme)/in_temp_input": "21340\n", "\(bme)/in_pressure_input": "98.321570000\n",
            "\(bme)/in_humidityrelative_input": "45123\n", "\(adc)/name": "ads1015\n",
            "\(adc)/in_voltage0_raw": "1200\n",
            "\(adc)/in_voltage0_scale": "3.000000\n", "\(adc)/in_voltage1_raw": "100\n",
            "\(adc)/in_voltage_scale": "2.0\n",
            "\(adc)/in_voltage_offset": "-50\n",
        ])
        let rig = try SensorRig([
            (SysfsSensor.self, "root = '\(tree.root)'\nkind = 'iio'\ndevice = 'bme280'"),
            (SysfsSensor.self, "root = '\(tree.root)'\nkind = 'iio'\ndevice = 'ads1015'"),
            (SysfsSensor.self, "root = '\(tree.root)'\nkind = 'iio'\ndevice = 'ads1015'\nchannels = ['voltage1']"),
        ])
        try await rig.run {
            #expect(await eventually { (0..<3).allSatisfy { !rig.samples(of: $0).isEmpty } })
        }
        func value(_ index: Int, _ metric: String?) -> Value? {
            rig.samples(of: index).first { $0.metric == metric }?.value
        }
        #expect(value(0, "temp") == .number(21.34) && value(0, "pressure") == .number(98_321.57))
        #expect(value(0, "humidityrelative") == .number(45.123))
        #expect(rig.samples(of: 0).first { $0.metric == "pressure" }?.unit == Unit("Pa"))
        // (raw + offset) * scale, in millivolts.
        #expect(value(1, "voltage0") == .number(3.45) && value(1, "voltage1") == .number(0.1))
        #expect(value(2, nil) == .number(0.1))
    }

    /// A driver is found by its name, whatever number this boot gave it.
    @Test func boardsRenumberTheirDevices() async throws {
        let tree = try Tree([
            "class/hwmon/hwmon0/name": "cpu_thermal", "class/hwmon/hwmon0/temp1_input": "51000",
            "class/hwmon/hwmon1/name": "pwmfan", "class/hwmon/hwmon1/fan1_input": "0", "class/hwmon/hwmon1/pwm1": "0",
            "class/thermal/thermal_zone0/type": "cpu-thermal", "class/thermal/thermal_zone0/temp": "48312",
            "class/thermal/cooling_device0/type": "fan",
        ])
        let rig = try SensorRig(
            ["kind = 'hwmon'\ndevice = 'cpu_thermal'", "kind = 'fan'", "kind = 'thermal'"].map {
                (SysfsSensor.self, "root = '\(tree.root)'\ninterval = '100ms'\n\($0)")
            })
        try await rig.run {
            #expect(
                await eventually { rig.values(of: 0).last == .number(51) && rig.values(of: 2).last == .number(48.312) })
            #expect(await eventually { rig.samples(of: 1).last == Sample(value: .number(0), unit: Unit("1/min")) })
            try tree.write("128", to: "class/hwmon/hwmon1/pwm1")
            #expect(
                await eventually { rig.samples(of: 1).last?.reason == "the fan stands still although it is driven" })
            for file in ["hwmon0/name", "hwmon0/temp1_input"] { tree.remove("class/hwmon/\(file)") }
            #expect(await eventually { rig.state(of: 0).name == "failed" })
            try tree.write("cpu_thermal", to: "class/hwmon/hwmon7/name")
            try tree.write("52000", to: "class/hwmon/hwmon7/temp1_input")
            #expect(await eventually { rig.values(of: 0).last == .number(52) })
        }
    }

    @Test(arguments: [
        ("kind = 'w1'", "dtoverlay=w1-gpio"), ("kind = 'hwmon'\ndevice = 'ina219'", "these are there: a, b"),
        ("kind = 'hwmon'", "say which with device: a, b"),
        ("kind = 'hwmon'\ndevice = 'a'\nchannels = ['temp2']", "it has temp1"),
    ])
    func whatIsMissingSaysWhatToDo(text: String, expected: String) async throws {
        let tree = try Tree([
            "class/hwmon/hwmon0/name": "a", "class/hwmon/hwmon0/temp1_input": "1", "class/hwmon/hwmon1/name": "b",
        ])
        let rig = try Self.rig(tree, text)
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).problem?.contains(expected) == true }, "\(rig.state(of: 0))")
        }
    }

    /// A read that hangs is told, and nobody else waits for it: a FIFO that nobody writes to does not answer.
    @Test func aHangingReadHoldsNobodyUp() async throws {
        let tree = try Tree([
            "class/thermal/thermal_zone0/type": "cpu", "class/thermal/thermal_zone1/type": "gpu",
            "class/thermal/thermal_zone1/temp": "40000",
        ])
        try #require(mkfifo("\(tree.root)/class/thermal/thermal_zone0/temp", 0o600) == 0)
        let rig = try SensorRig(
            ["cpu", "gpu"].map {
                (SysfsSensor.self, "root = '\(tree.root)'\nkind = 'thermal'\ninterval = '100ms'\ndevice = '\($0)'")
            })
        try await rig.run {
            #expect(await eventually { rig.values(of: 1).count > 10 })
            #expect(await eventually { rig.state(of: 0).problem?.contains("has not answered for 10 s") == true })
        }
        // The thread still waits; let it go.
        close(open("\(tree.root)/class/thermal/thermal_zone0/temp", O_WRONLY | O_NONBLOCK))
    }

    @Test func everythingThatIsThereIsListed() throws {
        let tree = try Tree([
            Self.file: Self.warm, "bus/iio/devices/iio:device0/name": "bme280",
            "bus/iio/devices/iio:device0/in_temp_input": "1",
            "class/hwmon/hwmon0/name": "a", "class/hwmon/hwmon0/temp10_input": "1",
            "class/hwmon/hwmon0/temp2_input": "1",
            "class/hwmon/hwmon0/fan1_input": "1",
        ])
        #expect(
            SysfsScan.list(root: tree.root) == [
                .init(kind: "w1", device: Self.id, channels: ["temperature"]),
                .init(kind: "iio", device: "bme280", channels: ["temp"]),
                .init(kind: "hwmon", device: "a", channels: ["temp2", "temp10"]),
                .init(kind: "fan", device: "a", channels: ["fan1"]),
            ])
    }

    @Test(arguments: [
        ("", "needs the key \"kind\""), ("kind = 'hwmon'\ndevice = 'hwmon0'", "the numbers change"),
        ("kind = 'iio'\ndevice = 'iio:device2'", "the numbers change"),
        ("kind = 'w1'\nroot = 'sys'", "an absolute path"),
    ])
    func mistakesAreTold(text: String, expected: String) {
        let (sensor, errors) = SensorRig.sensor(SysfsSensor.self, text)
        #expect(sensor == nil)
        #expect(errors.count == 1 && errors[0].contains(expected), "\(errors)")
    }
}
