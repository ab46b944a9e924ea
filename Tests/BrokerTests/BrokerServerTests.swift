import Broker
import Logging
import MQTT
import NIOCore
import NIOPosix
import Readings
import Synchronization
import TestSupport
import Testing

/// A clock that stands still: the broker reads it only to stamp arrivals.
struct StillTime: TimeSource {
    func now() -> Timestamp {
        Timestamp(instant: Instant(nanoseconds: 0), unixNanoseconds: 0, quality: .synced)
    }
}

/// Keeps what the broker hands up, and says what the test wants.
final class RecordingIntake: Intake {
    let arrivals = Mutex<[Arrival]>([])
    let verdict = Mutex(IntakeVerdict.accepted)

    func accept(_ batch: [Arrival]) -> IntakeVerdict {
        arrivals.withLock { $0 += batch }
        return verdict.withLock { $0 }
    }

    var topics: [String] { arrivals.withLock { $0.map(\.topic) } }
    var tokens: [SettleToken] { arrivals.withLock { $0.compactMap(\.settle) } }
}

@Suite(.timeLimit(.minutes(1))) struct BrokerServerTests {
    static func withServer(
        _ change: (inout BrokerConfiguration) -> Void = { _ in },
        _ body: (BrokerServer, RecordingIntake, Int) async throws -> Void
    ) async throws {
        var configuration = BrokerConfiguration()
        configuration.listeners = [Listener(.tcp(ListenAddress(host: "127.0.0.1", port: 0)))]
        change(&configuration)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let intake = RecordingIntake()
        let server = BrokerServer(
            configuration: configuration, group: group, intake: intake, time: StillTime(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await server.start()
        let port = try #require(try await server.open(configuration.listeners[0]).port)
        do {
            try await body(server, intake, port)
        } catch {
            Issue.record(error)
        }
        await server.shutdown(deadline: .zero)
        try await group.shutdownGracefully()
    }

    @Test(arguments: [ProtocolVersion.v3_1_1, .v5_0])
    func acknowledgesWhatIsSettledInOrder(version: ProtocolVersion) async throws {
        try await Self.withServer { server, intake, port in
            let client = try PacketClient(port: port, id: "a", version: version)
            for identifier in 1...3 as ClosedRange<UInt16> {
                client.publish("t/\(identifier)", "x", qos: .atLeastOnce, id: identifier)
            }
            #expect(await eventually { intake.tokens.count == 3 })
            server.settle([intake.tokens[2], intake.tokens[0]])
            #expect(try client.receive() == .puback(Acknowledgement(packetIdentifier: 1)))
            #expect(try client.receive(within: .milliseconds(100)) == nil)
            server.settle([intake.tokens[1]])
            #expect(try client.receive() == .puback(Acknowledgement(packetIdentifier: 2)))
            #expect(try client.receive() == .puback(Acknowledgement(packetIdentifier: 3)))
            #expect(await eventually { intake.topics == ["t/1", "t/2", "t/3"] })
        }
    }

    @Test func deliversByFilterQoSAndVersion() async throws {
        try await Self.withServer { _, _, port in
            let three = try PacketClient(port: port, id: "three", version: .v3_1_1)
            let five = try PacketClient(port: port, id: "five")
            #expect(try three.subscribe(.init("a/+", qos: .atMostOnce)) == [.success])
            #expect(
                try five.subscribe(
                    .init("a/#", qos: .exactlyOnce), .init("a/b", qos: .atMostOnce), .init("a#", qos: .atMostOnce))
                    == [.grantedQoS2, .success, .topicFilterInvalid])
            let publisher = try PacketClient(port: port, id: "p")
            publisher.publish("a/b", "1", qos: .atLeastOnce, id: 1)
            publisher.publish("a/b/c", "2")
            #expect(try three.message() == "a/b=1")
            #expect(try five.message() == "a/b=1")
            #expect(try five.message() == "a/b/c=2")
            #expect(try three.receive(within: .milliseconds(50)) == nil)
        }
    }

    @Test func retainedMessagesComeWithTheSubscription() async throws {
        try await Self.withServer { server, _, port in
            let publisher = try PacketClient(port: port, id: "p")
            publisher.publish("r/1", "one", retain: true)
            publisher.publish("r/2", "two", retain: true)
            publisher.publish("r/2", "", retain: true)
            publisher.send(.pingreq)
            #expect(try publisher.receive() == .pingresp)
            #expect(await server.snapshot().retained == 1)
            let late = try PacketClient(port: port, id: "late")
            _ = try late.subscribe(.init("r/#", qos: .atLeastOnce))
            #expect(try late.message() == "r/1=one R")
            _ = try late.subscribe(.init("r/#", qos: .atLeastOnce, retainHandling: .sendIfNew))
            publisher.publish("r/1", "new", retain: true)
            #expect(try late.message() == "r/1=new")
        }
    }

    @Test func aWillSpeaksForWhoDiesAndNotForWhoLeaves() async throws {
        try await Self.withServer { _, intake, port in
            let watcher = try PacketClient(port: port, id: "w")
            _ = try watcher.subscribe(.init("will/#", qos: .atMostOnce))
            let will = Will(topic: "will/1", payload: ByteBuffer(string: "gone"))
            let dies = try PacketClient(port: port, id: "dies", will: will)
            dies.socket.close()
            #expect(try watcher.message() == "will/1=gone")
            let leaves = try PacketClient(port: port, id: "leaves", will: will)
            leaves.send(.disconnect(Disconnect()))
            let asks = try PacketClient(port: port, id: "asks", will: Will(topic: "will/2", payload: ByteBuffer()))
            asks.send(.disconnect(Disconnect(reason: .disconnectWithWill)))
            #expect(try watcher.message() == "will/2=")
            let fails = try PacketClient(port: port, id: "fails", will: Will(topic: "will/3", payload: ByteBuffer()))
            fails.send(.disconnect(Disconnect(reason: .unspecifiedError)))
            #expect(try watcher.message() == "will/3=")
            #expect(await eventually { intake.topics == ["will/1", "will/2", "will/3"] })
        }
    }

    @Test func nobodysWillSpeaksForTheServer() async throws {
        try await Self.withServer { server, intake, port in
            let will = Will(topic: "$SYS/broker/version", payload: ByteBuffer(string: "mine"), retain: true)
            try PacketClient(port: port, id: "dies", will: will).socket.close()
            #expect(await eventually { await server.snapshot().clients.isEmpty })
            let reader = try PacketClient(port: port, id: "r")
            _ = try reader.subscribe(.init("$SYS/broker/version", qos: .atMostOnce))
            #expect(try reader.message() == "$SYS/broker/version=tidegate R")
            #expect(await eventually { intake.topics == [] })
        }
    }

    @Test func theNewConnectionTakesAnIdentifierOver() async throws {
        try await Self.withServer { server, _, port in
            let old = try PacketClient(port: port, id: "same")
            let new = try PacketClient(port: port, id: "same")
            guard case .disconnect(let disconnect) = try old.receive() else {
                Issue.record("not told")
                return
            }
            #expect(disconnect.reason == .sessionTakenOver)
            new.send(.pingreq)
            #expect(try new.receive() == .pingresp)
            #expect(await server.snapshot().clients.map(\.id) == ["same"])
        }
    }

    @Test func noLocalAndIdentifiersAreHonoured() async throws {
        try await Self.withServer { server, _, port in
            let client = try PacketClient(port: port, id: "a")
            client.send(
                .subscribe(
                    Subscribe(
                        packetIdentifier: 1, filters: [.init("x", qos: .atMostOnce, noLocal: true)],
                        properties: Properties([.subscriptionIdentifier(5)]))))
            _ = try client.receive()
            client.publish("x", "own")
            client.send(.pingreq)
            #expect(try client.receive() == .pingresp)
            server.publish([LocalMessage(topic: "x", payload: Array("theirs".utf8))])
            guard case .publish(let publish) = try client.receive() else {
                Issue.record("nothing came")
                return
            }
            #expect(String(buffer: publish.payload) == "theirs")
            #expect(publish.properties == Properties([.subscriptionIdentifier(5)]))
        }
    }

    /// No Local holds for what was retained too [MQTT-3.8.3-3].
    @Test func ownRetainedMessagesAreLocalToo() async throws {
        try await Self.withServer { _, _, port in
            let client = try PacketClient(port: port, id: "a")
            client.publish("r/own", "1", retain: true)
            let other = try PacketClient(port: port, id: "b")
            other.publish("r/other", "2", retain: true)
            other.send(.pingreq)
            #expect(try other.receive() == .pingresp)
            #expect(try client.subscribe(.init("r/+", qos: .atMostOnce, noLocal: true)) == [.success])
            #expect(try client.message() == "r/other=2 R")
            client.send(.pingreq)
            #expect(try client.receive() == .pingresp)
            #expect(try client.subscribe(.init("r/own", qos: .atMostOnce)) == [.success])
            #expect(try client.message() == "r/own=1 R")
        }
    }

    @Test func aCongestedIntakeStopsTheReading() async throws {
        try await Self.withServer { server, intake, port in
            intake.verdict.withLock { $0 = .congested }
            let client = try PacketClient(port: port, id: "a", version: .v3_1_1)
            client.publish("t", "1")
            #expect(await eventually { intake.topics.count == 1 })
            client.publish("t", "2")
            client.send(.pingreq)
            #expect(try client.receive(within: .milliseconds(200)) == nil)
            intake.verdict.withLock { $0 = .accepted }
            server.resume()
            #expect(try client.receive() == .pingresp)
            #expect(await eventually { intake.topics.count == 2 })
        }
    }

    /// One and a half seconds of keep-alive pass while nothing is read, the client's PINGREQs among it.
    @Test func nobodyIsClosedForWhatIsNotRead() async throws {
        try await Self.withServer { server, intake, port in
            intake.verdict.withLock { $0 = .congested }
            let client = try PacketClient(port: port, version: .v3_1_1)
            client.send(.connect(Connect(version: .v3_1_1, keepAlive: 1, clientIdentifier: "a")))
            guard case .connack = try client.receive() else {
                Issue.record("not connected")
                return
            }
            client.publish("t", "1")
            #expect(await eventually { intake.topics.count == 1 })
            client.send(.pingreq)
            // Time is what this is about: nothing comes, and the connection stays.
            #expect(client.socket.receive(within: .seconds(2)) == nil)
            intake.verdict.withLock { $0 = .accepted }
            server.resume()
            #expect(try client.receive() == .pingresp)
        }
    }

    /// Commits that end while the listener stops free the intake, but nothing new is to come in any more.
    @Test func aStoppingListenerReadsNoMoreWhateverTheIntakeSays() async throws {
        try await Self.withServer { server, intake, port in
            let client = try PacketClient(port: port, id: "a")
            client.publish("t/1", "x", qos: .atLeastOnce, id: 1)
            #expect(await eventually { intake.tokens.count == 1 })
            // One acknowledgement is owed, which keeps the shutdown waiting.
            async let stopped: Void = server.shutdown(deadline: .seconds(10))
            #expect(await eventually { LoopbackSocket(port: port) == nil })
            server.resume()
            client.publish("t/2", "x", qos: .atLeastOnce, id: 2)
            _ = await server.snapshot()
            server.settle(intake.tokens)
            await stopped
            #expect(await eventually { intake.topics == ["t/1"] })
        }
    }

    /// A device that sends a burst and leaves while the reading is stopped: nothing of it is lost, and it has left in
    /// order, so its will keeps silent.
    @Test func whoLeavesWhileTheReadingIsStoppedIsHeardToTheEnd() async throws {
        try await Self.withServer { server, intake, port in
            intake.verdict.withLock { $0 = .congested }
            let will = Will(topic: "will", payload: ByteBuffer())
            let client = try PacketClient(port: port, id: "a", version: .v3_1_1, will: will)
            for number in 1...2_000 { client.publish("t", "\(number)") }
            client.send(.disconnect(Disconnect()))
            client.socket.close()
            #expect(await eventually { intake.topics.count == 2_000 })
            #expect(await eventually { await server.snapshot().clients.isEmpty })
            #expect(!intake.topics.contains("will"))
        }
    }

    @Test func aWindowFullOf311PublishesStopsTheReadingToo() async throws {
        try await Self.withServer({ $0.limits.receiveMaximum = 2 }) { server, intake, port in
            let client = try PacketClient(port: port, id: "a", version: .v3_1_1)
            for identifier in 1...5 as ClosedRange<UInt16> {
                client.publish("t", "x", qos: .atLeastOnce, id: identifier)
            }
            #expect(await eventually { intake.tokens.count == 2 })
            server.settle(intake.tokens)
            #expect(await eventually { intake.tokens.count == 4 })
            server.settle(intake.tokens)
            #expect(await eventually { intake.tokens.count == 5 })
            server.settle(intake.tokens)
            for identifier in 1...5 as ClosedRange<UInt16> {
                #expect(try client.receive() == .puback(Acknowledgement(packetIdentifier: identifier)))
            }
        }
    }

    /// An older client was never told of a limit, so it is not closed for breaking it.
    @Test(arguments: [ProtocolVersion.v3_1, .v3_1_1])
    func anOlderClientMayHaveAnyNumberOfQoS2PublishesOpen(version: ProtocolVersion) async throws {
        try await Self.withServer({ $0.limits.receiveMaximum = 2 }) { server, intake, port in
            let client = try PacketClient(port: port, id: "a", version: version)
            for identifier in 1...5 as ClosedRange<UInt16> {
                client.publish("t", "x", qos: .exactlyOnce, id: identifier)
            }
            for identifier in 1...5 as ClosedRange<UInt16> {
                #expect(await eventually { intake.tokens.count >= identifier })
                server.settle(intake.tokens)
                #expect(try client.receive() == .pubrec(Acknowledgement(packetIdentifier: identifier)))
            }
            for identifier in 1...5 as ClosedRange<UInt16> {
                client.send(.pubrel(Acknowledgement(packetIdentifier: identifier)))
                #expect(try client.receive() == .pubcomp(Acknowledgement(packetIdentifier: identifier)))
            }
        }
    }

    @Test func aReaderThatNeverReadsCostsBoundedMemoryAndNobodyElse() async throws {
        try await Self.withServer({ $0.maximumOutputBytes = 64 << 10 }) { server, _, port in
            let stuck = try PacketClient(port: port, id: "stuck")
            _ = try stuck.subscribe(.init("flood", qos: .atMostOnce))
            let publisher = try PacketClient(port: port, id: "p")
            let payload = String(repeating: "x", count: 16 << 10)
            for _ in 0..<2_000 { publisher.publish("flood", payload) }
            publisher.send(.pingreq)
            #expect(try publisher.receive() == .pingresp)
            #expect(await server.snapshot().counters.dropped > 0)
        }
    }

    /// Each of them fills the window and empties it again at once, thousands in one read.
    @Test func aWindowOfOneIsNoDeeperForManyPublishes() async throws {
        try await Self.withServer({ $0.limits.receiveMaximum = 1 }) { _, _, port in
            let client = try PacketClient(port: port, id: "a", version: .v3_1_1)
            let publish = Publish(topic: "$SYS/x", payload: ByteBuffer(), qos: .atLeastOnce, packetIdentifier: 1)
            var bytes = ByteBuffer()
            for _ in 0..<30_000 { publish.write(into: &bytes, version: .v3_1_1) }
            client.socket.send(Array(bytes.readableBytesView))
            for _ in 0..<30_000 {
                guard try client.receive() == .puback(Acknowledgement(packetIdentifier: 1)) else {
                    Issue.record("not acknowledged")
                    return
                }
            }
        }
    }

    /// A device that lets an identifier go before it is told that the message is safe, and uses it again, gets an
    /// answer for both messages.
    @Test func anIdentifierLetGoTooEarlyIsAnsweredAllTheSame() async throws {
        try await Self.withServer { server, intake, port in
            let client = try PacketClient(port: port, id: "a")
            let publish = Publish(topic: "t", payload: ByteBuffer(), qos: .exactlyOnce, packetIdentifier: 1)
            let acknowledgement = Acknowledgement(packetIdentifier: 1)
            client.send(.publish(publish), .pubrel(acknowledgement), .publish(publish))
            #expect(await eventually { intake.tokens.count == 2 })
            server.settle(intake.tokens)
            #expect(try client.receive() == .pubcomp(acknowledgement))
            #expect(try client.receive() == .pubrec(acknowledgement))
            #expect(try client.receive() == .pubrec(acknowledgement))
        }
    }

    /// [MQTT-3.1.2-24]: a message grows by its topic alias, and an answer by what was asked.
    @Test func nothingIsSentThatIsTooLarge() async throws {
        try await Self.withServer { server, _, port in
            let client = try PacketClient(
                port: port, id: "a", properties: [.maximumPacketSize(80), .topicAliasMaximum(1)])
            _ = try client.subscribe(.init("t", qos: .atMostOnce))
            let fits = LocalMessage(topic: "t", payload: Array(repeating: 0x78, count: 80 - 6))
            server.publish([fits, fits])
            for _ in 0..<2 {
                guard case .publish(let publish) = try client.receive() else {
                    Issue.record("it did not come")
                    return
                }
                #expect(publish.wireSize(version: .v5_0) <= 80)
                #expect(publish.payload.readableBytes == 74)
            }
            client.send(
                .subscribe(
                    Subscribe(packetIdentifier: 2, filters: (0..<100).map { .init("f/\($0)", qos: .atMostOnce) })))
            guard case .disconnect(let disconnect) = try client.receive() else {
                Issue.record("not told")
                return
            }
            #expect(disconnect.reason == .packetTooLarge)
        }
    }

    /// What is not kept must not look acknowledged: 5.0 has a reason for it, 3.1.1 has only the close.
    @Test func whatIsNotKeptIsNotAcknowledged() async throws {
        try await Self.withServer { server, intake, port in
            let five = try PacketClient(port: port, id: "five")
            let three = try PacketClient(port: port, id: "three", version: .v3_1_1)
            five.publish("t", "x", qos: .atLeastOnce, id: 1)
            three.publish("t", "x", qos: .atLeastOnce, id: 1)
            #expect(await eventually { intake.tokens.count == 2 })
            server.settle(intake.tokens, reason: .quotaExceeded)
            #expect(try five.receive() == .puback(Acknowledgement(packetIdentifier: 1, reason: .quotaExceeded)))
            #expect(try three.receive() == nil)
            #expect(three.socket.receive() == [])
        }
    }

    @Test func silentConnectionsGiveWayToNewOnes() async throws {
        try await Self.withServer({
            $0.maximumPending = 10
            $0.limits.connectTimeout = 60_000_000_000
        }) { server, _, port in
            let silent = try (0..<30).map { _ in try #require(LoopbackSocket(port: port)) }
            let client = try PacketClient(port: port, id: "late")
            client.send(.pingreq)
            #expect(try client.receive() == .pingresp)
            #expect(silent[0].receive() == [])
            #expect(await server.snapshot().counters.silent >= 20)
        }
    }

    @Test func topicsOfTooManyLevelsAreNotKept() async throws {
        try await Self.withServer { server, intake, port in
            let deep = String(repeating: "x/", count: 10_000)
            let client = try PacketClient(port: port, id: "a")
            #expect(
                try client.subscribe(.init(deep, qos: .atMostOnce), .init("#", qos: .atMostOnce)) == [
                    .quotaExceeded, .success,
                ])
            client.publish(deep, "1", retain: true)
            #expect(try client.message() == "\(deep)=1")
            #expect(await server.snapshot().retained == 0)
            #expect(await server.snapshot().counters.retainedRefused == 1)
            #expect(await eventually { intake.topics == [deep] })
        }
    }

    @Test func tooManyClientsAreTold() async throws {
        try await Self.withServer({ $0.maximumClients = 1 }) { _, _, port in
            let first = try PacketClient(port: port, id: "a")
            let second = try PacketClient(port: port)
            second.send(.connect(Connect(version: .v5_0, clientIdentifier: "b")))
            guard case .connack(let connack) = try second.receive() else {
                Issue.record("not told")
                return
            }
            #expect(connack.reason == .serverBusy)
            first.send(.pingreq)
            #expect(try first.receive() == .pingresp)
        }
    }

    @Test func connackTellsWhatIsGranted() async throws {
        try await Self.withServer { _, _, port in
            let client = try PacketClient(port: port)
            client.send(
                .connect(
                    Connect(version: .v5_0, clientIdentifier: "", properties: Properties([.sessionExpiryInterval(100)]))
                ))
            guard case .connack(let connack) = try client.receive() else {
                Issue.record("not answered")
                return
            }
            // What was asked for is granted.
            #expect(connack.properties.sessionExpiryInterval == nil)
            #expect(connack.properties.topicAliasMaximum == 16)
            #expect(
                connack.properties.list.contains {
                    if case .assignedClientIdentifier(let id) = $0 { !id.isEmpty } else { false }
                })
            let old = try PacketClient(port: port, version: .v3_1_1)
            old.send(.connect(Connect(version: .v3_1_1, cleanStart: false, clientIdentifier: "")))
            guard case .connack(let refusal) = try old.receive() else {
                Issue.record("not answered")
                return
            }
            #expect(refusal.reason == .clientIdentifierNotValid)
        }
    }

    @Test func anAnswerThatTheClientCannotTakeEndsTheConnection() async throws {
        try await Self.withServer { _, _, port in
            let client = try PacketClient(port: port, id: "a", properties: [.maximumPacketSize(20)])
            client.send(
                .subscribe(
                    Subscribe(packetIdentifier: 1, filters: (0..<20).map { .init("t/\($0)", qos: .atMostOnce) })))
            #expect(try client.receive() == .disconnect(Disconnect(reason: .packetTooLarge)))
            #expect(client.socket.receive() == [])
        }
    }

    @Test(arguments: [
        ("127.0.0.1:1883", true), ("[::1]:1883", true), ("localhost:1", true), ("0.0.0.0:1883", false),
        ("[::]:1883", false), ("127.evil.example:1", false), ("192.168.1.2:1883", false),
    ])
    func loopbackIsKnown(text: String, isLoopback: Bool) throws {
        #expect(try #require(ListenAddress(text)).isLoopback == isLoopback)
    }

    @Test(arguments: ["1883", "127.0.0.1", ":1883", "::1:1883", "a:70000", "a:b", "a b:1"])
    func notAddresses(text: String) { #expect(ListenAddress(text) == nil) }
}
