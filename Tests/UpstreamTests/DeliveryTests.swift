import Glibc
import Outbox
import Readings
import TestSupport
import Testing

@testable import Upstream

@Suite("Delivery to a real mosquitto", .enabled(if: MosquittoProcess.isInstalled), .serialized)
struct DeliveryTests {
    @Test("2,000 messages arrive once, in order, with their user properties")
    func inOrder() async throws {
        let broker = try await MosquittoProcess()
        let observer = try await broker.subscribe("gw/#", name: "observer")
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            for start in stride(from: 1, to: 2000, by: 100) { try await gateway.append(start...start + 99) }
            try await gateway.drained()
        }
        try await eventually("all are seen") { observer.messages.count >= 2002 }
        let messages = observer.messages.filter { $0.topic == "gw/t" }
        #expect(messages.map(\.payload) == (1...2000).map(String.init))
        #expect(messages.map { $0.properties["seq"] } == (1...2000).map(String.init))
        let epoch = try #require(messages[0].properties["epoch"])
        #expect(epoch.utf8.count == 16)
        #expect(
            messages.allSatisfy {
                $0.properties["stream"] == "telemetry" && $0.properties["epoch"] == epoch
                    && $0.properties["boot"] == "boot-1" && $0.properties["tq"] == "synced"
                    && $0.properties["ts"]?.utf8.count == 13
            }
        )
        let snapshot = gateway.link.snapshot()
        #expect(snapshot.acknowledged == 2000)
        #expect(snapshot.published == 2000)
        #expect(snapshot.state == .stopped)
        #expect(snapshot.version == .v5)
    }

    @Test("what publishers say of their messages goes along, and how long they are of use")
    func properties() async throws {
        let broker = try await MosquittoProcess()
        let observer = try await broker.subscribe("gw/t", name: "observer")
        let all = try ChildProcess(
            [
                "mosquitto_sub", "-h", "127.0.0.1", "-p", "\(broker.port)", "-V", "5", "-i", "all", "-t", "gw/t", "-F",
                "%C|%R|%D|%E|%F",
            ], output: broker.folder["all.out"])
        defer { all.end(SIGKILL) }
        try await eventually("it is subscribed") { broker.logged("Sending SUBACK to all") }
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            var message = Message(topic: "gw/t", payload: Array("x".utf8), time: KernelTime().now())
            message.expiry = .seconds(100)
            message.properties = MessageProperties(
                isText: true, contentType: "text/plain", responseTopic: "r/1", correlationData: Array("42".utf8),
                user: [.init("a", "b")], hops: ["boot-0"])
            try await gateway.outbox.append([.init(message: message)])
            try await gateway.drained()
            try await eventually("it is seen") {
                !observer.messages.isEmpty && !broker.folder.lines("all.out").isEmpty
            }
        }
        let properties = observer.messages[0].properties
        #expect(properties["a"] == "b" && properties["hop"] == "boot-0" && properties["boot"] == "boot-1")
        #expect(properties["seq"] == "1")
        let line = try #require(broker.folder.lines("all.out").first)
        #expect(["text/plain|r/1|42|99|1", "text/plain|r/1|42|100|1"].contains(line), "\(line)")
    }

    @Test("what neither the library nor a broker takes of a publisher's properties holds nothing up")
    func strangeProperties() async throws {
        let broker = try await MosquittoProcess()
        let observer = try await broker.subscribe("gw/t", name: "observer")
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.run {
            let strange = try [0x0A, 0x01, 0x9F, 0xFDD0, 0x1FFFE].map { "a\(try #require(Unicode.Scalar(UInt32($0))))" }
            for text in strange {
                var message = Message(topic: "gw/t", payload: Array("x".utf8), time: KernelTime().now())
                message.properties = MessageProperties(
                    contentType: text, responseTopic: text,
                    user: [.init(text, "v"), .init("n", text), .init("a", "b")],
                    hops: [text])
                try await gateway.outbox.append([.init(message: message)])
            }
            try await gateway.drained()
            try await eventually("they are seen") { observer.messages.count == strange.count }
        }
        #expect(observer.messages.allSatisfy { $0.properties["a"] == "b" && $0.properties["n"] == nil })
        #expect(gateway.link.snapshot().refused == 0 && gateway.link.snapshot().connections == 1)
    }
}
