import MQTT
import NIOCore
import Testing

@Suite struct CodecTests {
    struct Golden: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var version: ProtocolVersion
        var role: PacketDecoder.Role = .server
        var bytes: [UInt8]
        var packet: Packet
    }

    static func bytes(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }

    /// Bytes written down from the standards' tables, not from the encoder.
    static let golden: [Golden] = [
        Golden(
            testDescription: "CONNECT 3.1.1, all flags", version: .v3_1_1,
            bytes: [
                0x10, 0x1E, 0, 4, 0x4D, 0x51, 0x54, 0x54, 4, 0xEE, 0, 10, 0, 3, 0x61, 0x62, 0x63, 0, 1, 0x77, 0, 2,
                0x68,
                0x69, 0, 2, 0x75, 0x31, 0, 2, 0x70, 0x31,
            ],
            packet: .connect(
                Connect(
                    version: .v3_1_1, cleanStart: true, keepAlive: 10, clientIdentifier: "abc",
                    will: Will(topic: "w", payload: bytes("hi"), qos: .atLeastOnce, retain: true), userName: "u1",
                    password: bytes("p1")))),
        Golden(
            testDescription: "CONNECT 5.0 with properties and will properties", version: .v5_0,
            bytes: [
                0x10, 0x21, 0, 4, 0x4D, 0x51, 0x54, 0x54, 5, 0x06, 0, 60, 8, 0x11, 0, 0, 0, 30, 0x21, 0, 20, 0, 1, 0x61,
                5,
                0x18, 0, 0, 0, 5, 0, 1, 0x77, 0, 0,
            ],
            packet: .connect(
                Connect(
                    version: .v5_0, cleanStart: true, keepAlive: 60, clientIdentifier: "a",
                    will: Will(
                        topic: "w", payload: ByteBuffer(), properties: Properties([.willDelayInterval(5)])),
                    properties: Properties([.sessionExpiryInterval(30), .receiveMaximum(20)])))),
        Golden(
            testDescription: "CONNACK 3.1.1 not authorised", version: .v3_1_1, role: .client, bytes: [0x20, 2, 0, 5],
            packet: .connack(Connack(reason: .notAuthorized))),
        Golden(
            testDescription: "CONNACK 5.0 with assigned identifier", version: .v5_0, role: .client,
            bytes: [0x20, 7, 1, 0, 4, 0x12, 0, 1, 0x78],
            packet: .connack(
                Connack(
                    sessionPresent: true, reason: .success, properties: Properties([.assignedClientIdentifier("x")])))),
        Golden(
            testDescription: "PUBLISH QoS 0", version: .v3_1_1, bytes: [0x31, 5, 0, 1, 0x61, 0x6F, 0x6B],
            packet: .publish(Publish(topic: "a", payload: bytes("ok"), retain: true))),
        Golden(
            testDescription: "PUBLISH QoS 1, DUP, 5.0 with user properties in order", version: .v5_0,
            bytes: [
                0x3A, 0x15, 0, 1, 0x61, 0, 7, 0x0E, 0x26, 0, 1, 0x6B, 0, 1, 0x31, 0x26, 0, 1, 0x6B, 0, 1, 0x32, 0x21,
            ],
            packet: .publish(
                Publish(
                    topic: "a", payload: bytes("!"), qos: .atLeastOnce, dup: true, packetIdentifier: 7,
                    properties: Properties([.userProperty(name: "k", value: "1"), .userProperty(name: "k", value: "2")])
                ))),
        Golden(
            testDescription: "PUBACK short", version: .v5_0, bytes: [0x40, 2, 1, 2],
            packet: .puback(Acknowledgement(packetIdentifier: 0x0102))),
        Golden(
            testDescription: "PUBACK with reason", version: .v5_0, bytes: [0x40, 3, 0, 1, 0x97],
            packet: .puback(Acknowledgement(packetIdentifier: 1, reason: .quotaExceeded))),
        Golden(
            testDescription: "PUBREL", version: .v3_1_1, bytes: [0x62, 2, 0, 9],
            packet: .pubrel(Acknowledgement(packetIdentifier: 9))),
        Golden(
            testDescription: "SUBSCRIBE 5.0 with every option", version: .v5_0,
            bytes: [0x82, 9, 0, 5, 2, 0x0B, 9, 0, 1, 0x23, 0x2D],
            packet: .subscribe(
                Subscribe(
                    packetIdentifier: 5,
                    filters: [
                        .init(
                            "#", qos: .atLeastOnce, noLocal: true, retainAsPublished: true, retainHandling: .doNotSend)
                    ],
                    properties: Properties([.subscriptionIdentifier(9)])))),
        Golden(
            testDescription: "SUBACK 3.1.1", version: .v3_1_1, role: .client, bytes: [0x90, 4, 0, 5, 1, 0x80],
            packet: .suback(Suback(packetIdentifier: 5, reasons: [.grantedQoS1, .unspecifiedError]))),
        Golden(
            testDescription: "UNSUBSCRIBE", version: .v3_1_1, bytes: [0xA2, 5, 0, 6, 0, 1, 0x61],
            packet: .unsubscribe(Unsubscribe(packetIdentifier: 6, filters: ["a"]))),
        Golden(
            testDescription: "UNSUBACK 5.0", version: .v5_0, role: .client, bytes: [0xB0, 4, 0, 6, 0, 0x11],
            packet: .unsuback(Unsuback(packetIdentifier: 6, reasons: [.noSubscriptionExisted]))),
        Golden(testDescription: "PINGREQ", version: .v5_0, bytes: [0xC0, 0], packet: .pingreq),
        Golden(testDescription: "PINGRESP", version: .v5_0, role: .client, bytes: [0xD0, 0], packet: .pingresp),
        Golden(testDescription: "DISCONNECT", version: .v3_1_1, bytes: [0xE0, 0], packet: .disconnect(Disconnect())),
        Golden(
            testDescription: "DISCONNECT with will", version: .v5_0, bytes: [0xE0, 1, 4],
            packet: .disconnect(Disconnect(reason: .disconnectWithWill))),
        Golden(
            testDescription: "AUTH", version: .v5_0, bytes: [0xF0, 6, 0x18, 4, 0x15, 0, 1, 0x6D],
            packet: .auth(Auth(reason: .continueAuthentication, properties: Properties([.authenticationMethod("m")])))),
    ]

    static func decoder(_ version: ProtocolVersion, role: PacketDecoder.Role, packet: Packet) -> PacketDecoder {
        if case .connect = packet { return PacketDecoder(maximumPacketSize: 1 << 20) }
        return PacketDecoder(role: role, version: version, maximumPacketSize: 1 << 20)
    }

    @Test(arguments: golden) func decodes(_ golden: Golden) throws {
        var decoder = Self.decoder(golden.version, role: golden.role, packet: golden.packet)
        var buffer = ByteBuffer(bytes: golden.bytes)
        #expect(try decoder.next(from: &buffer) == golden.packet)
        #expect(buffer.readableBytes == 0)
    }

    @Test(arguments: golden) func encodes(_ golden: Golden) {
        var buffer = ByteBuffer()
        golden.packet.write(into: &buffer, version: golden.version)
        #expect(Array(buffer.readableBytesView) == golden.bytes)
    }

    /// Byte by byte, with the next packet's first byte behind it: nothing comes early, nothing is lost.
    @Test(arguments: golden) func decodesInDrips(_ golden: Golden) throws {
        var decoder = Self.decoder(golden.version, role: golden.role, packet: golden.packet)
        var buffer = ByteBuffer()
        for (index, byte) in golden.bytes.enumerated() {
            buffer.writeInteger(byte)
            if index < golden.bytes.count - 1 { #expect(try decoder.next(from: &buffer) == nil) }
        }
        buffer.writeInteger(golden.bytes[0])
        #expect(try decoder.next(from: &buffer) == golden.packet)
        #expect(buffer.readableBytes == 1)
    }

    /// 3.1 sends again with DUP what 3.1.1 sends again without.
    @Test(
        arguments: [
            [0x8A, 6, 0, 1, 0, 1, 0x61, 0], [0xAA, 5, 0, 1, 0, 1, 0x61], [0x6A, 2, 0, 1],
        ] as [[UInt8]])
    func repeatsOf31(bytes: [UInt8]) throws {
        var old = PacketDecoder(version: .v3_1, maximumPacketSize: 100)
        var new = PacketDecoder(version: .v3_1_1, maximumPacketSize: 100)
        var buffer = ByteBuffer(bytes: bytes)
        #expect(throws: MQTTError.self) { try new.next(from: &buffer) }
        #expect(try old.next(from: &buffer) != nil)
    }

    @Test(
        arguments: [
            (.v3_1_1, [0x90, 3, 0, 1, 0x87]), (.v5_0, [0x90, 4, 0, 1, 0, 0x11]), (.v5_0, [0xB0, 4, 0, 1, 0, 0x01]),
            (.v5_0, [0x20, 3, 0, 0x10, 0]),
        ] as [(ProtocolVersion, [UInt8])])
    func reasonsOfOtherPackets(version: ProtocolVersion, bytes: [UInt8]) {
        var decoder = PacketDecoder(role: .client, version: version, maximumPacketSize: 100)
        var buffer = ByteBuffer(bytes: bytes)
        #expect(throws: MQTTError.self) { try decoder.next(from: &buffer) }
    }

    struct Malformed: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var version: ProtocolVersion?
        var bytes: [UInt8]
        var reason: ReasonCode

        init(_ description: String, _ version: ProtocolVersion?, _ bytes: [UInt8], _ reason: ReasonCode) {
            testDescription = description
            self.version = version
            self.bytes = bytes
            self.reason = reason
        }
    }

    static let malformed: [Malformed] = [
        Malformed("packet type 0", .v5_0, [0x00, 0], .malformedPacket),
        Malformed("remaining length of five bytes", .v5_0, [0x30, 0x80, 0x80, 0x80, 0x80, 1], .malformedPacket),
        Malformed("remaining length not in its shortest form", .v5_0, [0xC0, 0x80, 0x00], .malformedPacket),
        Malformed("packet too large, body not awaited", .v5_0, [0x30, 0xFF, 0xFF, 0xFF, 0x7F], .packetTooLarge),
        Malformed("anything before CONNECT", nil, [0xC0, 0], .protocolError),
        Malformed("second CONNECT", .v5_0, [0x10, 0], .protocolError),
        Malformed("a server's packet", .v5_0, [0x90, 3, 0, 1, 0], .protocolError),
        Malformed("AUTH in 3.1.1", .v3_1_1, [0xF0, 0], .malformedPacket),
        Malformed("flags of PINGREQ", .v5_0, [0xC1, 0], .malformedPacket),
        Malformed("flags of SUBSCRIBE", .v5_0, [0x80, 6, 0, 1, 0, 0, 1, 0x61], .malformedPacket),
        Malformed(
            "protocol level 6", nil, [0x10, 13, 0, 4, 0x4D, 0x51, 0x54, 0x54, 6, 2, 0, 60, 0, 1, 0x61],
            .unsupportedProtocolVersion),
        Malformed(
            "reserved connect flag", nil, [0x10, 13, 0, 4, 0x4D, 0x51, 0x54, 0x54, 4, 3, 0, 60, 0, 1, 0x61],
            .malformedPacket),
        Malformed(
            "will QoS without will", nil, [0x10, 13, 0, 4, 0x4D, 0x51, 0x54, 0x54, 4, 0x0A, 0, 60, 0, 1, 0x61],
            .malformedPacket),
        Malformed(
            "password without user name in 3.1.1", nil,
            [0x10, 16, 0, 4, 0x4D, 0x51, 0x54, 0x54, 4, 0x42, 0, 60, 0, 1, 0x61, 0, 1, 0x70], .malformedPacket),
        Malformed("QoS 3", .v5_0, [0x36, 5, 0, 1, 0x61, 0, 1], .malformedPacket),
        Malformed("DUP with QoS 0", .v5_0, [0x38, 4, 0, 1, 0x61, 0], .malformedPacket),
        Malformed("packet identifier 0", .v3_1_1, [0x32, 5, 0, 1, 0x61, 0, 0], .protocolError),
        Malformed("wildcard in topic name", .v3_1_1, [0x30, 3, 0, 1, 0x23], .topicNameInvalid),
        Malformed("empty topic in 3.1.1", .v3_1_1, [0x30, 2, 0, 0], .protocolError),
        Malformed("empty topic without alias", .v5_0, [0x30, 3, 0, 0, 0], .protocolError),
        Malformed("topic alias 0", .v5_0, [0x30, 7, 0, 1, 0x61, 3, 0x23, 0, 0], .topicAliasInvalid),
        Malformed("NUL in topic", .v3_1_1, [0x30, 3, 0, 1, 0], .malformedPacket),
        Malformed("overlong UTF-8", .v3_1_1, [0x30, 4, 0, 2, 0xC0, 0xAF], .malformedPacket),
        Malformed("UTF-8 surrogate", .v3_1_1, [0x30, 5, 0, 3, 0xED, 0xA0, 0x80], .malformedPacket),
        Malformed("topic longer than the packet", .v3_1_1, [0x30, 3, 0, 9, 0x61], .malformedPacket),
        Malformed("property not for PUBLISH", .v5_0, [0x30, 7, 0, 1, 0x61, 3, 0x21, 0, 1], .malformedPacket),
        Malformed("unknown property", .v5_0, [0x30, 5, 0, 1, 0x61, 1, 0x7F], .malformedPacket),
        Malformed("property twice", .v5_0, [0x30, 8, 0, 1, 0x61, 4, 0x01, 0, 0x01, 0], .protocolError),
        Malformed("payload format indicator 2", .v5_0, [0x30, 6, 0, 1, 0x61, 2, 0x01, 2], .protocolError),
        Malformed("subscription identifier from a client", .v5_0, [0x30, 6, 0, 1, 0x61, 2, 0x0B, 1], .protocolError),
        Malformed("no topic filter", .v3_1_1, [0x82, 2, 0, 1], .protocolError),
        Malformed("empty topic filter in 3.1", .v3_1, [0x82, 5, 0, 1, 0, 0, 0], .malformedPacket),
        Malformed("empty topic filter in 3.1.1", .v3_1_1, [0x82, 5, 0, 1, 0, 0, 0], .malformedPacket),
        Malformed("empty topic filter", .v5_0, [0x82, 6, 0, 1, 0, 0, 0, 0], .malformedPacket),
        Malformed("second topic filter empty", .v5_0, [0x82, 10, 0, 1, 0, 0, 1, 0x61, 0, 0, 0, 0], .malformedPacket),
        Malformed("empty filter to unsubscribe from, 3.1", .v3_1, [0xA2, 4, 0, 1, 0, 0], .malformedPacket),
        Malformed("empty filter to unsubscribe from, 3.1.1", .v3_1_1, [0xA2, 4, 0, 1, 0, 0], .malformedPacket),
        Malformed("empty filter to unsubscribe from", .v5_0, [0xA2, 5, 0, 1, 0, 0, 0], .malformedPacket),
        Malformed("TLS on a plain listener", nil, [0x16, 3, 1, 2, 0, 1, 0, 1], .malformedPacket),
        Malformed("HTTP on a plain listener", nil, Array("GET / HTTP/1.1\r\n".utf8), .malformedPacket),
        Malformed(
            "reserved connect flag in 5.0", nil, [0x10, 14, 0, 4, 0x4D, 0x51, 0x54, 0x54, 5, 3, 0, 60, 0, 0, 1, 0x61],
            .malformedPacket),
        Malformed("reserved subscription options", .v3_1_1, [0x82, 6, 0, 1, 0, 1, 0x61, 0x04], .malformedPacket),
        Malformed("retain handling 3", .v5_0, [0x82, 7, 0, 1, 0, 0, 1, 0x61, 0x30], .protocolError),
        Malformed("PUBACK with trailing bytes in 3.1.1", .v3_1_1, [0x40, 3, 0, 1, 0], .malformedPacket),
        Malformed("PUBACK with a foreign reason", .v5_0, [0x40, 3, 0, 1, 0x8D], .malformedPacket),
        Malformed("PINGREQ with a body", .v5_0, [0xC0, 1, 0], .malformedPacket),
    ]

    @Test(arguments: malformed) func refuses(_ malformed: Malformed) {
        var decoder = PacketDecoder(version: malformed.version, maximumPacketSize: 1 << 16)
        var buffer = ByteBuffer(bytes: malformed.bytes)
        do {
            let packet = try decoder.next(from: &buffer)
            Issue.record("decoded \(String(describing: packet))")
        } catch {
            #expect(error.reason == malformed.reason, "\(error.detail)")
        }
    }

    private static let shares = [
        "$share/", "$share//", "$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/g#/a", "$share/#",
        "$share/+",
    ]

    /// [MQTT-4.8.2-1] [MQTT-4.8.2-2]. Before 5.0 they are filters like others, for the owner to judge.
    @Test(arguments: shares, [ProtocolVersion.v3_1, .v3_1_1, .v5_0])
    func aSharedSubscriptionHasAShareNameAndAFilter(filter: String, version: ProtocolVersion) {
        let text = [UInt8(0), UInt8(filter.utf8.count)] + Array(filter.utf8)
        let head: [UInt8] = [0, 1] + (version == .v5_0 ? [0] : [])
        for (type, body) in [(UInt8(0x82), head + text + [0]), (0xA2, head + text)] {
            var decoder = PacketDecoder(version: version, maximumPacketSize: 1 << 16)
            var buffer = ByteBuffer(bytes: [type, UInt8(body.count)] + body)
            let reason: ReasonCode?
            do throws(MQTTError) {
                _ = try decoder.next(from: &buffer)
                reason = nil
            } catch {
                reason = error.reason
            }
            #expect(reason == (version == .v5_0 ? .protocolError : nil))
        }
        #expect(!Topic.isValidFilter(filter))
    }

    /// 3.1 leaves bit 0 of the connect flags unused, and lets the strings of set flags be missing (§3.1 there).
    @Test(
        arguments: [
            (UInt8(0x03), [UInt8](), String?.none), (0x83, [], nil), (0xC3, [], nil), (0xC2, [0, 1, 0x75], "u"),
            (0xC3, [0, 1, 0x75, 0, 1, 0x70], "u"),
        ] as [(UInt8, [UInt8], String?)])
    func whatOnlyThreeOneAllows(flags: UInt8, tail: [UInt8], userName: String?) throws {
        let head: [UInt8] = [0, 6] + Array("MQIsdp".utf8) + [3, flags, 0, 60, 0, 1, 0x61]
        var decoder = PacketDecoder(maximumPacketSize: 1 << 16)
        var buffer = ByteBuffer(bytes: [0x10, UInt8(head.count + tail.count)] + head + tail)
        guard case .connect(let connect)? = try decoder.next(from: &buffer) else {
            Issue.record("no CONNECT")
            return
        }
        #expect(connect.version == .v3_1 && connect.clientIdentifier == "a" && connect.userName == userName)
        #expect(connect.cleanStart)
    }
}
