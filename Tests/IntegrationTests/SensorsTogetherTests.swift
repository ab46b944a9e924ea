import Glibc
import TestSupport
import Testing

/// Six drivers at once on real interfaces, with the real binary: lines of gpio-sim, a pty for the GPS, pymodbus for the
/// meter, a tree like /sys for the thermometer. `Tests/VM/test-gpio` runs them in the virtual machine.
@Suite(
    .serialized, .timeLimit(.minutes(5)),
    .enabled(if: GpioSimulator.isHere, "no gpio-sim here: run `make test-gpio`"))
struct SensorsTogetherTests {
    private static let thermometer = "28-0316a2794d1f"

    /// The devices that the gateway reads, each of which can be taken away.
    final class Peers {
        let directory: TemporaryDirectory
        let meter: ModbusSlaves
        private var receiver: ChildProcess?

        init() async throws {
            directory = try TemporaryDirectory()
            meter = try await ModbusSlaves([7])
        }

        var slave: String { "\(directory.path)/bus/w1/devices/\(SensorsTogetherTests.thermometer)/w1_slave" }

        /// Says the same sentences every 200 ms, as a receiver on a bench does.
        func plugInReceiver() async throws {
            let sentences = "$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57\\r\\n"
            let process = try ChildProcess([
                "socat", "pty,raw,echo=0,link=\(directory["gps"])",
                "system:\"while printf '\(sentences)'; do sleep 0.2; done\"",
            ])
            try #require(await eventually { access(self.directory["gps"], F_OK) == 0 }, "\(process.errors)")
            receiver = process
        }

        func unplugReceiver() async {
            await receiver?.kill()
            unlink(directory["gps"])
        }

        func plugInThermometer() throws {
            var folder = directory.path
            for part in ["bus", "w1", "devices", SensorsTogetherTests.thermometer] {
                folder += "/\(part)"
                mkdir(folder, 0o755)
            }
            let file = try #require(fopen(slave, "w"))
            fputs("72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n", file)
            fclose(file)
        }

        func unplugThermometer() { unlink(slave) }

        func close() async {
            await meter.unplug()
            await receiver?.kill()
        }

        var settings: String {
            """
            [[sensor]]
            id = "door"
            driver = "gpio"
            line = "GPIO4"
            interval = "1s"
            [[sensor]]
            id = "pulses"
            driver = "gpio-counter"
            pin = 29
            interval = "500ms"
            [[sensor]]
            id = "relay"
            driver = "gpio-output"
            chip = "pinctrl-sim"
            chip_offset = 6
            initial = "off"
            interval = "1s"
            [[sensor]]
            id = "gps"
            driver = "serial"
            port = "\(directory["gps"])"
            frame = "nmea"
            stale_after = "1500ms"
            [[sensor]]
            id = "meter"
            driver = "modbus"
            port = "\(meter.line)"
            slave = 7
            interval = "500ms"
            timeout = "300ms"
            registers = ["value input 2 f32 kW"]
            [[sensor]]
            id = "boiler"
            driver = "sysfs"
            kind = "w1"
            root = "\(directory.path)"
            interval = "500ms"

            """
        }
    }

    static func states(_ gateway: TidegateProcess) async throws -> [String: String] {
        let list = try await runToEnd(
            [TidegateProcess.binary, "sensor", "list", "--config", gateway.settingsPath], upTo: .seconds(30)
        ).output
        var states: [String: String] = [:]
        for line in list.split(separator: "\n") where !line.hasPrefix(" ") {
            let parts = line.split(separator: " ")
            guard parts.count >= 3 else { continue }
            states[String(parts[0])] = String(parts[2].prefix { $0 != "," })
        }
        return states
    }

    @Test func sixDriversEachStandAlone() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/sensors/#")
        let peers = try await Peers()
        GpioSimulator.toggle(4, [true])
        GpioSimulator.toggle(5, [false])
        try await peers.plugInReceiver()
        try peers.plugInThermometer()
        let gateway = try await TidegateProcess(upstreamPort: upstream.port, settings: peers.settings)
        let names: Set = ["door", "pulses", "relay", "gps", "meter", "boiler"]
        func all(_ state: String, but failed: String? = nil) async throws -> Bool {
            let states = try await Self.states(gateway)
            return names.allSatisfy { states[$0] == ($0 == failed ? "failed" : state) }
        }
        #expect(try await eventually(within: .seconds(30)) { try await all("running") }, "\(gateway.process.errors)")

