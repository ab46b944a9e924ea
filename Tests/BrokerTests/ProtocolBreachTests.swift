import Broker
import MQTT
import NIOCore
import TestSupport
import Testing

/// What ends a connection because the standard says so, in each version of the protocol.
@Suite(.timeLimit(.minutes(1))) struct ProtocolBreachTests {
    /// The connection as it ends: what 5.0 is told, and nothing for older clients.
    private static func expectEnd(_ client: PacketClient, _ version: ProtocolVersion, _ reason: ReasonCode) throws {
        if version == .v5_0 {
            guard case .disconnect(let disconnect) = try client.receive() else {
                Issue.record("not told")
                return
            }
            #expect(disconnect.reason == reason)
        }
        #expect(try client.receive() == nil)
        #expect(client.socket.receive() == [])
    }

    /// PUBACK belongs to QoS 1, PUBREC and PUBCOMP to QoS 2, each in its turn (§4.3).
    @Test(arguments: [ProtocolVersion.v3_1, .v3_1_1, .v5_0], 0..<5)
    func anAcknowledgementOfAnotherQoSEndsTheConnection(version: ProtocolVersion, number: Int) async throws {
        let (qos, packet): (QoS, (Acknowledgement) -> Packet) =
            [
                (.atLeastOnce, Packet.pubrec), (.atLeastOnce, Packet.pubcomp), (.exactlyOnce, Packet.puback),
                (.exactlyOnce, Packet.pubcomp), (.atLeastOnce, Packet.pubrel),
            ][number]
        try await BrokerServerTests.withServer { server, intake, port in
            let client = try PacketClient(port: port, id: "a", version: version)
            let other = try PacketClient(port: port, id: "b", version: version)
            if number == 4 {
                // Its own publish of QoS 1, whose PUBACK is owed.
                client.publish("t", "x", qos: .atLeastOnce, id: 7)
                #expect(await eventually { intake.tokens.count == 1 })
                client.send(packet(Acknowledgement(packetIdentifier: 7)))
            } else {
                _ = try client.subscribe(.init("t", qos: .exactlyOnce))
                other.publish("t", "x", qos: qos, id: 1)
                guard case .publish(let publish) = try client.receive(), let identifier = publish.packetIdentifier
                else {
                    Issue.record("no message")
                    return
                }
                client.send(packet(Acknowledgement(packetIdentifier: identifier)))
            }
            try Self.expectEnd(client, version, .protocolError)
            other.send(.pingreq)
            server.settle(intake.tokens)
            #expect(try other.receive() != nil)
            #expect(await server.snapshot().counters.violations == 1)
        }
    }

    /// An identifier that nobody uses is no breach.
    @Test(arguments: [ProtocolVersion.v3_1, .v3_1_1, .v5_0])
    func acknowledgementsOfNothingAreHarmless(version: ProtocolVersion) async throws {
        try await BrokerServerTests.withServer { _, _, port in
            let client = try PacketClient(port: port, id: "a", version: version)
            let nothing = Acknowledgement(packetIdentifier: 9)
            let reason: ReasonCode = version == .v5_0 ? .packetIdentifierNotFound : .success
            client.send(.puback(nothing), .pubcomp(nothing), .pubrec(nothing), .pubrel(nothing), .pingreq)
            #expect(try client.receive() == .pubrel(Acknowledgement(packetIdentifier: 9, reason: reason)))
            #expect(try client.receive() == .pubcomp(Acknowledgement(packetIdentifier: 9, reason: reason)))
            #expect(try client.receive() == .pingresp)
        }
    }

    @Test(arguments: [ProtocolVersion.v3_1, .v3_1_1, .v5_0])
    func filtersThatAreNoneEndTheConnectionWhereTheStandardSaysSo(version: ProtocolVersion) async throws {
        try await BrokerServerTests.withServer { _, _, port in
            let empty = try PacketClient(port: port, id: "a", version: version)
            empty.send(.subscribe(Subscribe(packetIdentifier: 1, filters: [.init("", qos: .atMostOnce)])))
            try Self.expectEnd(empty, version, .malformedPacket)
            let shared = try PacketClient(port: port, id: "b", version: version)
            shared.send(.subscribe(Subscribe(packetIdentifier: 1, filters: [.init("$share/a+/b", qos: .atMostOnce)])))
            if version == .v5_0 {
                try Self.expectEnd(shared, version, .protocolError)
            } else {
                #expect(try shared.receive() == .suback(Suback(packetIdentifier: 1, reasons: [.unspecifiedError])))
            }
        }
    }
}
