import MQTT
import NIOCore
import TestSupport
import Testing

/// Payloads of JSON that is nested far too deep, against the real binary while the upstream is away.
@Suite(.serialized, .timeLimit(.minutes(3))) struct NestedJSONTests {
    /// A decoder that recurses runs out of its thread's stack, and a device that sends with QoS 1 would do it again after
    /// every restart.
    @Test func deeplyNestedPayloadsAreAcknowledgedAndEndNothing() async throws {
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(),
            settings: """
                [[forward]]
                from = "json/#"
                to = "up/#"
                decode = "json"
                """)
        let client = try PacketClient(port: gateway.lanPort, id: "nester", version: .v5_0)
        for depth in [200, 400, 512, 10_000] {
            for (open, close) in [(#"{"a":"#, "}"), ("[", "]")] {
                let payload = ByteBuffer(
                    string: String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth))
                for first in stride(from: 1, through: 64, by: 32) {
                    for id in first..<first + 32 {
                        client.send(
                            .publish(
                                Publish(
                                    topic: "json/deep", payload: payload, qos: .atLeastOnce,
                                    packetIdentifier: UInt16(id))))
                    }
                    try client.completePublishes(32)
                }
                #expect(gateway.process.endingIfOver == nil, "\(depth) times \(open): \(gateway.process.errors)")
            }
        }
        // 32 levels are read.
        client.publish(
            "json/sound", String(repeating: #"{"a":"#, count: 31) + #"{"v":7}"# + String(repeating: "}", count: 31),
            qos: .atLeastOnce, id: 1)
        client.publish("json/sound", #"{"v":7}"#, qos: .atLeastOnce, id: 2)
        try client.completePublishes(2)
        #expect(try await eventually { try await gateway.statusNumber("received") == 514 })
        let status = try await gateway.status()
        #expect(
            status.contains("nested more than 32 deep") || status.contains("a number, boolean or string in the object"),
            "\(status)")
        #expect(try await gateway.statusNumber("undecodable") == 513)
    }

    /// What a command sends over the control socket is read with the same bounds.
    @Test func theControlSocketAnswersDeepRequests() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        let path = "\(gateway.directory.path)/data/control.sock"
        for depth in [33, 512, 10_000, 200_000] {
            let request =
                String(repeating: #"{"add":"#, count: depth) + "1" + String(repeating: "}", count: depth) + "\n"
            let result = try await runToEnd(
                [
                    "python3", "-c",
                    """
                    import socket, sys
                    s = socket.socket(socket.AF_UNIX)
                    s.connect(sys.argv[1])
                    s.sendall(open(sys.argv[2], "rb").read())
                    print(s.makefile().read())
                    """, path, try gateway.directory.write(request, to: "request"),
                ])
            #expect(result.output.contains("nested more than 32 deep"), "\(depth): \(result.output) \(result.errors)")
            #expect(gateway.process.endingIfOver == nil)
        }
        #expect(try await gateway.status().contains("\"gateway\" : \"gw\""))
    }
}
