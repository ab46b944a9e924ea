import Readings
import TestSupport
import Testing

@testable import Upstream

@Suite(
    "Equal commands from the cloud, with MQTT 3.1.1", .serialized, .enabled(if: MosquittoProcess.isInstalled),
    .timeLimit(.minutes(2)))
struct EchoTests {
    private func configuration(_ broker: MosquittoProcess) -> UpstreamConfiguration {
        var configuration = UpstreamConfiguration.test(port: broker.port, subscriptions: ["gw/cmd/#"])
        configuration.protocolChoice = .only(.v311)
        return configuration
    }

    private func payloads(_ gateway: Gateway) -> [String] {
        gateway.arrivals.all.map { String(decoding: $0.payload, as: UTF8.self) }
    }

    @Test("each of the cloud's commands arrives, none of the gateway's own, whatever they say")
    func equalCommands() async throws {
        let broker = try await MosquittoProcess()
        defer { broker.stop() }
        let gateway = try Gateway(configuration(broker))
        try await gateway.run {
            try await eventually("subscribed") { broker.logged("Sending SUBACK to gw") }
            for _ in 1...2 { try broker.publish("gw/cmd/a", "1") }
            for round in 1...10 {
                // The LAN says the same, before, after and at the same time.
                try await gateway.append(1...1, topic: "gw/cmd/a")
                try broker.publish("gw/cmd/a", "1")
                if round % 2 == 0 { try await gateway.drained() }
                try broker.publish("gw/cmd/a", "1")
            }
            try await gateway.drained()
            try broker.publish("gw/cmd/a", "last")
            try await eventually("the last one comes", details: { "\(payloads(gateway))" }) {
                payloads(gateway).last == "last"
            }
            #expect(payloads(gateway).dropLast() == Array(repeating: "1", count: 22)[...])
            #expect(gateway.link.snapshot().looped == 10)
        }
    }

    @Test("a message that the broker did not let in stands in no command's way")
    func deniedMessages() async throws {
        let folder = try TemporaryDirectory()
        try folder.write("topic readwrite gw/$state/#\ntopic read gw/cmd/#\nuser cloud\ntopic readwrite #\n", to: "acl")
        let broker = try await MosquittoProcess(["acl_file \(folder["acl"])"], in: folder)
        defer { broker.stop() }
        let gateway = try Gateway(configuration(broker))
        try await gateway.run {
            try await eventually("subscribed") { broker.logged("Sending SUBACK to gw") }
            try await gateway.append(1...1, topic: "gw/cmd/a")
            try await gateway.drained()
            #expect(gateway.arrivals.all.isEmpty)
            try await eventually("a command that says the same arrives", within: .seconds(30)) {
                try broker.publish("gw/cmd/a", "1", arguments: ["-u", "cloud"])
                try await Task.sleep(for: .milliseconds(500))
                return !gateway.arrivals.all.isEmpty
            }
        }
    }

    @Test("the gateway's state and its canary do not come back as commands")
    func ownState() async throws {
        let broker = try await MosquittoProcess()
        defer { broker.stop() }
        var configuration = configuration(broker)
        configuration.subscriptions = ["gw/#"]
        configuration.canaryInterval = .milliseconds(100)
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await eventually("five canaries have come back", details: { broker.log }) {
                broker.count("Sending PUBLISH to gw", "gw/$state/canary") >= 5
            }
            try broker.publish("gw/cmd/a", "last")
            try await eventually("a command that follows them comes") { !gateway.arrivals.all.isEmpty }
            #expect(payloads(gateway) == ["last"])
        }
    }
}
