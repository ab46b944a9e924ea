import Glibc
import Outbox
import Readings
import Synchronization
import TestSupport
import Testing

@testable import Upstream

@Suite("Brokers that behave unusually", .serialized)
struct OddBrokerTests {
    @Test("a broker that only knows 3.1.1 is spoken to in 3.1.1", arguments: [true, false])
    func oldBroker(answers: Bool) async throws {
        let broker = try FakeBroker { connection, _, level in
            guard level == 4 else {
                if answers { connection.send([0x20, 2, 0, 1]) }
                return
            }
            connection.send([0x20, 2, 0, 0])
            connection.serve()
        }
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port))
        let snapshot = try await gateway.run {
            try await gateway.connected()
            try await gateway.append(1...10)
            try await gateway.drained()
            // Before the link is shut down: how that ends is another matter.
            return gateway.link.snapshot()
        }
        #expect(snapshot.version == .v311)
        #expect(snapshot.acknowledged == 10)
        switch snapshot.lastFault {
        case .refused(_, .unsupportedVersion(.v5)) where answers: break
        // libmosquitto 2.0.21 no longer understands the short CONNACK.
        case .protocol where answers: break
        case .closedBeforeAnswer where !answers: break
        default: Issue.record("\(String(describing: snapshot.lastFault))")
        }
    }

    @Test("a broker that hangs up over the canary is spared it, also one that says so first", arguments: [false, true])
    func canaryNotAllowed(answers: Bool) async throws {
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            while let (type, body) = connection.receive() {
                guard type >> 4 == 3 else { continue }
                let (topic, identifier) = FakeBroker.publication(body)
                if topic.hasSuffix("canary") {
                    if answers { connection.send(FakeBroker.puback(identifier, reason: 0x87)) }
                    return
                }
                connection.send(FakeBroker.puback(identifier))
            }
        }
        defer { broker.stop() }
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.canaryInterval = .milliseconds(100)
        configuration.keepAlive = .seconds(60)
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await eventually("three were tried", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().reconnects >= 3 && gateway.link.snapshot().state.isUp
            }
            let since = gateway.link.snapshot().since
            try await eventually("it stays connected for ten canaries' time") {
                KernelTime().now().instant - since > .seconds(1)
            }
            #expect(gateway.link.snapshot().reconnects == 3)
        }
    }

    @Test("a message over which the broker says DISCONNECT goes when patience runs out, its neighbours arrive")
    func disconnectOverMessage() async throws {
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            while let (type, body) = connection.receive() {
                guard type >> 4 == 3 else { return }
                let (topic, identifier) = FakeBroker.publication(body)
                if topic == "gw/bad" {
                    connection.send([0xE0, 2, 0x95, 0])
                    return
                }
                connection.send(FakeBroker.puback(identifier))
            }
        }
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            try await gateway.append(1...3)
            try await gateway.append(4...4, topic: "gw/bad")
            try await gateway.append(5...7)
            try await gateway.drained()
        }
        let snapshot = gateway.link.snapshot()
        #expect(snapshot.refused == 1)
        #expect(snapshot.lastRefusal?.topic == "gw/bad")
        #expect(snapshot.acknowledged >= 6)
    }

    @Test(
        "a message over which the broker closes the connection goes in the end, with the canary as witness and without",
        arguments: [true, false])
    func closedOverMessage(hasCanary: Bool) async throws {
        let canaries = Mutex(0)
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            while let (type, body) = connection.receive() {
                guard type >> 4 == 3 else { return }
                let (topic, identifier) = FakeBroker.publication(body)
                if topic == "gw/bad" { return }
                if topic.hasSuffix("canary") { canaries.withLock { $0 += 1 } }
                connection.send(FakeBroker.puback(identifier))
            }
        }
        defer { broker.stop() }
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.closePatience = .init(count: 4, time: .zero)
        configuration.canaryInterval = hasCanary ? .seconds(60) : nil
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...1, topic: "gw/bad")
            try await gateway.drained()
        }
        let snapshot = gateway.link.snapshot()
        #expect(snapshot.refused == 1 && snapshot.lastRefusal?.topic == "gw/bad")
        #expect(snapshot.lastRefusal?.cause == .fault("the broker closed the connection"))
        #expect(canaries.withLock { $0 } == (hasCanary ? 3 : 0))
    }

    @Test("the broker's receive maximum is kept to")
    func receiveMaximum() async throws {
        let most = Mutex(0)
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack(properties: [0x21, 0, 3]))
            var waiting: [[UInt8]] = []
            while let (type, body) = connection.receive() {
                guard type >> 4 == 3 else { return }
                waiting.append(FakeBroker.publication(body).identifier)
                most.withLock { $0 = max($0, waiting.count) }
                // Acknowledges only once nothing more comes: the window is full, or this was the last.
                if !connection.isReadable(milliseconds: 20) {
                    for identifier in waiting { connection.send(FakeBroker.puback(identifier)) }
                    waiting = []
                }
            }
        }
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            try await gateway.append(1...30)
            try await gateway.drained()
        }
        #expect(most.withLock { $0 } == 3)
        #expect(gateway.link.snapshot().reconnects == 0)
    }

    @Test("a message that the broker cannot take now is delivered again, before those that follow it")
    func quotaExceeded() async throws {
        let accepted = Mutex<[[UInt8]]>([])
        let refusals = Mutex(0)
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            while let (type, body) = connection.receive() {
                guard type >> 4 == 3 else { return }
                let (topic, identifier) = FakeBroker.publication(body)
                let isPostponed =
                    topic == "gw/t" && body.last == UInt8(ascii: "3")
                    && refusals.withLock { count in
                        count += 1
                        return count <= 2
                    }
                if topic == "gw/t", !isPostponed { accepted.withLock { $0.append([body[body.count - 1]]) } }
                connection.send(FakeBroker.puback(identifier, reason: isPostponed ? 0x97 : nil))
            }
        }
        defer { broker.stop() }
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.window = 2
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...5)
            try await gateway.drained()
        }
        #expect(gateway.link.snapshot().refused == 0)
        #expect(gateway.link.snapshot().lastFault == .postponed(reason: 0x97))
        let order = accepted.withLock { $0.map { String(decoding: $0, as: UTF8.self) } }
        #expect(Set(order) == ["1", "2", "3", "4", "5"])
        #expect(order.last == "5")
        #expect(order.firstIndex(of: "1") == 0)
    }

    @Test("a message that the broker fails for unknown reasons goes when patience runs out")
    func unspecifiedError() async throws {
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            connection.serve { $0 == "gw/bad" ? 0x80 : nil }
        }
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            try await gateway.append(1...1, topic: "gw/bad")
            try await gateway.append(2...2)
            try await gateway.drained()
        }
        let snapshot = gateway.link.snapshot()
        #expect(snapshot.refused == 1)
        #expect(snapshot.lastRefusal?.cause == .broker(reason: 0x80))
        #expect(snapshot.reconnects == UInt64(PoisonMessagePolicy.patience - 1))
    }

    @Test("DISCONNECT says why")
    func disconnect() async throws {
        let broker = try FakeBroker { connection, number, _ in
            connection.send(FakeBroker.connack())
            if number == 0 {
                connection.send([0xE0, 2, 0x8B, 0])
                while connection.receive() != nil {}
            } else {
                connection.serve()
            }
        }
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            try await eventually("it is connected again", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().reconnects == 1
            }
        }
        #expect(gateway.link.snapshot().lastFault == .disconnected(reason: 0x8B))
    }

    @Test(
        "refused connections say why",
        arguments: [
            (FakeBroker.connack(0x8A), .banned), (FakeBroker.connack(0x89), .busy),
            (FakeBroker.connack(0x86), .credentials), (FakeBroker.connack(0x9F), .connectionRate),
            // Maximum QoS 0.
            (FakeBroker.connack(properties: [0x24, 0]), .qosNotSupported),
        ] as [([UInt8], ConnectRefusal)]
    )
    func refused(_ connack: [UInt8], _ expected: ConnectRefusal) async throws {
        let broker = try FakeBroker { connection, _, _ in
            connection.send(connack)
            while connection.receive() != nil {}
        }
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            try await eventually("the refusal is reported", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().lastFault == .refused(gateway.configuration.addresses[0], expected)
            }
        }
    }

    @Test("a refused subscription is reported, and the link stays up")
    func refusedSubscription() async throws {
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            connection.serve(subscriptionReason: 0x87)
        }
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port, subscriptions: ["gw/cmd/#"]))
        try await gateway.run {
            try await eventually("it is reported") {
                gateway.link.snapshot().refusedSubscriptions
                    == [LinkSnapshot.SubscriptionRefusal(filter: "gw/cmd/#", reason: 0x87)]
            }
            try await gateway.append(1...10)
            try await gateway.drained()
        }
        #expect(gateway.link.snapshot().reconnects == 0)
    }

    @Test("a broker that never acknowledges: shutdown ends at its deadline, the messages stay")
    func shutdownDeadline() async throws {
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            while connection.receive() != nil {}
        }
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port))
        let running = Task { try await gateway.link.run() }
        try await gateway.append(1...5)
        try await eventually("they are on their way") { gateway.link.snapshot().inFlight == 5 }
        gateway.link.shutdown(deadline: KernelTime().now().instant + .milliseconds(100))
        try await running.value
        #expect(gateway.link.snapshot().state == .stopped)
        #expect(try await gateway.waiting() == 5)
        // Everything can be claimed again.
        #expect(try await gateway.outbox.claim(limit: 10, byteLimit: .max).count == 5)
    }
}
