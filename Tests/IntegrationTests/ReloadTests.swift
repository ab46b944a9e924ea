import Glibc
import MQTT
import Synchronization
import TestSupport
import Testing

/// `tidegate reload`: what changed is stopped and started, all else goes on. `TIDEGATE_RELOADS=200` makes the load test
/// longer.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ReloadTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    private func write(_ text: String, of gateway: TidegateProcess) throws {
        try gateway.directory.write(text, to: "tidegate.toml")
    }

    private func reload(
        _ gateway: TidegateProcess, _ words: [String] = ["reload"]
    ) async throws -> (ending: ChildProcess.Ending?, output: String, errors: String) {
        try await runToEnd([TidegateProcess.binary] + words + ["--config", gateway.settingsPath], upTo: .seconds(120))
    }

    /// The gateway's settings with what the rounds of the load test change.
    private func settings(of gateway: TidegateProcess, upstreamPort: Int, round: Int, ports: [Int]) -> String {
        var lan = "max_connections = \(100 + round % 5)\n"
        if round % 2 == 1 { lan += "[[listener]]\nlisten = [\"127.0.0.1:\(ports[round / 2 % ports.count])\"]\n" }
        var more = round % 4 == 3 ? "keep_alive = \"\(10 + round % 7)s\"\n" : ""
        more += "[class.telemetry]\nmax_count = \(1_000_000 + round)\n"
        if round % 3 == 1 { more += "[class.extra]\nmax_bytes = \"\(1 + round % 4)MB\"\n" }
        more += "[[forward]]\nfrom = \"sensors/#\"\n"
        more += "[[forward]]\nfrom = \"other/\(round % 3)/#\"\n" + (round % 3 == 1 ? "class = \"extra\"\n" : "")
        if round % 2 == 0 {
            more += """
                [[sensor]]
                id = "sim\(round % 4)"
                driver = "simulated"
                waveform = "sine"
                interval = "\(100 + round % 3 * 50)ms"

                """
        }
        return TidegateProcess.settings(
            lanPort: gateway.lanPort, upstreamPort: upstreamPort, directory: gateway.directory, lan: lan, more: more)
    }

    @Test func reloadsUnderLoadLoseNothingAndKeepEveryConnection() async throws {
        let rounds = getenv("TIDEGATE_RELOADS").flatMap { Int(String(cString: $0)) } ?? 12
        let upstream = try await MosquittoProcess()
        let consumer = try ChildProcess([
            "\(Self.root)/.build/clients/bin/python", "\(Self.root)/Examples/consumer.py", "127.0.0.1",
            "\(upstream.port)", "gw",
        ])
        #expect(await eventually(within: .seconds(30)) { consumer.errors.contains("subscribed") }, "\(consumer.errors)")
        let gateway = try await TidegateProcess(upstreamPort: upstream.port)
        #expect(try await gateway.isConnected())
        let ports = [freePort(), freePort()]
        let device = KilledAtRandomTests.Device()
        let hasEnded = Atomic(false)
        let publishing = Task {
            try await onOwnThread { device.publish(to: gateway.lanPort) }
            hasEnded.store(true, ordering: .releasing)
        }
        for round in 0..<rounds {
            let before = device.acknowledged
            try write(settings(of: gateway, upstreamPort: upstream.port, round: round, ports: ports), of: gateway)
            let result = try await reload(gateway)
            try #require(result.ending == .exited(0), "\(result.errors) \(gateway.process.errors)")
            try #require(
                await eventually(within: .seconds(30)) { device.acknowledged > before }, "\(gateway.process.errors)")
            let isDisconnected = hasEnded.load(ordering: .acquiring)
            try #require(!isDisconnected, "the device was disconnected in round \(round)")
            for (index, port) in ports.enumerated() {
                #expect(acceptsConnections(port) == (round % 2 == 1 && round / 2 % ports.count == index))
            }
        }
        let acknowledged = device.acknowledged
        #expect(
            await eventually(within: .seconds(60)) { consumer.output.contains(" \(acknowledged)\n") },
            "\(acknowledged) acknowledged; \(gateway.process.errors)")
        await gateway.process.kill()
        try await publishing.value
        consumer.signal(SIGTERM)
        #expect(await consumer.wait() == .exited(0))

        let numbers = consumer.outputLines.filter { $0.contains("sensors/count") }.compactMap {
            $0.split(separator: " ").last.flatMap { Int($0) }
        }
        var firsts: [Int] = []
        for number in numbers where number > firsts.last ?? 0 { firsts.append(number) }
        #expect(firsts.prefix(acknowledged) == ArraySlice(1...max(1, acknowledged)))
        for report in consumer.errors.split(separator: "\n").filter({ $0.contains("\"epoch\"") }) {
            #expect(report.contains("\"missing\": []"), "\(report)")
        }
    }

    @Test func settingsWithMistakesChangeNothing() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        let port = freePort()
        let good = TidegateProcess.settings(
            lanPort: gateway.lanPort, upstreamPort: 1, directory: gateway.directory,
            lan: "[[listener]]\nlisten = [\"127.0.0.1:\(port)\"]\n")
        try write(good + "[upstraem]\n", of: gateway)
        let result = try await reload(gateway)
        #expect(result.ending == .exited(78))
        #expect(result.errors.contains("upstraem"), "\(result.errors)")
        #expect(!acceptsConnections(port))
        try write(good, of: gateway)
        #expect(try await reload(gateway).ending == .exited(0))
        #expect(acceptsConnections(port))
        await gateway.process.kill()
    }

    @Test func checkDiffSaysWhatAReloadWouldDoAndDoesNothing() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        let port = freePort()
        try write(
            TidegateProcess.settings(
                lanPort: gateway.lanPort, upstreamPort: 1, directory: gateway.directory,
                lan: "[[listener]]\nlisten = [\"127.0.0.1:\(port)\"]\n",
                more: "[class.extra]\nmax_bytes = \"1MB\"\n"), of: gateway)
        let result = try await reload(gateway, ["check", "--diff"])
        #expect(result.ending == .exited(0), "\(result.errors)")
        #expect(result.output.contains("listener 127.0.0.1:\(port): is started"), "\(result.output)")
        #expect(result.output.contains("class extra: is added"))
        #expect(result.output.contains("upstream link: is stopped and started"))
        #expect(!acceptsConnections(port))
        await gateway.process.kill()
    }

    @Test func whatNeedsARestartIsSaidAndNothingChanges() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        let port = freePort()
        let text = TidegateProcess.settings(
            lanPort: gateway.lanPort, upstreamPort: 1, directory: gateway.directory,
            lan: "[[listener]]\nlisten = [\"127.0.0.1:\(port)\"]\n")
        try write(text.replacing("/data\"", with: "/elsewhere\""), of: gateway)
        let moved = try await reload(gateway)
        #expect(moved.ending == .exited(78))
        #expect(moved.errors.contains("data_dir") && moved.errors.contains("restart"), "\(moved.errors)")
        try write(text.replacing("id = \"gw\"", with: "id = \"other\""), of: gateway)
        let renamed = try await reload(gateway)
        #expect(renamed.ending == .exited(78))
        #expect(renamed.errors.contains("restart"), "\(renamed.errors)")
        #expect(!acceptsConnections(port))
        await gateway.process.kill()
    }

    @Test func whatDoesNotComeUpPutsTheEarlierSettingsBack() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        let taken = freePort()
        let other = try await MosquittoProcess(port: taken)
        let free = freePort()
        let before = textOfFile(gateway.settingsPath)
        try write(
            TidegateProcess.settings(
                lanPort: gateway.lanPort, upstreamPort: 1, directory: gateway.directory,
                lan: "[[listener]]\nlisten = [\"127.0.0.1:\(free)\", \"127.0.0.1:\(taken)\"]\n"), of: gateway)
        let result = try await reload(gateway)
        #expect(result.ending == .exited(69), "\(result.output) \(result.errors)")
        #expect(result.errors.contains("127.0.0.1:\(taken)") && result.errors.contains("try: "), "\(result.errors)")
        #expect(!acceptsConnections(free))
        #expect(acceptsConnections(gateway.lanPort))
        // The plan in force is the earlier one again.
        try write(before, of: gateway)
        #expect(try await reload(gateway, ["check", "--diff"]).output.contains("nothing changes"))
        _ = other
        await gateway.process.kill()
    }

    @Test func hangupReloads() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        let port = freePort()
        try write(
            TidegateProcess.settings(
                lanPort: gateway.lanPort, upstreamPort: 1, directory: gateway.directory,
                lan: "[[listener]]\nlisten = [\"127.0.0.1:\(port)\"]\n"), of: gateway)
        gateway.process.signal(SIGHUP)
        #expect(await eventually(within: .seconds(30)) { acceptsConnections(port) }, "\(gateway.process.errors)")
        #expect(gateway.process.endingIfOver == nil)
        await gateway.process.kill()
    }
}
