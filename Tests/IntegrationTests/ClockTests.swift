import TestSupport
import Testing

/// What the gateway believes of the time, where the kernel does not know it.
@Suite(.timeLimit(.minutes(2))) struct ClockTests {
    @Test func theUpstreamTellsTheTime() async throws {
        let upstream = try await MosquittoProcess()
        let gateway = try await TidegateProcess(upstreamPort: upstream.port, settings: "time_topic = \"time/now\"")
        let cloud = try await Subscriber(
            port: upstream.port, topic: "gw/a", arguments: ["-V", "mqttv5", "-F", "%P|%p"])
        #expect(try await gateway.isConnected())
        // Where the kernel's clock is synchronised its word goes before.
        guard try await gateway.status().contains("\"clockIsTrusted\" : false") else { return }
        try await gateway.publish("a", "before")
        #expect(await eventually { cloud.messages.contains { $0.contains("tq:unsynced") && $0.contains("up:") } })

        // In the year 2030.
        let told = try await runToEnd([
            "mosquitto_pub", "-h", "127.0.0.1", "-p", "\(upstream.port)", "-q", "1", "-t", "time/now", "-m",
            "1893456000000",
        ])
        #expect(told.ending == .exited(0))
        #expect(
            await eventually {
                let status = (try? await gateway.status()) ?? ""
                return status.contains("\"clockIsTrusted\" : true") && status.contains("\"clock\" : \"2030-01-01T00:0")
            })
        try await gateway.publish("a", "after")
        #expect(
            await eventually {
                cloud.messages.contains {
                    $0.contains("tq:synced") && $0.contains("ts:189345") && $0.hasSuffix("|after")
                }
            }, "\(cloud.messages)")
    }
}
