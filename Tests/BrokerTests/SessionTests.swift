import Broker
import Glibc
import Logging
import MQTT
import NIOCore
import NIOPosix
import Readings
import Registry
import Synchronization
import TestSupport
import Testing

/// Settles everything at once: upstream is not what these tests are about.
private final class SettlingIntake: Intake {
    /// Folders of tests where nothing is settled for now.
    static let isStuck = Mutex<Set<String>>([])

    private let server: NIOLoopBoundBox<BrokerServer?>
    private let folder: String

    init(loop: any EventLoop, folder: String) {
        self.folder = folder
        server = NIOLoopBoundBox.makeEmptyBox(valueType: BrokerServer.self, eventLoop: loop)
    }

    func attach(_ server: BrokerServer, loop: any EventLoop) async throws {
        try await loop.submit { self.server.value = server }.get()
    }

    func accept(_ batch: [Arrival]) -> IntakeVerdict {
        if Self.isStuck.withLock({ $0.contains(folder) }) { return .accepted }
        server.value?.settle(batch.compactMap(\.settle))
        return .accepted
    }
}

/// A listener whose sessions are kept in a real state file.
private func withServer(
    _ directory: TemporaryDirectory, _ change: (inout BrokerConfiguration) -> Void = { _ in },
    _ body: @escaping @Sendable (BrokerServer, Int) throws -> Void
) async throws {
    var configuration = BrokerConfiguration()
    configuration.listeners = [Listener(.tcp(ListenAddress(host: "127.0.0.1", port: 0)))]
    change(&configuration)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let intake = SettlingIntake(loop: loop, folder: directory.path)
    let store = try StateStore(path: "\(directory.path)/state.db", boot: "this", time: KernelTime())
    let server = BrokerServer(
        configuration: configuration, group: group, intake: intake, time: KernelTime(), store: Adapter(store: store),
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try await intake.attach(server, loop: loop)
    try await server.start()
    let port = try #require(try await server.open(configuration.listeners[0]).port)
    do {
        // Clients block their thread, and must not hold one that the server's tasks need.
        try await onOwnThread { try body(server, port) }
    } catch {
        Issue.record(error)
    }
    await server.shutdown(deadline: .seconds(5))
    try await group.shutdownGracefully()
    await store.close()
}

private struct Adapter: SessionStore {
    let store: StateStore
    func load() async throws -> StoredSessions { await store.load() }
    func commit(_ changes: [SessionChange]) async throws { try await store.commit(changes) }
    func rewrite(_ everything: [SessionChange]) async throws -> SessionRewrite { try await store.rewrite(everything) }
    func isIntact() async -> Bool { await store.isIntact() }
}

@Suite(.timeLimit(.minutes(1))) struct SessionTests {
    private static let forever = Property.sessionExpiryInterval(.max)

    @Test(arguments: [QoS.atLeastOnce, .exactlyOnce], [ProtocolVersion.v3_1, .v3_1_1, .v5_0])
    func whatCameWhileAwayIsDeliveredOnce(qos: QoS, version: ProtocolVersion) async throws {
        let properties = version == .v5_0 ? [Self.forever] : []
        try await withServer(try TemporaryDirectory()) { _, port in
            let first = try PacketClient(
                port: port, id: "s", version: version, cleanStart: false, properties: properties)
            #expect(!first.sessionPresent)
            _ = try first.subscribe(.init("t/#", qos: qos))
            first.socket.close()
            let publisher = try PacketClient(port: port, id: "p")
            for number in 1...50 {
                publisher.publish("t/\(number)", "\(number)", qos: qos, id: UInt16(number))
            }
            try publisher.completePublishes(50)
            let second = try PacketClient(
                port: port, id: "s", version: version, cleanStart: false, properties: properties)
            #expect(second.sessionPresent == (version != .v3_1))
            var topics: [String] = []
            while topics.count < 50, let packet = try second.receive() {
                switch packet {
                case .publish(let publish):
                    topics.append(publish.topic)
                    let acknowledgement = Acknowledgement(packetIdentifier: publish.packetIdentifier ?? 0)
                    second.send(qos == .atLeastOnce ? .puback(acknowledgement) : .pubrec(acknowledgement))
                case .pubrel(let pubrel):
                    second.send(.pubcomp(Acknowledgement(packetIdentifier: pubrel.packetIdentifier)))
                default: Issue.record("\(packet)")
                }
            }
            #expect(topics == (1...50).map { "t/\($0)" })
        }
    }

    @Test func whatIsNotAcknowledgedComesAgainInItsOrder() async throws {
        try await withServer(try TemporaryDirectory()) { _, port in
            let first = try PacketClient(port: port, id: "s", properties: [Self.forever])
            _ = try first.subscribe(.init("t", qos: .exactlyOnce))
            let publisher = try PacketClient(port: port, id: "p")
            publisher.publish("t", "a", qos: .atLeastOnce, id: 1)
            publisher.publish("t", "b", qos: .exactlyOnce, id: 2)
            publisher.publish("t", "c", qos: .exactlyOnce, id: 3)
            var identifiers: [String: UInt16] = [:]
            for _ in 0..<3 {
                guard case .publish(let publish) = try first.receive() else { continue }
                #expect(!publish.dup)
                identifiers[String(buffer: publish.payload)] = publish.packetIdentifier
            }
            let b = try #require(identifiers["b"])
            first.send(.pubrec(Acknowledgement(packetIdentifier: b)))
            #expect(try first.receive() == .pubrel(Acknowledgement(packetIdentifier: b)))
            first.socket.close()

            let second = try PacketClient(port: port, id: "s", cleanStart: false, properties: [Self.forever])
            #expect(second.sessionPresent)
            var again: [String] = []
            for _ in 0..<3 {
                switch try second.receive() {
                case .publish(let publish):
                    #expect(publish.dup)
                    #expect(publish.packetIdentifier == identifiers[String(buffer: publish.payload)])
                    again.append(String(buffer: publish.payload))
                case .pubrel(let pubrel): again.append("rel \(pubrel.packetIdentifier == b)")
                default: break
                }
            }
            #expect(again == ["a", "rel true", "c"])
        }
    }

    @Test func aRepeatedQoS2PublishIsTakenOnce() async throws {
        try await withServer(try TemporaryDirectory()) { _, port in
            let watcher = try PacketClient(port: port, id: "w")
            _ = try watcher.subscribe(.init("t", qos: .atMostOnce))
            let publish = Publish(topic: "t", payload: ByteBuffer(string: "x"), qos: .exactlyOnce, packetIdentifier: 9)
            var repeated = publish
            repeated.dup = true
            let first = try PacketClient(port: port, id: "p", properties: [Self.forever])
            first.send(.publish(publish))
            #expect(try first.receive() == .pubrec(Acknowledgement(packetIdentifier: 9)))
            first.send(.publish(repeated))
            #expect(try first.receive() == .pubrec(Acknowledgement(packetIdentifier: 9)))
            first.socket.close()
            let second = try PacketClient(port: port, id: "p", cleanStart: false, properties: [Self.forever])
            second.send(.publish(repeated))
            #expect(try second.receive() == .pubrec(Acknowledgement(packetIdentifier: 9)))
            second.send(.pubrel(Acknowledgement(packetIdentifier: 9)))
            #expect(try second.receive() == .pubcomp(Acknowledgement(packetIdentifier: 9)))
            second.send(.pubrel(Acknowledgement(packetIdentifier: 9)))
            #expect(
                try second.receive()
                    == .pubcomp(Acknowledgement(packetIdentifier: 9, reason: .packetIdentifierNotFound)))
            second.send(.publish(publish))
            #expect(try second.receive() == .pubrec(Acknowledgement(packetIdentifier: 9)))
            #expect(try watcher.message() == "t=x")
            #expect(try watcher.message() == "t=x")
            watcher.send(.pingreq)
            #expect(try watcher.receive() == .pingresp)
        }
    }

    @Test func aRestartForgetsNothing() async throws {
        let directory = try TemporaryDirectory()
        try await withServer(directory) { _, port in
            let away = try PacketClient(port: port, id: "away", properties: [Self.forever])
            away.send(
                .subscribe(
                    Subscribe(
                        packetIdentifier: 1, filters: [.init("t", qos: .exactlyOnce, retainAsPublished: true)],
                        properties: Properties([.subscriptionIdentifier(3)]))))
            _ = try away.receive()
            away.socket.close()
            let short = try PacketClient(port: port, id: "short")
            _ = try short.subscribe(.init("t", qos: .atLeastOnce))
            let publisher = try PacketClient(port: port, id: "p")
            publisher.send(
                .publish(
                    Publish(
                        topic: "t", payload: ByteBuffer(string: "kept"), qos: .exactlyOnce, retain: true,
                        packetIdentifier: 1, properties: Properties([.userProperty(name: "n", value: "v")]))))
            #expect(try publisher.receive() == .pubrec(Acknowledgement(packetIdentifier: 1)))
        }
        try await withServer(directory) { server, port in
            #expect(wait { await server.snapshot().retained } == 1)
            #expect(wait { await server.snapshot().sessions } == 1)
            let away = try PacketClient(port: port, id: "away", cleanStart: false, properties: [Self.forever])
            #expect(away.sessionPresent)
            let publish = try #require(try away.delivery())
            #expect(String(buffer: publish.payload) == "kept")
            #expect(publish.qos == .exactlyOnce)
            #expect(publish.retain)
            #expect(publish.properties.list == [.userProperty(name: "n", value: "v"), .subscriptionIdentifier(3)])
            away.send(.disconnect(Disconnect(properties: Properties([.sessionExpiryInterval(0)]))))
            // The server has closed the connection: it has read that, and not only been sent it.
            #expect(try away.receive() == nil)
        }
        try await withServer(directory) { server, port in
            #expect(wait { await server.snapshot().sessions } == 0)
            let away = try PacketClient(port: port, id: "away", cleanStart: false)
            #expect(!away.sessionPresent)
        }
    }

    /// The gateway dies before a QoS 2 message is safe upstream, with all that sessions wait for on disk: the repetition is
    /// taken, and not taken for one that is known.
    @Test func aQoS2PublishThatWasNotSafeIsTakenAgainAfterARestart() async throws {
        let directory = try TemporaryDirectory()
        let publish = Publish(
            topic: "t", payload: ByteBuffer(string: "x"), qos: .exactlyOnce, packetIdentifier: 9)
        try await withServer(directory) { server, port in
            let client = try PacketClient(port: port, id: "p", properties: [Self.forever])
            // A session waits for it: that is written, while nobody settles it.
            let away = try PacketClient(port: port, id: "away", properties: [Self.forever])
            _ = try away.subscribe(.init("t", qos: .exactlyOnce))
            _ = SettlingIntake.isStuck.withLock { $0.insert(directory.path) }
            client.send(.publish(publish))
            #expect(try away.delivery() != nil)
        }
        _ = SettlingIntake.isStuck.withLock { $0.remove(directory.path) }
        try await withServer(directory) { _, port in
            let watcher = try PacketClient(port: port, id: "w")
            _ = try watcher.subscribe(.init("t", qos: .atMostOnce))
            let client = try PacketClient(port: port, id: "p", cleanStart: false, properties: [Self.forever])
            #expect(client.sessionPresent)
            var repeated = publish
            repeated.dup = true
            client.send(.publish(repeated))
            #expect(try client.receive() == .pubrec(Acknowledgement(packetIdentifier: 9)))
            #expect(try watcher.message() == "t=x")
        }
    }

    @Test func aSessionEndsWhenItsTimeIsOverAndItsWillIsDueThen() async throws {
        try await withServer(try TemporaryDirectory()) { server, port in
            let watcher = try PacketClient(port: port, id: "w")
            _ = try watcher.subscribe(.init("will/#", qos: .atMostOnce))
            func will(_ topic: String, delay: UInt32) -> Will {
                Will(topic: topic, payload: ByteBuffer(), properties: Properties([.willDelayInterval(delay)]))
            }
            let ends = try PacketClient(
                port: port, id: "ends", will: will("will/end", delay: 600), properties: [.sessionExpiryInterval(1)])
            let delayed = try PacketClient(
                port: port, id: "delayed", will: will("will/delayed", delay: 4), properties: [Self.forever])
            let returns = try PacketClient(
                port: port, id: "returns", will: will("will/never", delay: 3), properties: [Self.forever])
            ends.socket.close()
            delayed.socket.close()
            returns.socket.close()
            #expect(wait { await eventually { await server.snapshot().clients.count == 1 } })
            let back = try PacketClient(port: port, id: "returns", cleanStart: false, properties: [Self.forever])
            #expect(back.sessionPresent)
            #expect(try watcher.message() == "will/end=")
            #expect(try watcher.message() == "will/delayed=")
            #expect(wait { await server.snapshot().counters.expiredSessions } == 1)
            // A clean start ends what was there, and its will is due then.
            let gone = try PacketClient(
                port: port, id: "gone", will: will("will/gone", delay: 600), properties: [Self.forever])
            gone.socket.close()
            #expect(wait { await eventually { await server.snapshot().clients.count == 2 } })
            _ = try PacketClient(port: port, id: "gone")
            #expect(try watcher.message() == "will/gone=")
        }
    }

    @Test func aGroupSharesItsMessagesAndSkipsWhoIsAway() async throws {
        try await withServer(try TemporaryDirectory()) { _, port in
            let members = try (0..<3).map { try PacketClient(port: port, id: "m\($0)") }
            for member in members {
                #expect(try member.subscribe(.init("$share/g/t/#", qos: .atLeastOnce)) == [.grantedQoS1])
            }
            let publisher = try PacketClient(port: port, id: "p")
            for number in 0..<9 { publisher.publish("t/\(number)", "") }
            for (index, member) in members.enumerated() {
                let got = try (0..<3).map { _ in try member.message() }
                #expect(got == (0..<3).map { "t/\($0 * 3 + index)=" })
            }
            members[1].send(.disconnect(Disconnect()))
            #expect(try members[1].receive() == nil)
            for number in 0..<4 { publisher.publish("t/\(number)", "") }
            #expect(try members[0].message() != nil)
            #expect(try members[0].message() != nil)
            #expect(try members[2].message() != nil)
            #expect(try members[2].message() != nil)
        }
    }

    @Test func aliasesGoBothWays() async throws {
        try await withServer(try TemporaryDirectory()) { _, port in
            let client = try PacketClient(port: port, id: "a", properties: [.topicAliasMaximum(1)])
            _ = try client.subscribe(.init("#", qos: .atMostOnce))
            func publish(_ topic: String, alias: UInt16) -> Packet {
                .publish(Publish(topic: topic, payload: ByteBuffer(), properties: Properties([.topicAlias(alias)])))
            }
            client.send(publish("one", alias: 5), publish("two", alias: 6), publish("", alias: 5))
            #expect(try client.receive() == publish("one", alias: 1))
            #expect(try client.receive() == .publish(Publish(topic: "two", payload: ByteBuffer())))
            #expect(try client.receive() == publish("", alias: 1))
        }
    }

    /// An alias takes three bytes, and stands for nothing where the packet that brings it was too large to be sent.
    @Test func anAliasDoesNotMakeAPacketTooLarge() async throws {
        try await withServer(try TemporaryDirectory()) { _, port in
            let client = try PacketClient(
                port: port, id: "a", properties: [.topicAliasMaximum(1), .maximumPacketSize(20)])
            _ = try client.subscribe(.init("#", qos: .atMostOnce))
            func publish(_ topic: String, _ count: Int, alias: UInt16? = nil) -> Packet {
                .publish(
                    Publish(
                        topic: topic, payload: ByteBuffer(repeating: 0, count: count),
                        properties: Properties(alias.map { [.topicAlias($0)] } ?? [])))
            }
            // 5 bytes around topic and payload.
            client.send(publish("topic", 11), publish("topic", 10), publish("topic", 2), publish("topic", 12))
            #expect(try client.receive() == publish("topic", 10))
            #expect(try client.receive() == publish("topic", 2, alias: 1))
            #expect(try client.receive() == publish("", 12, alias: 1))
        }
    }

    @Test func aMessageThatWaitsGrowsOlderAndExpires() async throws {
        try await withServer(try TemporaryDirectory()) { server, port in
            let away = try PacketClient(port: port, id: "a", properties: [Self.forever])
            _ = try away.subscribe(.init("t", qos: .atLeastOnce))
            away.socket.close()
            #expect(wait { await eventually { await server.snapshot().clients.isEmpty } })
            let publisher = try PacketClient(port: port, id: "p")
            for (identifier, expiry) in [(1, 1), (2, 60)] as [(UInt16, UInt32)] {
                publisher.send(
                    .publish(
                        Publish(
                            topic: "t", payload: ByteBuffer(), qos: .atLeastOnce, packetIdentifier: identifier,
                            properties: Properties([.messageExpiryInterval(expiry)]))))
                #expect(try publisher.receive() == .puback(Acknowledgement(packetIdentifier: identifier)))
            }
            // Time is what this is about, and nothing tells that it has passed.
            usleep(1_100_000)
            let back = try PacketClient(port: port, id: "a", cleanStart: false, properties: [Self.forever])
            let publish = try #require(try back.delivery())
            #expect((50...59).contains(try #require(publish.properties.messageExpiryInterval)))
        }
    }

    @Test func theServerTellsOfItselfBelowSYS() async throws {
        try await withServer(try TemporaryDirectory()) { _, port in
            let client = try PacketClient(port: port, id: "a")
            _ = try client.subscribe(.init("$SYS/broker/clients/connected", qos: .atMostOnce))
            #expect(try client.message()?.hasPrefix("$SYS/broker/clients/connected=") == true)
            client.publish("$SYS/broker/uptime", "lies", qos: .atLeastOnce, id: 1)
            #expect(
                try client.receive() == .puback(Acknowledgement(packetIdentifier: 1, reason: .notAuthorized)))
        }
    }
}
