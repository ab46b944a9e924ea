import Glibc
import TestSupport
import Testing

/// The main job with real processes and nothing else: a LAN client, the gateway, a mosquitto upstream.
@Suite(.serialized, .timeLimit(.minutes(5))) struct AcrossTheGateTests {
    @Test func aReadingGoesUpAndACommandComesDown() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/sensors/#")
        let gateway = try await TidegateProcess(upstreamPort: upstream.port)
        let device = try await Subscriber(port: gateway.lanPort, topic: "cmd/#")

        try await gateway.publish("sensors/a", "21.5")
        #expect(await eventually { cloud.messages == ["gw/sensors/a 21.5"] }, "\(cloud.process.output)")

        #expect(try await gateway.isConnected())
        let command = try await runToEnd(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(upstream.port)", "-q", "1", "-t", "gw/cmd/lamp", "-m", "on"])
        #expect(command.ending == .exited(0))
        #expect(await eventually { device.messages == ["cmd/lamp on"] }, "\(device.process.output)")
    }

    @Test func birthAndWillSayWhetherTheGatewayIsThere() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/$state")
        let gateway = try await TidegateProcess(upstreamPort: upstream.port)
        #expect(await eventually { cloud.messages.last == "gw/$state online" })
        await gateway.process.kill()
        #expect(await eventually { cloud.messages.last == "gw/$state offline" })
    }

    @Test func stopsWithinFiveSecondsAndSaysSo() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/#")
        let gateway = try await TidegateProcess(upstreamPort: upstream.port)
        #expect(try await gateway.isConnected())
        let asked = ContinuousClock.now
        gateway.process.signal(SIGTERM)
        #expect(await gateway.process.wait(upTo: .seconds(10)) == .exited(0), "\(gateway.process.errors)")
        // The one time bound that is a promise towards systemd, not a measurement.
        #expect(ContinuousClock.now - asked < .seconds(5))
        #expect(await eventually { cloud.messages.last == "gw/$state offline" })
    }

    /// 10,000 publishes while the upstream is away, the gateway killed in the middle, and then the upstream returns:
    /// what was acknowledged arrives, in order, and only what was in flight may come twice.
    @Test func nothingAcknowledgedIsLostWhenTheGatewayIsKilled() async throws {
        let upstreamPort = freePort()
        let directory = try TemporaryDirectory()
        let lanPort = freePort()
        var gateway = try await TidegateProcess(upstreamPort: upstreamPort, lanPort: lanPort, directory: directory)
        let total = 10_000
        let lines = try directory.write((1...total).map { "\($0)\n" }.joined(), to: "lines")
        // -d prints a line for each PUBACK: the acknowledged ones are known exactly.
        func publisher() throws -> ChildProcess {
            try ChildProcess(
                [
                    "stdbuf", "-oL", "mosquitto_pub", "-d", "-V", "mqttv311", "-h", "127.0.0.1", "-p", "\(lanPort)",
                    "-i", "device", "-q", "1", "-l", "-t", "sensors/count",
                ], input: lines)
        }
        var acknowledged = 0
        let first = try publisher()
        #expect(
            await eventually(within: .seconds(60)) { Self.acknowledgements(first.output) > total / 3 },
            "\(first.errors)")
        await gateway.process.kill()
        await first.kill()
        acknowledged = Self.acknowledgements(first.output)
        gateway = try await TidegateProcess(upstreamPort: upstreamPort, lanPort: lanPort, directory: directory)

        let (upstream, cloud) = try await Self.upstreamReturns(port: upstreamPort, to: gateway)
        defer { withExtendedLifetime(upstream) {} }
        #expect(await eventually(within: .seconds(60)) { cloud.messages.count >= acknowledged })
        #expect(try await gateway.isConnected())
        #expect(try await eventually { try await gateway.statusNumber("messages") == 0 })
        let values = cloud.messages.compactMap { Int($0) }
        var distinct: [Int] = []
        for value in values where value > distinct.last ?? 0 { distinct.append(value) }
        // In order and without a hole: 1, 2, 3 … up to at least the last one that was acknowledged.
        #expect(distinct == Array(1...max(1, distinct.count)))
        #expect(distinct.count >= acknowledged, "\(acknowledged) acknowledged, \(distinct.count) arrived")
        #expect(values.count - distinct.count <= 100)
    }

    /// The other half of the same promise: killed while it drains, a window's worth may come twice and no more.
    @Test func killedWhileDrainingRepeatsAtMostTheWindow() async throws {
        let upstreamPort = freePort()
        let directory = try TemporaryDirectory()
        var gateway = try await TidegateProcess(upstreamPort: upstreamPort, directory: directory)
        let total = 10_000
        let lines = try directory.write((1...total).map { "\($0)\n" }.joined(), to: "lines")
        let publisher = try ChildProcess(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(gateway.lanPort)", "-q", "1", "-l", "-t", "sensors/count"],
            input: lines)
        #expect(await publisher.wait(upTo: .seconds(60)) == .exited(0), "\(publisher.errors)")

        let (upstream, cloud) = try await Self.upstreamReturns(port: upstreamPort, to: gateway)
        defer { withExtendedLifetime(upstream) {} }
        #expect(await eventually(within: .seconds(60)) { cloud.messages.count > 500 })
        await gateway.process.kill()
        gateway = try await TidegateProcess(upstreamPort: upstreamPort, lanPort: gateway.lanPort, directory: directory)
        #expect(await eventually(within: .seconds(60)) { cloud.messages.last == "\(total)" })
        let values = cloud.messages.compactMap { Int($0) }
        #expect(Set(values).count == total)
        #expect(values.count - total <= 100, "\(values.count - total) repeated")
    }

    /// Starts the upstream, and subscribes to it before the gateway can deliver: what comes before anybody has subscribed,
    /// a broker throws away.
    private static func upstreamReturns(
        port: Int, to gateway: TidegateProcess
    ) async throws -> (MosquittoProcess, Subscriber) {
        gateway.process.signal(SIGSTOP)
        defer { gateway.process.signal(SIGCONT) }
        let upstream = try await MosquittoProcess(port: port)
        return (upstream, try await Subscriber(port: port, topic: "gw/sensors/#", arguments: []))
    }

    private static func acknowledgements(_ output: String) -> Int {
        output.split(separator: "\n").count { $0.contains("received PUBACK") }
    }
}
