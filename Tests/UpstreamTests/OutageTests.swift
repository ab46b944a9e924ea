import Glibc
import Readings
import TestSupport
import Testing

@testable import Upstream

@Suite("Outages of a real mosquitto", .enabled(if: MosquittoProcess.isInstalled), .serialized)
struct OutageTests {
    private static let hasSocat: Bool = {
        let isInstalled = TestSupport.isInstalled("socat")
        if !isInstalled { print("SKIPPED: no socat: a killed broker is NOT tested") }
        return isInstalled
    }()

    /// The way to the broker, closed while the broker starts again and the observer is not there yet.
    private func gate(_ port: UInt16, to broker: MosquittoProcess) async throws -> ChildProcess {
        let gate = try ChildProcess(
            ["socat", "TCP-LISTEN:\(port),bind=127.0.0.1,reuseaddr,fork", "TCP:127.0.0.1:\(broker.port)"],
            output: broker.folder["socat.log"]
        )
        try await eventually("socat listens") { isListening(port) }
        return gate
    }

    @Test(
        "kill -9 of the broker in the middle: none lost, duplicates within the window, order kept",
        .enabled(if: hasSocat))
    func brokerKilled() async throws {
        let broker = try await MosquittoProcess()
        let port = UInt16(freePort())
        var gate = try await gate(port, to: broker)
        let before = try await broker.subscribe("gw/t", name: "before")
        var configuration = UpstreamConfiguration.test(port: port)
        configuration.window = 50
        let gateway = try Gateway(configuration)
        let count = 4000
        var after: Observer?
        try await gateway.run {
            try await gateway.append(1...count / 2)
            try await eventually("some have arrived") { before.messages.count >= 300 }
            broker.kill()
            gate.end(SIGKILL)
            try await eventually("the loss is noticed", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().lastFault != nil
            }
            try await gateway.append(count / 2 + 1...count)
            #expect(try await gateway.waiting() > 0)
            // Every acknowledged message went out to the observer first. It would come back with the broker.
            try await eventually("the acknowledged ones are seen") {
                before.messages.count >= Int(gateway.link.snapshot().acknowledged)
            }
            before.stop()
            try await broker.start()
            after = try await broker.subscribe("gw/t", name: "after")
            gate = try await self.gate(port, to: broker)
            try await gateway.drained()
        }
        gate.end(SIGKILL)
        let snapshot = gateway.link.snapshot()
        #expect(snapshot.reconnects >= 1)
        let seen = { (before.messages + (after?.messages ?? [])).compactMap { Int($0.payload) } }
        try await eventually("all are seen", details: { "\(Set(seen()).count)" }) { Set(seen()).count == count }
        let numbers = seen()
        #expect(numbers.count - count <= configuration.window)
        var firsts: [Int] = []
        var known = Set<Int>()
        for number in numbers where known.insert(number).inserted { firsts.append(number) }
        #expect(firsts == Array(1...count))
    }