        // Every value arrives upstream.
        GpioSimulator.toggle(5, (1...200).map { $0 % 2 == 1 })
        let expected = [
            "gw/sensors/door {", "\"v\":true", "gw/sensors/pulses/total {", "\"v\":100,", "gw/sensors/relay {",
            "gw/sensors/gps/latitude {", "\"v\":47.2852395,\"u\":\"lat\"", "gw/sensors/meter {",
            "\"v\":7.5,\"u\":\"kW\"",
            "gw/sensors/boiler {", "\"v\":23.125,\"u\":\"Cel\"",
        ]
        #expect(
            await eventually(within: .seconds(30)) {
                expected.allSatisfy { part in cloud.messages.contains { $0.contains(part) } }
            }, "\(cloud.messages.suffix(30))")

        // Each peer goes and comes back; only its own sensor says so.
        try await away("meter", cloud, all, { await peers.meter.unplug() }, { try await peers.meter.plugIn() })
        try await away("gps", cloud, all, { await peers.unplugReceiver() }, { try await peers.plugInReceiver() })
        try await away("boiler", cloud, all, { peers.unplugThermometer() }, { try peers.plugInThermometer() })
        #expect(cloud.messages.contains { $0.hasPrefix("gw/sensors/gps/") && $0.contains("\"q\":\"stale\"") })
        await peers.close()
    }

    private func away(
        _ name: String, _ cloud: Subscriber, _ all: (String, String?) async throws -> Bool,
        _ unplug: () async -> Void, _ plugIn: () async throws -> Void
    ) async throws {
        let before = cloud.messages.count
        await unplug()
        #expect(try await eventually(within: .seconds(30)) { try await all("running", name) }, "without \(name)")
        #expect(
            await eventually(within: .seconds(30)) {
                cloud.messages.dropFirst(before).contains("gw/sensors/\(name)/$state offline")
            })
        try await plugIn()
        #expect(try await eventually(within: .seconds(60)) { try await all("running", nil) }, "with \(name) again")
        #expect(
            await eventually(within: .seconds(30)) {
                cloud.messages.dropFirst(before).contains("gw/sensors/\(name)/$state online")
            })
        #expect(
            !cloud.messages.dropFirst(before).contains { $0.hasSuffix("$state offline") && !$0.contains("/\(name)/") })
    }

    /// The gateway is stopped, started, killed: the relay does not move, and no count that was seen is lost.
    @Test func neitherAStopNorAKillMovesARelayOrLosesACount() async throws {
        let upstream = try await MosquittoProcess()
        let directory = try TemporaryDirectory()
        let settings = """
            [[sensor]]
            id = "relay"
            driver = "gpio-output"
            line = "GPIO7"
            initial = "off"
            [[sensor]]
            id = "pulses"
            driver = "gpio-counter"
            line = "GPIO8"
            interval = "200ms"
            """
        let port = freePort()
        GpioSimulator.toggle(7, [false])
        GpioSimulator.toggle(8, [false])
        func start() async throws -> TidegateProcess {
            let gateway = try await TidegateProcess(
                upstreamPort: upstream.port, lanPort: port, directory: directory, settings: settings)
            #expect(
                try await eventually(within: .seconds(30)) {
                    try await Self.states(gateway).values.filter { $0 == "running" }.count == 2
                }, "\(gateway.process.errors)")
            return gateway
        }
        func total(_ gateway: TidegateProcess) async throws -> Int? {
            let text = try await runToEnd(
                [TidegateProcess.binary, "sensor", "read", "pulses", "--config", gateway.settingsPath],
                upTo: .seconds(30)
            ).output
            return text.split(separator: "\n").first { $0.contains("total: ") }
                .flatMap { $0.split(separator: ":").last.flatMap { Int($0.drop { $0 == " " }) } }
        }
        var gateway = try await start()
        // From the cloud, through the accept rule.
        let sent = try await runToEnd([
            "mosquitto_pub", "-p", "\(upstream.port)", "-q", "1", "-t", "gw/cmd/relay", "-m", "on",
        ])
        #expect(sent.ending == .exited(0))
        #expect(await eventually { GpioSimulator.level(7) == true })

        let watch = GpioSimulator.Watch(7)
        var counted = 0
        for round in 1...4 {
            try await onOwnThread { GpioSimulator.toggle(8, (1...2_000).lazy.map { $0 % 2 == 1 }) }
            counted += 1_000
            #expect(try await eventually(within: .seconds(30)) { try await total(gateway) == counted })
            if round % 2 == 0 {
                await gateway.process.kill()
            } else {
                gateway.process.signal(SIGTERM)
                #expect(await gateway.process.wait() == .exited(0))
            }
            gateway = try await start()
            #expect(
                try await eventually(within: .seconds(30)) { try await total(gateway) == counted }, "round \(round)")
        }
        #expect(try await watch.falls() == 0)
    }
}
