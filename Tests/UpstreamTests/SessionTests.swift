import Glibc
import Readings
import TestSupport
import Testing

@testable import Upstream

@Suite("Sessions with a real mosquitto", .enabled(if: MosquittoProcess.isInstalled), .serialized)
struct SessionTests {
    @Test("birth and farewell are retained; the will speaks for a gateway that died")
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
        try await eventually("the farewell is seen") { observer.messages.map(\.payload) == ["online", "offline"] }
        try await eventually("the DISCONNECT is seen") { broker.logged("Received DISCONNECT from gw") }
        let afterwards = try await broker.subscribe("gw/$state", name: "afterwards")
        try await eventually("the farewell is retained") { afterwards.messages.map(\.payload) == ["offline"] }

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
            // Our own messages do not come back with 5.0.
            if version == .v5 {
                try await first.append(1...1, topic: "all/own")
                try await first.drained()
            }
        }
        #expect(
            first.arrivals.all == [
                UpstreamArrival(topic: "gw/cmd/relay", payload: Array("on".utf8), retain: false),
                UpstreamArrival(topic: "all/x", payload: Array("hello".utf8), retain: version == .v5),
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