    @Test("a frozen broker: the link is replaced, and everything arrives after the thaw")
    func brokerFrozen() async throws {
        let broker = try await MosquittoProcess()
        let observer = try await broker.subscribe("gw/t", name: "observer")
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.progressTimeout = .milliseconds(500)
        configuration.connectTimeout = .milliseconds(500)
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...10)
            try await gateway.drained()
            broker.freeze()
            try await gateway.append(11...500)
            try await eventually("the stall is noticed") {
                gateway.link.snapshot().lastFault == .stalled(configuration.progressTimeout)
            }
            try await eventually("the new attempt gets no answer") {
                if case .noAnswer = gateway.link.snapshot().lastFault { true } else { false }
            }
            broker.thaw()
            try await gateway.drained()
        }
        try await eventually("all are seen") { Set(observer.messages.map(\.payload)).count == 500 }
    }

    @Test("a broker that falls silent on an idle link is noticed by the keep-alive")
    func idleBrokerFrozen() async throws {
        let broker = try await MosquittoProcess()
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.keepAlive = .seconds(5)
        configuration.canaryInterval = nil
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.connected()
            try await eventually("the birth is acknowledged") { broker.logged("Sending PUBACK to gw") }
            broker.freeze()
            try await eventually("the silence is noticed", within: .seconds(30)) {
                gateway.link.snapshot().lastFault == .keepAlive(.seconds(5))
            }
            broker.thaw()
            try await gateway.connected()
        }
    }

    @Test("a broker that falls silent on an idle link is noticed by the canary")
    func canaryNotices() async throws {
        let broker = try await MosquittoProcess()
        let observer = try await broker.subscribe("gw/$state/canary", name: "observer")
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.canaryInterval = .milliseconds(100)
        configuration.progressTimeout = .milliseconds(500)
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.connected()
            let first = try #require(gateway.link.snapshot().lastConfirmation)
            try await eventually("canaries come") { observer.messages.count >= 3 }
            #expect(try #require(gateway.link.snapshot().lastConfirmation) > first)
            #expect(gateway.link.snapshot().published == 0, "they are nobody's messages")
            broker.freeze()
            try await eventually("the silence is noticed") {
                gateway.link.snapshot().lastFault == .stalled(configuration.progressTimeout)
            }
            broker.thaw()
            try await gateway.connected()
        }
    }

    @Test("a slow broker is not given up on while it acknowledges something")
    func slowBroker() async throws {
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            while let (type, body) = connection.receive() {
                guard type >> 4 == 3 else { continue }
                // The pace of a bad line: with ten on their way the last of them waits for far longer than the limit.
                if FakeBroker.publication(body).topic == "gw/t" { usleep(100_000) }
                connection.send(FakeBroker.puback(FakeBroker.publication(body).identifier))
            }
        }
        defer { broker.stop() }
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.progressTimeout = .milliseconds(500)
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...20)
            try await gateway.drained()
        }
        #expect(gateway.link.snapshot().reconnects == 0)
        #expect(gateway.link.snapshot().published == 20)
    }

    @Test("nobody listens: the link says so and keeps trying")
    func nobodyListens() async throws {
        let port = UInt16(freePort())
        let gateway = try Gateway(.test(port: port))
        try await gateway.run {
            try await eventually("a second failure", details: { "\(gateway.link.snapshot())" }) {
                if case .connect(_, code: ECONNREFUSED) = gateway.link.snapshot().lastFault { true } else { false }
            }
        }
        #expect(gateway.link.snapshot().state == .stopped)
        #expect(gateway.link.snapshot().lastFault?.remedy.isEmpty == false)
    }

    @Test("a name that does not exist is reported as such")
    func unknownHost() async throws {
        var configuration = UpstreamConfiguration.test(port: 1)
        configuration.addresses = [UpstreamAddress(transport: .tcp, host: "no-such-host.invalid")]
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await eventually("the resolver fails", within: .seconds(60), details: { "\(gateway.link.snapshot())" })
            {
                if case .resolve(host: "no-such-host.invalid", _) = gateway.link.snapshot().lastFault {
                    true
                } else {
                    false
                }
            }
        }
    }

    @Test("several addresses: the next is tried when one fails")
    func failover() async throws {
        let broker = try await MosquittoProcess()
        var configuration = UpstreamConfiguration.test(port: UInt16(freePort()))
        configuration.addresses.append(UpstreamAddress(transport: .tcp, host: "127.0.0.1", port: broker.port))
        let gateway = try Gateway(configuration)
        try await gateway.run { try await gateway.connected() }
        #expect(gateway.link.snapshot().address?.port == broker.port)
    }

    @Test("a name that cannot be found does not keep the next URL waiting")
    func failoverFromUnknownHost() async throws {
        let broker = try await MosquittoProcess()
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.addresses.insert(UpstreamAddress(transport: .tcp, host: "no-such-host.invalid"), at: 0)
        let gateway = try Gateway(configuration)
        try await gateway.run { try await gateway.connected() }
        #expect(gateway.link.snapshot().address?.port == broker.port)
    }

    @Test("the first URL is come back to, beside the connection that there is")
    func comingBack() async throws {
        let first = try await MosquittoProcess()
        let second = try await MosquittoProcess()
        let observer = try await second.subscribe("gw/$state", name: "observer")
        var configuration = UpstreamConfiguration.test(port: first.port)
        configuration.addresses.append(UpstreamAddress(transport: .tcp, host: "127.0.0.1", port: second.port))
        configuration.returnAfter = .milliseconds(200)
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...10)
            try await gateway.drained()
            #expect(gateway.link.snapshot().address?.port == first.port)
            first.kill()
            try await gateway.append(11...20)
            try await gateway.drained()
            #expect(gateway.link.snapshot().address?.port == second.port)
            // While the first is away, the second one keeps its connection.
            let connections = gateway.link.snapshot().connections
            try await eventually("two looks have failed") {
                KernelTime().now().instant - gateway.link.snapshot().since > .milliseconds(500)
            }
            #expect(gateway.link.snapshot().connections == connections)
            try await first.start()
            try await eventually("it is back", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().address?.port == first.port
            }
            try await gateway.append(21...30)
            try await gateway.drained()
            #expect(gateway.link.snapshot().address?.port == first.port)
            try await eventually("the second one was told") { observer.messages.last?.payload == "offline" }
        }
        #expect(gateway.link.snapshot().acknowledged == 30)
    }

    @Test("a preferred URL whose broker only knows 3.1.1 is returned to as well")
    func returnInAnotherVersion() async throws {
        let isOpen = Flag()
        let first = try FakeBroker { connection, _, level in
            guard isOpen.isSet else { return }
            guard level == 4 else { return connection.send([0x20, 3, 0, 0x84, 0]) }
            connection.send([0x20, 2, 0, 0])
            connection.serve()
        }
        let second = try await MosquittoProcess()
        var configuration = UpstreamConfiguration.test(port: first.port)
        configuration.addresses.append(UpstreamAddress(transport: .tcp, host: "127.0.0.1", port: second.port))
        configuration.returnAfter = .milliseconds(200)
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...10)
            try await gateway.drained()
            #expect(gateway.link.snapshot().address?.port == second.port)
            isOpen.set()
            try await eventually("it is back", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().address?.port == first.port
            }
            try await gateway.append(11...20)
            try await gateway.drained()
            #expect(gateway.link.snapshot().version == .v311)
        }
        #expect(gateway.link.snapshot().acknowledged == 20)
    }

    @Test("what comes while a connection is on trial is handed on, also when the link ends before it takes over")
    func arrivalsOnTrial() async throws {
        let isOpen = Flag()
        let isAcknowledged = Flag()
        let first = try FakeBroker { connection, _, _ in
            guard isOpen.isSet else { return }
            // With the CONNACK a message that the broker's session has kept.
            connection.send([0x20, 3, 1, 0, 0] + [0x32, 15, 0, 8] + Array("gw/cmd/a".utf8) + [0, 7, 0, 0x41, 0x42])
            while let (type, _) = connection.receive() { if type >> 4 == 4 { isAcknowledged.set() } }
        }
        // Acknowledges nothing but the birth: the other connection waits for the window to drain.
        let second = try FakeBroker { connection, _, level in
            connection.send(level == 5 ? [0x20, 3, 0, 0, 0] : [0x20, 2, 0, 0])
            while let (type, body) = connection.receive() {
                switch type >> 4 {
                case 3:
                    let (topic, identifier) = FakeBroker.publication(body)
                    if topic.hasSuffix("$state") { connection.send(FakeBroker.puback(identifier, reason: nil)) }
                case 8: connection.send([0x90, 4, body[0], body[1], 0, 1])
                default: break
                }
            }
        }
        var configuration = UpstreamConfiguration.test(port: first.port)
        configuration.addresses.append(UpstreamAddress(transport: .tcp, host: "127.0.0.1", port: second.port))
        configuration.returnAfter = .milliseconds(200)
        configuration.subscriptions = ["gw/cmd/#"]
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...10)
            try await eventually("it is on its way") { gateway.link.snapshot().inFlight == 10 }
            isOpen.set()
            try await eventually("the trial is let in") { isAcknowledged.isSet }
        }
        #expect(gateway.arrivals.all.map(\.topic) == ["gw/cmd/a"])
    }
}
