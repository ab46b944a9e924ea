import Glibc
import TestSupport
import Testing

extension TidegateProcess {
    func queue(
        _ words: [String], input: String = ""
    ) async throws -> (ending: ChildProcess.Ending?, output: String, errors: String) {
        try await command("queue", words, input: input)
    }
}

/// The queue by the command line, with the gateway running and without.
@Suite(.timeLimit(.minutes(3))) struct QueueCommandTests {
    @Test func itIsSeenExportedAndPurged() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        for number in 1...3 { try await gateway.publish("a", "m\(number)") }
        #expect(try await gateway.queue([]).output.contains("telemetry: 3 messages"))
        for isRunning in [true, false] {
            if !isRunning {
                gateway.process.signal(SIGTERM)
                #expect(await gateway.process.wait() == .exited(0))
            }
            let peeked = try await gateway.queue(["peek", "--limit", "2"]).output.split(separator: "\n")
            #expect(peeked.count == 2)
            #expect(peeked.first?.hasSuffix("\ttelemetry\t1\tgw/a\tm1") == true)
            let lines = try await gateway.queue(["export", "--jsonl"]).output.split(separator: "\n")
            #expect(lines.count == 3)
            for (index, line) in lines.enumerated() {
                #expect(line.contains(#""payload":"m\#(index + 1)""#) && line.contains(#""seq":\#(index + 1),"#))
            }
        }
        let unconfirmed = try await gateway.queue(["purge"], input: "n\n")
        #expect(unconfirmed.ending == .exited(64))
        #expect(unconfirmed.errors.contains("drop 3 messages"))
        #expect(try await gateway.queue(["purge"], input: "y\n").output == "dropped 3 messages that waited\n")
        #expect(try await gateway.queue(["peek"]).output.contains("(gap record)"))
        let unknown = try await gateway.queue(["peek", "--class", "nope"])
        #expect(unknown.ending == .exited(64))
        #expect(unknown.errors.contains("there is no such class"))
    }

    @Test func whatThePublisherSaidIsExported() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        try await gateway.publish("plain", "m")
        try await gateway.publish(
            "a", "m",
            arguments: [
                "-V", "5", "-D", "publish", "user-property", "k", "v1", "-D", "publish", "user-property", "k", "v2",
                "-D", "publish", "content-type", "text/x", "-D", "publish", "response-topic", "back", "-D", "publish",
                "correlation-data", "17", "-D", "publish", "message-expiry-interval", "3600", "-D", "publish",
                "payload-format-indicator", "1",
            ])
        let lines = try await gateway.queue(["export", "--jsonl"]).output.split(separator: "\n")
        try #require(lines.count == 2)
        #expect(!lines[0].contains("properties") && !lines[0].contains("expiry"))
        #expect(
            lines[1].contains(
                #""properties":{"contentType":"text/x","correlationBase64":"MTc=","responseTopic":"back","text":true,"#
                    + #""user":[["k","v1"],["k","v2"]]}"#), "\(lines[1])")
        #expect(lines[1].contains(#""expiry":3600,"#), "\(lines[1])")
    }

    @Test func whatWasRefusedIsTriedAgain() async throws {
        let strict = try await MosquittoProcess(settings: "allow_anonymous true\nmax_packet_size 2000")
        let gateway = try await TidegateProcess(upstreamPort: strict.port)
        #expect(try await gateway.isConnected())
        let large = String(repeating: "x", count: 3_000)
        try await gateway.publish("large", large)
        #expect(await eventually { (try? await gateway.queue([]).output.contains("1 REFUSED")) == true })
        let peeked = try await gateway.queue(["peek", "--refused"]).output
        #expect(peeked.contains("gw/large") && peeked.contains("2000"), "\(peeked)")

        await strict.stop()
        let lenient = try await MosquittoProcess(port: strict.port)
        let subscriber = try await Subscriber(port: lenient.port, topic: "gw/large")
        #expect(try await gateway.isConnected())
        #expect(try await gateway.queue(["retry"]).output == "1 messages wait once more\n")
        #expect(await eventually { subscriber.messages.map(String.init) == ["gw/large \(large)"] })
        #expect(try await gateway.queue(["peek", "--refused"]).output == "")
    }

    @Test func withoutAGatewayThereIsNone() async throws {
        let folder = try TemporaryDirectory()
        let result = try await runToEnd([TidegateProcess.binary, "queue", "--data-dir", folder.path])
        #expect(result.ending == .exited(69))
        #expect(result.errors.contains("no such file"))
    }
}
