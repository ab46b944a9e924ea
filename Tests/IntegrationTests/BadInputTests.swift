import TestSupport
import Testing

/// What a LAN listener meets in the field, against the real binary: others must not notice.
@Suite(.serialized, .timeLimit(.minutes(3))) struct BadInputTests {
    static let connectV5: [UInt8] =
        [0x10, 0x10, 0, 4] + Array("MQTT".utf8) + [5, 2, 0, 60, 0, 0, 3] + Array("bad".utf8)
    static let connectV4: [UInt8] = [0x10, 0x0F, 0, 4] + Array("MQTT".utf8) + [4, 2, 0, 60, 0, 3] + Array("bad".utf8)

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// Sent at once after connecting.
        var bytes: [UInt8]
        /// What the last packet before the close must begin with; empty: the connection just closes.
        var answer: [UInt8]
    }

    static let cases: [Case] = [
        Case(testDescription: "not MQTT at all", bytes: Array("GET / HTTP/1.1\r\n\r\n".utf8), answer: []),
        Case(
            testDescription: "256 MB remaining length before CONNECT", bytes: [0x10, 0xFF, 0xFF, 0xFF, 0x7F], answer: []
        ),
        Case(
            testDescription: "remaining length of five bytes", bytes: [0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], answer: []),
        Case(testDescription: "PUBLISH before CONNECT", bytes: [0x30, 0x04, 0, 1, 0x61, 0x31], answer: []),
        Case(
            testDescription: "256 MB PUBLISH, 5.0: packet too large",
            bytes: connectV5 + [0x30, 0xFF, 0xFF, 0xFF, 0x7F],
            answer: [0xE0, 0x01, 0x95]),
        Case(
            testDescription: "second CONNECT, 5.0: protocol error", bytes: connectV5 + connectV5,
            answer: [0xE0, 0x01, 0x82]),
        Case(
            testDescription: "QoS 3, 5.0: malformed packet", bytes: connectV5 + [0x36, 0x05, 0, 1, 0x61, 0, 1],
            answer: [0xE0, 0x01, 0x81]),
        Case(
            testDescription: "wildcard in a topic name, 5.0: topic name invalid",
            bytes: connectV5 + [0x30, 0x04, 0, 1, 0x23, 0], answer: [0xE0, 0x01, 0x90]),
        Case(
            testDescription: "reserved flags of SUBSCRIBE, 3.1.1",
            bytes: connectV4 + [0x80, 0x06, 0, 1, 0, 1, 0x61, 0],
            answer: []),
    ]

    @Test func eachIsClosedWithItsReasonAndOthersAreServed() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        let watcher = try await Subscriber(port: gateway.lanPort, topic: "alive/#")
        for testCase in Self.cases {
            let socket = try #require(LoopbackSocket(port: gateway.lanPort))
            socket.send(testCase.bytes)
            var received: [UInt8] = []
            while let bytes = socket.receive(), !bytes.isEmpty { received += bytes }
            #expect(socket.receive(within: .seconds(1)) == [], "\(testCase.testDescription): still open")
            if !testCase.answer.isEmpty {
                // A reason string may follow; its length changes the second byte.
                let type = testCase.answer[0]
                let reason = testCase.answer[2]
                let start = received.lastIndex(of: type)
                #expect(
                    start.map { received.indices.contains($0 + 2) && received[$0 + 2] == reason } == true,
                    "\(testCase.testDescription): answered \(received)")
            }
        }
        try await gateway.publish("alive/1", "yes")
        #expect(await eventually { watcher.messages == ["alive/1 yes"] })
    }

    /// With hardly any descriptors left, accepting fails for a while; what is connected goes on, and nothing spins or ends.
    @Test func runningOutOfDescriptorsEndsNothing() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort(), prefix: ["prlimit", "--nofile=60:60"])
        let watcher = try await Subscriber(port: gateway.lanPort, topic: "alive/#")
        var crowd = (0..<200).compactMap { _ in LoopbackSocket(port: gateway.lanPort) }
        #expect(crowd.count == 200)
        crowd = []
        try await gateway.publish("alive/1", "yes")
        #expect(await eventually { watcher.messages == ["alive/1 yes"] })
        #expect(gateway.process.endingIfOver == nil)
    }

    @Test func randomBytesAndSilentConnectionsStayHarmless() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort(), settings: "")
        let watcher = try await Subscriber(port: gateway.lanPort, topic: "alive/#")
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0 ... .max, using: &generator)
        var random = SplitMix64(seed: seed)
        for _ in 0..<200 {
            let socket = try #require(LoopbackSocket(port: gateway.lanPort))
            let prefix = Bool.random(using: &random) ? Self.connectV5 : []
            socket.send(
                prefix
                    + (0..<Int.random(in: 1...2_000, using: &random)).map { _ in
                        UInt8.random(in: 0...255, using: &random)
                    })
        }
        let before = gateway.process.anonymousMemory
        // The default limit is 1,000 clients: the watcher is one, and a publisher must still find a place.
        let silent = (0..<990).compactMap { _ in LoopbackSocket(port: gateway.lanPort) }
        #expect(silent.count == 990)
        try await gateway.publish("alive/1", "yes")
        #expect(await eventually { watcher.messages == ["alive/1 yes"] }, "seed \(seed)")
        let growth = gateway.process.anonymousMemory - before
        #expect(growth < 32 << 20, "990 silent connections took \(growth) bytes, seed \(seed)")
        // They are closed when the connect timeout is over, not by us.
        #expect(
            await eventually(within: .seconds(30)) { silent.allSatisfy { $0.receive(within: .zero) == [] } },
            "silent connections are still open")
    }
}
