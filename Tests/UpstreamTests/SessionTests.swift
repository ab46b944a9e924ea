import Glibc
import Outbox
import Readings
import Synchronization
import TestSupport
import Testing

@testable import Upstream

@Suite("Sessions with a real mosquitto", .enabled(if: MosquittoProcess.isInstalled), .serialized)
struct SessionTests {
    @Test("birth and offline notice are retained; the will speaks for a gateway that died")
    func birthAndWill() async throws {
        let broker = try await MosquittoProcess()
        let observer = try await broker.subscribe("gw/$state", name: "observer")
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            try await eventually("the birth is seen") { observer.messages.map(\.payload) == ["online"] }
            let late = try await broker.subscribe("gw/$state", name: "late")
            try await eventually("the birth is retained") {
                late.messages == [Observer.Line(topic: "gw/$state", retain: true, payload: "online", properties: [:])]
            }
        }
        try await eventually("the offline notice is seen") {
            observer.messages.map(\.payload) == ["online", "offline"]
        }
        try await eventually("the DISCONNECT is seen") { broker.logged("Received DISCONNECT from gw") }
        let afterwards = try await broker.subscribe("gw/$state", name: "afterwards")
        try await eventually("the offline notice is retained") { afterwards.messages.map(\.payload) == ["offline"] }

