import MQTT
import NIOCore
import Testing

@Suite struct ServerConnectionTests {
    static func connected(
        _ version: ProtocolVersion = .v5_0, keepAlive: UInt16 = 10, properties: [Property] = [],
        limits: ServerConnection.Limits = .init()
    ) throws -> ServerConnection {
        var connection = ServerConnection(limits: limits, now: 0)
        _ = try connection.receive(
            .connect(
                Connect(
                    version: version, keepAlive: keepAlive, clientIdentifier: "c", properties: Properties(properties))),
            now: 0)
        _ = connection.accept(assignedClientIdentifier: nil, now: 0)
        return connection
    }

    static func publish(_ identifier: UInt16) -> Packet {
        .publish(Publish(topic: "t", payload: ByteBuffer(), qos: .atLeastOnce, packetIdentifier: identifier))
    }

    static func second(_ seconds: Double) -> Int64 { Int64(seconds * 1e9) }

    @Test func acknowledgementsLeaveInTheOrderOfPublishes() throws {
        var connection = try Self.connected()
        for identifier in 1...4 as ClosedRange<UInt16> {
            #expect(
                try connection.receive(Self.publish(identifier), now: 0)
                    == .publish(
                        Publish(topic: "t", payload: ByteBuffer(), qos: .atLeastOnce, packetIdentifier: identifier),
                        publication: UInt64(identifier) - 1))
        }
        func settle(_ publication: UInt64) -> [UInt16] {
            var acknowledgements: [InboundWindow.Settled] = []
            connection.settle(publication, into: &acknowledgements)
            return acknowledgements.map(\.acknowledgement.packetIdentifier)
        }
        #expect(settle(2) == [])
        #expect(settle(0) == [1])
        #expect(settle(1) == [2, 3])
        #expect(settle(1) == [])
        #expect(settle(99) == [])
        #expect(settle(3) == [4])
        #expect(connection.owedAcknowledgements == 0)
    }

    @Test func theReceiveMaximumHoldsFor5AndPauses311() throws {
        var limits = ServerConnection.Limits()
        limits.receiveMaximum = 2
        var five = try Self.connected(.v5_0, limits: limits)
        var three = try Self.connected(.v3_1_1, limits: limits)
        for identifier in 1...2 as ClosedRange<UInt16> {
            _ = try five.receive(Self.publish(identifier), now: 0)
            _ = try three.receive(Self.publish(identifier), now: 0)
        }
        #expect(three.isSaturated)
        #expect(throws: MQTTError.self) { try five.receive(Self.publish(3), now: 0) }
        _ = try three.receive(Self.publish(3), now: 0)
    }

    @Test func silenceEndsAConnection() throws {
        var waiting = ServerConnection(limits: .init(), now: 0)
        #expect(waiting.timerFired(now: Self.second(9)) == .wake(at: Self.second(10)))
        guard case .close(let error) = waiting.timerFired(now: Self.second(10)) else {
            Issue.record("still open")
            return
        }
        #expect(error.reason == .maximumConnectTime)
        #expect(waiting.closing(for: error) == nil)

        var live = try Self.connected(keepAlive: 10)
        _ = try live.receive(.pingreq, now: Self.second(8))
        #expect(live.timerFired(now: Self.second(15)) == .wake(at: Self.second(23)))
        guard case .close(let late) = live.timerFired(now: Self.second(23)) else {
            Issue.record("still open")
            return
        }
        #expect(late.reason == .keepAliveTimeout)
        let forever = try Self.connected(keepAlive: 0)
        #expect(forever.deadline == nil)
    }

    /// The intake is full, so nothing is read: whoever sends its PINGREQs in time is not to be closed for that.
    @Test func silenceOfAClientThatIsNotHeardDoesNotCount() throws {
        var connection = try Self.connected(keepAlive: 10)
        #expect(connection.timerFired(now: Self.second(15), isHeard: false) == .wake(at: Self.second(30)))
        #expect(connection.timerFired(now: Self.second(30), isHeard: false) == .wake(at: Self.second(45)))
        guard case .close(let error) = connection.timerFired(now: Self.second(45)) else {
            Issue.record("still open")
            return
        }
        #expect(error.reason == .keepAliveTimeout)
        var waiting = ServerConnection(limits: .init(), now: 0)
        guard case .close = waiting.timerFired(now: Self.second(10), isHeard: false) else {
            Issue.record("still open")
            return
        }
    }

    @Test func eachVersionIsToldInItsOwnWay() throws {
        let error = MQTTError(.protocolError, "why")
        var five = try Self.connected(.v5_0)
        guard let (packet, version) = five.closing(for: error) else {
            Issue.record("says nothing")
            return
        }
        #expect(version == .v5_0)
        #expect(
            packet == .disconnect(Disconnect(reason: .protocolError, properties: Properties([.reasonString("why")]))))
        #expect(five.closing(for: error) == nil)
        var three = try Self.connected(.v3_1_1)
        #expect(three.closing(for: error) == nil)
        var quiet = try Self.connected(.v5_0, properties: [.requestProblemInformation(0)])
        #expect(quiet.closing(for: error)?.0 == .disconnect(Disconnect(reason: .protocolError)))
    }

    /// A refusal of 11 bytes, or 5 without words; a DISCONNECT of 16, or 3 without [MQTT-3.1.2-24].
    @Test func wordsThatAreTooLongForTheClientAreLeftOut() throws {
        func deciding(_ limit: UInt32) throws -> ServerConnection {
            var connection = ServerConnection(limits: .init(), now: 0)
            let properties = Properties([.maximumPacketSize(limit)])
            let connect = Connect(version: .v5_0, clientIdentifier: "c", properties: properties)
            _ = try connection.receive(.connect(connect), now: 0)
            return connection
        }
        let words = Properties([.reasonString("why")])
        for (limit, packet) in [
            (11, Packet.connack(Connack(reason: .banned, properties: words))),
            (10, .connack(Connack(reason: .banned))), (5, .connack(Connack(reason: .banned))), (4, nil),
        ] as [(UInt32, Packet?)] {
            var connection = try deciding(limit)
            #expect(connection.closing(for: MQTTError(.banned, "why"))?.0 == packet)
        }
        for count in [9, 10] {
            var connection = try deciding(16)
            _ = connection.accept(now: 0)
            let error = MQTTError(.protocolError, String(repeating: "x", count: count))
            let words = count == 9 ? Properties([.reasonString(error.detail)]) : Properties()
            let told = connection.closing(for: error)?.0
            #expect(told == .disconnect(Disconnect(reason: .protocolError, properties: words)))
        }
        // The CONNACK did not fit, so nothing else may come.
        var silent = try deciding(15)
        _ = silent.accept(now: 0)
        #expect(silent.closing(for: MQTTError(.packetTooLarge, "")) == nil)
    }

    /// 0x83 and 0x84: bridges of mosquitto, in 3.1 and 3.1.1.
    @Test(arguments: [
        (0 as UInt8, ProtocolVersion.v3_1_1), (2, .v3_1_1), (6, .v5_0), (0x7F, .v5_0), (0x83, .v3_1_1),
        (0x84, .v3_1_1),
    ])
    func aLevelThatIsNotServedIsRefusedInItsOwnTerms(level: UInt8, version: ProtocolVersion) {
        var connection = ServerConnection(limits: .init(), now: 0)
        let refusal = connection.closing(for: MQTTError(.unsupportedProtocolVersion, ""), refusedLevel: level)
        #expect(refusal?.0 == .connack(Connack(reason: .unsupportedProtocolVersion)))
        #expect(refusal?.1 == version)
    }

    @Test func anAliasStandsForTheTopicItCameWith() throws {
        var connection = try Self.connected()
        func topic(_ topic: String, alias: UInt16) throws -> String? {
            let publish = Publish(topic: topic, payload: ByteBuffer(), properties: Properties([.topicAlias(alias)]))
            guard case .publish(let received, _) = try connection.receive(.publish(publish), now: 0) else { return nil }
            #expect(received.properties.isEmpty)
            return received.topic
        }
        #expect(try topic("a", alias: 16) == "a")
        #expect(try topic("", alias: 16) == "a")
        #expect(try topic("b", alias: 16) == "b")
        #expect(try topic("", alias: 16) == "b")
    }

    @Test(arguments: [
        Packet.auth(Auth(reason: .success)),
        .publish(Publish(topic: "t", payload: ByteBuffer(), properties: Properties([.topicAlias(17)]))),
        .publish(Publish(topic: "", payload: ByteBuffer(), properties: Properties([.topicAlias(1)]))),
        .disconnect(Disconnect(properties: Properties([.sessionExpiryInterval(5)]))),
    ])
    func whatWasNotGrantedEndsTheConnection(packet: Packet) throws {
        var connection = try Self.connected()
        #expect(throws: MQTTError.self) { try connection.receive(packet, now: 0) }
    }

    /// [MQTT-3.1.2-24]: also what ends the connection is no larger than the client accepts.
    @Test func nothingIsLargerThanTheClientAccepts() throws {
        let error = MQTTError(.protocolError, String(repeating: "x", count: 100))
        var small = try Self.connected(properties: [.maximumPacketSize(72)])
        #expect(small.closing(for: error)?.0 == .disconnect(Disconnect(reason: .protocolError)))
        var tiny = ServerConnection(limits: .init(), now: 0)
        let connect = Connect(
            version: .v5_0, clientIdentifier: "", properties: Properties([.maximumPacketSize(4)]))
        _ = try tiny.receive(.connect(connect), now: 0)
        #expect(tiny.closing(for: error) == nil)
    }

    /// [MQTT-3.1.2-21] [MQTT-3.2.2-21]: the server's keep-alive holds where it has set one, and only 5.0 can be told.
    @Test(arguments: [
        (ProtocolVersion.v5_0, UInt16(600), UInt16?(60), Int64?(90)), (.v5_0, 0, 60, 90), (.v5_0, 60, nil, 90),
        (.v5_0, 10, nil, 15), (.v3_1_1, 600, nil, 900), (.v3_1_1, 0, nil, nil),
    ])
    func theServerMaySetTheKeepAlive(version: ProtocolVersion, asked: UInt16, told: UInt16?, seconds: Int64?) throws {
        var limits = ServerConnection.Limits()
        limits.maximumKeepAlive = 60
        var connection = ServerConnection(limits: limits, now: 0)
        _ = try connection.receive(
            .connect(Connect(version: version, keepAlive: asked, clientIdentifier: "a")), now: 0)
        let connack = connection.accept(now: 0)
        let property = connack.properties.list.lazy.compactMap { property -> UInt16? in
            if case .serverKeepAlive(let value) = property { value } else { nil }
        }.first
        #expect(property == told)
        #expect(connection.deadline == seconds.map { $0 * 1_000_000_000 })
    }
}
