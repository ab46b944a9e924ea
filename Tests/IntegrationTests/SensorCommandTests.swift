import Glibc
import TestSupport
import Testing

/// `tidegate sensor`, with the real binary, with a gateway and without one.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SensorCommandTests {
    static func tidegate(_ arguments: [String]) async throws -> (
        ending: ChildProcess.Ending?, output: String, errors: String
    ) {
        let result = try await runToEnd([TidegateProcess.binary, "sensor"] + arguments, upTo: .seconds(60))
        return (result.ending, result.output, result.errors)
    }

    static let sensors = """
        [[sensor]]
        id = "wave"
        driver = "simulated"
        interval = "50ms"
        maximum = 10
        scale = 0.1
        unit = "V"
        [[sensor]]
        id = "gone"
        driver = "serial"
        port = "/dev/tidegate-no-such-port"
        """

    @Test func aRunningGatewayIsAsked() async throws {
        let upstream = try await MosquittoProcess()
        let gateway = try await TidegateProcess(upstreamPort: upstream.port, settings: Self.sensors)
        let config = ["--config", gateway.settingsPath]
        #expect(
            try await eventually {
                let list = try await Self.tidegate(["list"] + config).output
                return list.contains("wave (simulated): running, ") && list.contains("gone (serial): failed")
                    && list.contains("/dev/tidegate-no-such-port")
            })
        let read = try await Self.tidegate(["read", "wave"] + config)
        #expect(read.ending == .exited(0))
        #expect(read.output.contains("decoded:\n  value: ") && read.output.contains(" V"), "\(read.output)")
        let json = try await Self.tidegate(["read", "wave", "--json"] + config)
        #expect(json.output.contains("\"isNew\" : true"), "\(json.output)")
        let gone = try await Self.tidegate(["read", "gone", "--wait", "0.1"] + config)
        #expect(gone.ending == .exited(69) && gone.output.contains("cannot open the serial port"))
        let none = try await Self.tidegate(["read", "wvae"] + config)
        #expect(none.ending == .exited(64) && none.errors.contains("one of wave, gone"))
    }

    @Test func withoutAGatewayTheSensorIsOpenedHere() async throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(
            TidegateProcess.settings(
                lanPort: freePort(), upstreamPort: freePort(), directory: directory, more: Self.sensors),
            to: "tidegate.toml")
        let list = try await Self.tidegate(["list", "--config", path])
        #expect(list.output == "wave (simulated): not running\ngone (serial): not running\n", "\(list.errors)")
        let read = try await Self.tidegate(["read", "wave", "--config", path])
        #expect(
            read.ending == .exited(0) && read.output.contains("wave (simulated): running"),
            "\(read.output)\(read.errors)")
    }

    @Test func aScanNamesWhatIsThere() async throws {
        let scan = try await Self.tidegate(["scan"])
        #expect(scan.ending == .exited(0))
        for heading in ["GPIO: ", "serial ports: ", "devices of the kernel's drivers: "] {
            #expect(scan.output.contains(heading), "\(scan.output)")
        }
        #expect(try await Self.tidegate(["scan", "--modbus"]).ending == .exited(64))
        #expect(
            try await Self.tidegate(["scan", "--port", "/x", "--modbus", "--addresses", "0-3"]).ending == .exited(64))
        let absent = try await Self.tidegate(["scan", "--port", "/dev/tidegate-no-such-port", "--modbus"])
        #expect(absent.ending == .exited(69) && absent.errors.contains("plug it in"))
    }

    @Test func aModbusDeviceIsFoundAndPreviewed() async throws {
        let slaves = try await ModbusSlaves([3])
        let directory = try TemporaryDirectory()
        let scan = try await Self.tidegate([
            "scan", "--port", slaves.line, "--modbus", "--baud", "19200", "--parity", "even", "--addresses",
            "1-5",
        ])
        #expect(
            scan.output.contains("device 3 answers at 19200 8E1") && scan.output.contains("1 answers"), "\(scan.output)"
        )
        let path = try directory.write(
            TidegateProcess.settings(
                lanPort: freePort(), upstreamPort: freePort(), directory: directory,
                more: """
                    [[sensor]]
                    id = "meter"
                    driver = "modbus"
                    port = "\(slaves.line)"
                    slave = 3
                    registers = ["value input 2 f32 V"]
                    """), to: "tidegate.toml")
        let read = try await Self.tidegate(["read", "meter", "--preview", "--config", path])
        #expect(read.output.contains("input 2: 0x4060  u16 16480"), "\(read.output)\(read.errors)")
        #expect(read.output.contains("ABCD  u32 1080033280  f32 3.5"))
        #expect(read.output.contains("value: 3.5 V"))
        await slaves.unplug()
    }
}
