import Glibc
import TestSupport
import Testing

/// Messages that would go round for ever, with real processes.
@Suite(.serialized, .timeLimit(.minutes(3))) struct LoopTests {
    private static let both = "[[both]]\nlan = \"shared/#\"\nupstream = \"all/shared/#\"\n"

    /// Two sites share topics through one upstream: what is published at one comes out once at the other, and not
    /// again at the first.
    @Test(arguments: ["5", "3.1.1"]) func bothWaysThroughOneUpstream(version: String) async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "all/#")
        let settings = "protocol = \"\(version)\"\n" + Self.both
        let here = try await TidegateProcess(upstreamPort: upstream.port, settings: settings)
        let there = try await TidegateProcess(
            upstreamPort: upstream.port, settings: "client_id = \"there\"\n" + settings)
        let hereLAN = try await Subscriber(port: here.lanPort, topic: "shared/#")
        let thereLAN = try await Subscriber(port: there.lanPort, topic: "shared/#")
        #expect(try await here.isConnected())
        #expect(try await there.isConnected())
        for number in 1...5 {
            try await here.publish("shared/a", "\(number)")
            try await there.publish("shared/b", "\(number)")
        }
        let expected = (1...5).flatMap { ["shared/a \($0)", "shared/b \($0)"] }.sorted()
        for subscriber in [hereLAN, thereLAN] {
            #expect(await eventually { subscriber.messages.count >= 10 })
        }
        // Something that went later has come: so has all that was to come.
        try await here.publish("shared/last", "x")
        try await there.publish("shared/last", "y")
        for subscriber in [hereLAN, thereLAN, cloud] {
            #expect(await eventually { subscriber.messages.count { $0.contains("shared/last") } == 2 })
        }
        for subscriber in [hereLAN, thereLAN] {
            #expect(subscriber.messages.map(String.init).filter { !$0.contains("last") }.sorted() == expected)
        }
        #expect(
            cloud.messages.map { String($0.dropFirst(4)) }.filter { !$0.contains("last") }.sorted() == expected)
    }

    /// Each is the other's upstream, and sends up whatever comes: a message goes there, comes back, and stops.
    @Test func twoGatewaysThatSendToEachOther() async throws {
        let (a, b) = (freePort(), freePort())
        let rule = "[[forward]]\nfrom = \"#\"\nto = \"{topic}\"\n[[accept]]\nfrom = \"none\"\nto = \"none\"\n"
        let here = try await TidegateProcess(upstreamPort: b, lanPort: a, settings: rule)
        let there = try await TidegateProcess(
            upstreamPort: a, lanPort: b, settings: "client_id = \"there\"\n" + rule)
        let hereLAN = try await Subscriber(port: a, topic: "t/#")
        let thereLAN = try await Subscriber(port: b, topic: "t/#")
        #expect(try await here.isConnected())
        #expect(try await there.isConnected())
        for number in 1...5 { try await here.publish("t/\(number)", "x") }
        #expect(try await eventually { try await here.statusNumber("looped") ?? 0 >= 5 })
        #expect(try await eventually { try await here.statusNumber("messages") == 0 })
        #expect(try await eventually { try await there.statusNumber("messages") == 0 })
        #expect(thereLAN.messages.count == 5)
        // Once from its own device, once from the other gateway.
        #expect(hereLAN.messages.count == 10)
    }
}
