import Glibc
import TestSupport
import Testing

/// Sensors come, go and change at a reload, with the real binary: the others do not notice, and a port is handed over.
@Suite(.serialized, .timeLimit(.minutes(4))) struct SensorReloadTests {
    private static func reload(
        _ gateway: TidegateProcess, _ upstream: MosquittoProcess, _ sensors: String
    ) async throws {
        // The same but for the sensors.
        let settings = TidegateProcess.settings(
            lanPort: gateway.lanPort, upstreamPort: upstream.port, directory: gateway.directory, more: sensors)
        _ = try gateway.directory.write(settings, to: "tidegate.toml")
        let result = try await runToEnd(
            [TidegateProcess.binary, "reload", "--config", gateway.settingsPath], upTo: .seconds(90))
        #expect(result.ending == .exited(0), "\(result.output)\(result.errors)\(gateway.process.errors)")
    }

    private static func scale(_ id: String, _ pty: Pty, _ more: String = "") -> String {
        """
        [[sensor]]
        id = "\(id)"
        driver = "serial"
        port = "\(pty.path)"
        decode = "number"
        \(more)

        """
    }

    private static func wave(_ id: String, _ milliseconds: Int) -> String {
        """
        [[sensor]]
        id = "\(id)"
        driver = "simulated"
        interval = "\(milliseconds)ms"

        """
    }

    /// What stands of a sensor in the status, from its id to the next one's.
    private static func row(_ id: String, _ gateway: TidegateProcess) async throws -> String {
        let text = try await runToEnd(
            [TidegateProcess.binary, "sensor", "list", "--config", gateway.settingsPath], upTo: .seconds(30)
        ).output
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(where: { $0.hasPrefix("\(id) (") }) else { return "" }
        return lines[start...].prefix { $0 == lines[start] || $0.hasPrefix(" ") }.joined(separator: "\n")
    }

    @Test func sensorsComeGoAndChangeWhileTheOthersGoOn() async throws {
        let upstream = try await MosquittoProcess()
        let pty = try Pty()
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, settings: Self.scale("scale", pty) + Self.wave("old", 100))
        let local = try await Subscriber(port: gateway.lanPort, topic: "sensors/#")
        func hasValue(_ topic: String, _ value: String) -> Bool {
            local.messages.contains { $0.hasPrefix("\(topic) ") && $0.contains("\"v\":\(value)") }
        }
        // A port that is opened in the middle of a line waits for its end: silence first.
        #expect(
            await eventually {
                pty.send("1\n")
                return hasValue("sensors/scale", "1")
            }, "\(local.process.output)")
        #expect(await eventually { local.messages.contains { $0.hasPrefix("sensors/old ") } })

        // One comes, one goes, one changes; the scale's port stays open, or half a line would be thrown away.
        pty.send("20")
        try await Self.reload(gateway, upstream, Self.scale("scale", pty) + Self.wave("new", 50))
        pty.send("26\n")
        #expect(await eventually { hasValue("sensors/scale", "2026") }, "\(local.process.output)")
        #expect(await eventually { local.messages.contains { $0.hasPrefix("sensors/new ") } })
        #expect(try await Self.row("old", gateway).isEmpty)
        let before = local.messages.filter { $0.hasPrefix("sensors/old ") }.count
        #expect(
            await eventually {
                local.messages.filter { $0.hasPrefix("sensors/new ") }.count > 20
            })
        #expect(local.messages.filter { $0.hasPrefix("sensors/old ") && $0.contains("\"v\"") }.count <= before)
        #expect(try await Self.row("scale", gateway).contains("running, "))

        // Another sensor takes over the port, which the first has to have closed.
        try await Self.reload(gateway, upstream, Self.scale("balance", pty, "unit = \"kg\"") + Self.wave("new", 70))
        #expect(
            await eventually {
                pty.send("3\n")
                return hasValue("sensors/balance", "3")
            }, "\(gateway.process.errors)")
        #expect(try await Self.row("scale", gateway).isEmpty)
        let status = try await gateway.status()
        #expect(!status.contains("sensor scale") && status.contains("sensor balance"), "\(status)")
        gateway.process.signal(SIGTERM)
        #expect(await gateway.process.wait() == .exited(0))
    }

    /// All devices of a Modbus line get another speed: the line is closed by the last, and opened anew.
    @Test func aSharedLineIsHandedOver() async throws {
        let upstream = try await MosquittoProcess()
        let slaves = try await ModbusSlaves([1, 2])
        func meters(_ baud: Int, _ numbers: [Int]) -> String {
            numbers.map {
                """
                [[sensor]]
                id = "meter\($0)"
                driver = "modbus"
                port = "\(slaves.line)"
                baud = \(baud)
                slave = \($0)
                interval = "100ms"
                registers = ["value input 0 u16"]

                """
            }.joined()
        }
        func runs(_ id: String, _ gateway: TidegateProcess) async throws -> Bool {
            try await Self.row(id, gateway).contains(": running, ")
        }
        let gateway = try await TidegateProcess(upstreamPort: upstream.port, settings: meters(115_200, [1, 2]))
        #expect(
            try await eventually(within: .seconds(30)) {
                let first = try await runs("meter1", gateway)
                let second = try await runs("meter2", gateway)
                return first && second
            }, "\(gateway.process.errors)")
        // The reload itself waits until both run again.
        try await Self.reload(gateway, upstream, meters(57_600, [1, 2]))
        #expect(try await runs("meter1", gateway))
        #expect(try await runs("meter2", gateway))
        // One of them leaves; the line goes on.
        try await Self.reload(gateway, upstream, meters(57_600, [2]))
        #expect(try await runs("meter2", gateway))
        #expect(try await Self.row("meter1", gateway).isEmpty)
        gateway.process.signal(SIGTERM)
        #expect(await gateway.process.wait() == .exited(0))
        await slaves.unplug()
    }

    /// The log at its default level: the sensor that failed and the one that runs again, with its port and a remedy.
    @Test func theLogSaysThatASensorFailedAndRunsAgain() async throws {
        let upstream = try await MosquittoProcess()
        let directory = try TemporaryDirectory()
        let pty = try Pty()
        let port = directory["port"]
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, directory: directory,
            settings: """
                [[sensor]]
                id = "scale"
                driver = "serial"
                port = "\(port)"
                """)
        #expect(
            await eventually {
                gateway.process.errors.contains("sensor scale") && gateway.process.errors.contains(port)
                    && gateway.process.errors.contains("plug it in")
            }, "\(gateway.process.errors)")
        try #require(symlink(pty.path, port) == 0)
        #expect(
            await eventually(within: .seconds(30)) {
                gateway.process.errors.split(separator: "\n").contains {
                    $0.contains("again") && $0.contains("scale") && $0.contains("away")
                }
            }, "\(gateway.process.errors)")
        gateway.process.signal(SIGTERM)
        #expect(await gateway.process.wait() == .exited(0))
    }
}