        // A connection that ends without DISCONNECT: somebody else takes the client identifier over.
        let second = try Gateway(.test(port: broker.port))
        try await second.run {
            try await eventually("the second birth is seen") { observer.messages.last?.payload == "online" }
            let seen = observer.messages.count
            let thief = try ChildProcess(
                ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(broker.port)", "-i", "gw", "-t", "x", "-m", "x"],
                output: broker.folder["thief.log"]
            )
            try await eventually("the will is seen") {
                observer.messages.dropFirst(seen).first?.payload == "offline"
            }
            try await eventually("the link is back") { observer.messages.last?.payload == "online" }
            thief.end(SIGKILL)
        }
        #expect(second.link.snapshot().lastFault != nil)
    }

    @Test("commands arrive, with their retain flag, and those of an outage too", arguments: [WireVersion.v5, .v311])
    func commands(version: WireVersion) async throws {
        let broker = try await MosquittoProcess()
        var configuration = UpstreamConfiguration.test(port: broker.port, subscriptions: ["gw/cmd/#", "all/+"])
        configuration.protocolChoice = .only(version)
        let first = try Gateway(configuration)
        try await first.run {
            try await eventually("both are subscribed") {
                broker.folder.lines("mosquitto.log").count { $0.contains("Sending SUBACK to gw") } == 2
            }
            try broker.publish("gw/cmd/relay", "on")
            try broker.publish("all/x", "hello", arguments: ["-r"])
            try broker.publish("other/x", "not for us")
            try await eventually("two have arrived") { first.arrivals.all.count == 2 }
            // Our own messages do not come back.
            try await first.append(1...1, topic: "all/own")
            try await first.drained()
            if version == .v311 {
                try await eventually("what comes back is known") { first.link.snapshot().looped == 1 }
            }
        }
        #expect(
            first.arrivals.all == [
                UpstreamArrival(topic: "gw/cmd/relay", payload: Array("on".utf8), retain: false),
                UpstreamArrival(
                    topic: "all/x", payload: Array("hello".utf8), retain: version == .v5,
                    mayHaveWaited: version == .v5),
            ]
        )
        #expect(first.link.snapshot().received == 2)
        #expect(first.link.snapshot().refusedSubscriptions.isEmpty)

        try broker.publish("gw/cmd/relay", "off")
        // Another process with the same name: it resumes the session and repeats nothing of its own.
        let second = try Gateway(configuration)
        try await second.run {
            try await eventually("the command of the outage has arrived") {
                second.arrivals.all.contains { $0.payload == Array("off".utf8) }
            }
        }
        // What is retained and has not changed does not come once more with 5.0.
        if version == .v5 { #expect(!second.arrivals.all.contains { $0.topic == "all/x" }) }
        #expect(second.link.snapshot().published == 0)
        #expect(!broker.logged("Received PUBLISH from gw (d1"))
    }

    @Test("a subscription left over from an earlier configuration is not handed on")
    func leftoverSubscription() async throws {
        let broker = try await MosquittoProcess()
        let first = try Gateway(.test(port: broker.port, subscriptions: ["gw/old/#"]))
        try await first.run {
            try await eventually("it is subscribed") { broker.logged("Sending SUBACK to gw") }
        }
        let second = try Gateway(.test(port: broker.port, subscriptions: ["gw/new/#"]))
        try await second.run {
            try await eventually("it is subscribed") {
                broker.folder.lines("mosquitto.log").count { $0.contains("Sending SUBACK to gw") } == 2
            }
            try broker.publish("gw/old/x", "1")
            try broker.publish("gw/new/x", "2")
            try await eventually("the new one has arrived") { !second.arrivals.all.isEmpty }
        }
        #expect(second.arrivals.all.map(\.topic) == ["gw/new/x"])
        #expect(second.link.snapshot().discarded == 1)
    }

    @Test("subscriptions of earlier settings are given up, whatever happened in between")
    func staleSubscriptions() async throws {
        let broker = try await MosquittoProcess()
        let file = broker.folder["upstream.subscriptions"]
        func gateway(_ filters: [String]) throws -> Gateway {
            var configuration = UpstreamConfiguration.test(port: broker.port, subscriptions: filters)
            configuration.subscriptionFile = file
            return try Gateway(configuration)
        }
        func subscribed(_ count: Int) async throws {
            try await eventually("they are subscribed", details: { broker.log }) {
                broker.folder.lines("mosquitto.log").count { $0.contains("Sending SUBACK to gw") } == count
            }
        }
        let first = try gateway(["gw/old/#", "gw/kept/#"])
        try await first.run { try await subscribed(2) }
        #expect(
            broker.folder.lines("upstream.subscriptions").sorted().map { $0.split(separator: "\t").last } == [
                "gw/kept/#", "gw/old/#",
            ])
        let second = try gateway(["gw/kept/#", "gw/new/#"])
        try await second.run {
            try await subscribed(4)
            try await eventually("the old one is given up", details: { broker.log }) {
                broker.logged("Received UNSUBSCRIBE from gw") && broker.logged("gw/old/#")
            }
            try broker.publish("gw/old/x", "1")
            try broker.publish("gw/new/x", "2")
            try await eventually("the new one has arrived") { !second.arrivals.all.isEmpty }
        }
        #expect(second.arrivals.all.map(\.topic) == ["gw/new/x"])
        #expect(second.link.snapshot().discarded == 0)
        #expect(!broker.folder.lines("upstream.subscriptions").contains { $0.contains("old") })
        // Nothing is given up twice.
        let third = try gateway(["gw/kept/#", "gw/new/#"])
        try await third.run { try await subscribed(6) }
        #expect(broker.folder.lines("mosquitto.log").count { $0.contains("Received UNSUBSCRIBE") } == 1)
    }

    @Test("what is retained comes once per change, not at each reconnect", arguments: [WireVersion.v5, .v311])
    func retainedOncePerChange(version: WireVersion) async throws {
        let broker = try await MosquittoProcess(isPersistent: true)
        var configuration = UpstreamConfiguration.test(port: broker.port, subscriptions: ["gw/cmd/#"])
        configuration.protocolChoice = .only(version)
        func subscribed(_ count: Int) async throws {
            try await eventually("it is subscribed") {
                broker.folder.lines("mosquitto.log").count { $0.contains("Sending SUBACK to gw") } == count
            }
        }
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await subscribed(1)
            try broker.publish("gw/cmd/a", "same", arguments: ["-r"])
            try await eventually("it has come") { gateway.arrivals.all.count == 1 }
            for round in 2...4 {
                broker.stop()
                try await broker.start()
                try await subscribed(round)
            }
            try broker.publish("gw/cmd/a", "changed", arguments: ["-r"])
            try await eventually("the change has come") {
                gateway.arrivals.all.last?.payload == Array("changed".utf8)
            }
        }
        #expect(gateway.arrivals.all.map { String(decoding: $0.payload, as: UTF8.self) } == ["same", "changed"])
        // 3.1.1 has no way to ask for what has changed alone.
        if version == .v311 { #expect(broker.logged("Sending PUBLISH to gw (d0, q1, r1")) }
    }

    @Test("subscriptions that overlap bring a message once")
    func overlappingSubscriptions() async throws {
        let broker = try await MosquittoProcess(["allow_duplicate_messages true"])
        let gateway = try Gateway(.test(port: broker.port, subscriptions: ["a/+/c", "a/b/+"]))
        try await gateway.run {
            try await eventually("both are subscribed") {
                broker.folder.lines("mosquitto.log").count { $0.contains("Sending SUBACK to gw") } == 2
            }
            for number in 1...3 { try broker.publish("a/b/c", "\(number)") }
            try broker.publish("a/b/last", "4")
            try await eventually("all have come") { gateway.arrivals.all.last?.topic == "a/b/last" }
        }
        #expect(gateway.arrivals.all.map { String(decoding: $0.payload, as: UTF8.self) } == ["1", "2", "3", "4"])
    }

    @Test("what publishers say of their messages comes along, and what has been here before does not")
    func propertiesFromUpstream() async throws {
        let broker = try await MosquittoProcess()
        let gateway = try Gateway(.test(port: broker.port, subscriptions: ["gw/cmd/#"]))
        try await gateway.append(1...1)
        let own = try #require(try await gateway.outbox.waiting(limit: 1, byteLimit: 99).first).epochDigits
        try await gateway.run {
            try await eventually("it is subscribed") { broker.logged("Sending SUBACK to gw") }
            let named = ["-V", "5"]
            try broker.publish(
                "gw/cmd/back", "x", arguments: named + ["-D", "PUBLISH", "user-property", "epoch", own])
            try broker.publish(
                "gw/cmd/a", "x",
                arguments: named + [
                    "-D", "PUBLISH", "content-type", "text/plain", "-D", "PUBLISH", "response-topic", "r/1",
                    "-D", "PUBLISH", "correlation-data", "42", "-D", "PUBLISH", "payload-format-indicator", "1",
                    "-D", "PUBLISH", "message-expiry-interval", "60", "-D", "PUBLISH", "user-property", "a", "b",
                    "-D", "PUBLISH", "user-property", "epoch", "elsewhere",
                ])
            try await eventually("it has come") { gateway.arrivals.all.count == 1 }
        }
        let arrival = try #require(gateway.arrivals.all.first)
        #expect(arrival.topic == "gw/cmd/a" && arrival.expiry == .seconds(60))
        #expect(
            arrival.properties
                == MessageProperties(
                    isText: true, contentType: "text/plain", responseTopic: "r/1", correlationData: Array("42".utf8),
                    user: [.init("a", "b")], hops: ["elsewhere"]))
        #expect(gateway.link.snapshot().looped == 1)
    }

    @Test("a broker that chooses the client identifier is come back to under it")
    func assignedIdentifier() async throws {
        let names = NamesSeen()
        let broker = try FakeBroker { connection, number, _ in
            names.add(connection.clientIdentifier)
            // Assigned Client Identifier (0x12).
            connection.send(
                FakeBroker.connack(properties: number == 0 ? [0x12, 0, 3] + Array("abc".utf8) : []))
            if number > 0 { connection.serve() }
        }
        defer { broker.stop() }
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.clientIdentifier = ""
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...1)
            try await gateway.drained()
        }
        #expect(names.all == ["", "abc"])
    }

    private final class NamesSeen: Sendable {
        private let names = Mutex<[String]>([])
        var all: [String] { names.withLock { $0 } }
        func add(_ name: String) { names.withLock { $0.append(name) } }
    }

    @Test("cancelling the task is a shutdown, too")
    func cancelled() async throws {
        let broker = try await MosquittoProcess()
        let gateway = try Gateway(.test(port: broker.port))
        let running = Task { try await gateway.link.run() }
        try await gateway.connected()
        running.cancel()
        try await running.value
        #expect(gateway.link.snapshot().state == .stopped)
        try await eventually("the DISCONNECT is seen") { broker.logged("Received DISCONNECT from gw") }
    }
}
