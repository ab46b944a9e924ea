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

    /// MQTT 5.0 from end to end: what publishers say of their messages arrives, both ways.
    @Test func propertiesGoAcross() async throws {
        let upstream = try await MosquittoProcess()
        let gateway = try await TidegateProcess(upstreamPort: upstream.port)
        let format = ["-V", "5", "-F", "%t|%p|%C|%R|%D|%P"]
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/sensors/#", arguments: format)
        let device = try await Subscriber(port: gateway.lanPort, topic: "cmd/#", arguments: format)
        #expect(try await gateway.isConnected())
        let said = [
            "-V", "5", "-D", "PUBLISH", "content-type", "text/csv", "-D", "PUBLISH", "response-topic", "r/1", "-D",
            "PUBLISH", "correlation-data", "42", "-D", "PUBLISH", "user-property", "site", "roof",
        ]
        // A device's own words for what the gateway says are not the gateway's.
        try await gateway.publish(
            "sensors/a", "1", arguments: said + ["-D", "PUBLISH", "user-property", "seq", "999"])
        #expect(await eventually { cloud.messages.count == 1 })
        let line = try #require(cloud.messages.first)
        #expect(line.hasPrefix("gw/sensors/a|1|text/csv|r/1|42|"), "\(line)")
        #expect(line.contains("site:roof") && line.contains("seq:1 ") && !line.contains("seq:999"), "\(line)")
        let command = try await runToEnd(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(upstream.port)", "-t", "gw/cmd/a", "-m", "on"] + said)
        #expect(command.ending == .exited(0))
        #expect(await eventually { device.messages == ["cmd/a|on|text/csv|r/1|42|site:roof"] }, "\(device.messages)")
    }

    /// What a device says is of no use later is not delivered later, and the cloud learns of it.
    @Test func whatHasExpiredIsAGap() async throws {
        let upstreamPort = freePort()
        let gateway = try await TidegateProcess(upstreamPort: upstreamPort)
        try await gateway.publish(
            "sensors/a", "soon", arguments: ["-V", "5", "-D", "PUBLISH", "message-expiry-interval", "1"])
        try await gateway.publish("sensors/a", "always")
        #expect(try await eventually { (try await gateway.statusNumber("oldestSeconds") ?? 0) >= 1 })
        gateway.process.signal(SIGSTOP)
        let upstream = try await MosquittoProcess(port: upstreamPort)
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/#")
        gateway.process.signal(SIGCONT)
        #expect(await eventually { cloud.messages.contains("gw/sensors/a always") })
        #expect(!cloud.messages.contains("gw/sensors/a soon"))
        #expect(
            cloud.messages.contains {
                $0.hasPrefix("gw/$gap/telemetry ") && $0.contains(#""count":1"#) && $0.contains("expired")
            })
    }

    /// What a rule takes and cannot be made of a device's payload is acknowledged, and the cloud learns of it.
    @Test func whatCannotBeMadeIsAGap() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/#")
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port,
            settings: "[[forward]]\nfrom = \"#\"\nclass = \"events\"\ndecode = \"number\"\nscale = 1e10\n")
        try await gateway.publish("a", "1e300")
        #expect(
            await eventually {
                cloud.messages.contains {
                    $0.hasPrefix("gw/$gap/events ") && $0.contains(#""count":1,"#)
                        && $0.contains(#""reason":"invalid""#)
                }
            }, "\(cloud.messages)\n\(gateway.process.errors)")
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
