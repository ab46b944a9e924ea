import MQTT
import NIOCore
import TestSupport
import Testing

/// Packets from seeds against the decoder and the encoder. What is fed in was written by a writer of its own, so that
/// a mistake that both codecs share shows.
@Suite(.timeLimit(Fuzzing.limit)) struct CodecFuzzTests {
    /// Seeds that failed once.
    private static let kept: [UInt64] = []

    private struct Outcome: Equatable {
        var packets: [Packet] = []
        var error: MQTTError?
        /// Bytes that were not taken.
        var left = 0
    }

    @Test func packetsFromSeeds() async {
        await Fuzzing.run("codec", kept: Self.kept, count: 6_000) { try Self.play($0) }
    }

    private static func decoder(
        _ role: PacketDecoder.Role, _ version: ProtocolVersion?, limit: Int = 1 << 20
    ) -> PacketDecoder {
        PacketDecoder(role: role, version: version, maximumPacketSize: limit)
    }

    private static func play(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let version = random.pick(ProtocolVersion.allCases)
        var generator = PacketGenerator(seed: random.next(), version: version)
        let role = random.once(in: 4) ? PacketDecoder.Role.client : .server
        let drafts: [Draft] =
            if role == .client {
                (0..<random.number(1...3)).map { _ in generator.serverPacket() }
            } else {
                [connect(&generator)] + (0..<random.number(0...3)).map { _ in generator.clientPacket() }
            }
        let initial = role == .client ? version : nil
        switch random.number(0...9) {
        case 0...3: try sound(drafts, role, version, initial, &random)
        case 4...6 where role == .server: try broken(drafts, version, &random)
        default:
            let bytes = Fault.mutated(drafts.flatMap(\.bytes), &random)
            try anything(bytes, decoder(role, initial, limit: random.pick([20, 300, 1 << 20])), role, &random)
        }
    }

    private static func connect(_ generator: inout PacketGenerator) -> Draft {
        var wishes = PacketGenerator.ConnectWishes(clientIdentifier: generator.text())
        wishes.cleanStart = generator.random.once(in: 2)
        wishes.keepAlive = generator.random.pick([0, 1, 65_535])
        wishes.hasAuthentication = generator.random.once(in: 8)
        return generator.connect(wishes)
    }

    /// Everything decodes, to the last byte; and where there is one form only, it is the form that is written.
    private static func sound(
        _ drafts: [Draft], _ role: PacketDecoder.Role, _ version: ProtocolVersion, _ initial: ProtocolVersion?,
        _ random: inout SplitMix64
    ) throws {
        let bytes = drafts.flatMap(\.bytes)
        let largest = drafts.map(\.bytes.count).max() ?? 0
        let outcome = try anything(bytes, decoder(role, initial, limit: largest), role, &random)
        if let error = outcome.error { throw FuzzFailure("refused: \(error.detail) in \(drafts.map(\.bytes.hex))") }
        guard outcome.packets.count == drafts.count, outcome.left == 0 else {
            throw FuzzFailure("\(drafts.count) packets became \(outcome.packets.count), \(outcome.left) bytes are left")
        }
        for (draft, packet) in zip(drafts, outcome.packets) where draft.isCanonical {
            var written = ByteBuffer()
            packet.write(into: &written, version: version)
            guard written.readableBytesView.elementsEqual(draft.bytes) else {
                throw FuzzFailure("\(draft.bytes.hex) was written as \(Array(written.readableBytesView).hex)")
            }
        }
        // One byte less is too few for the largest.
        guard largest > 2, let index = drafts.firstIndex(where: { $0.bytes.count == largest }) else { return }
        let smaller = try anything(bytes, decoder(role, initial, limit: largest - 1), role, &random)
        guard smaller.error?.reason == .packetTooLarge, smaller.packets.count == index else {
            throw FuzzFailure("a packet of \(largest) bytes got past a limit of one less")
        }
    }

    /// The broken packet is refused, and those before it are not.
    private static func broken(_ drafts: [Draft], _ version: ProtocolVersion, _ random: inout SplitMix64) throws {
        let index = random.number(0...drafts.count - 1)
        guard let draft = Fault.broken(drafts[index], &random, version: version) else { return }
        let bytes = drafts[..<index].flatMap(\.bytes) + draft.bytes + drafts[(index + 1)...].flatMap(\.bytes)
        let outcome = try anything(bytes, decoder(.server, nil), .server, &random)
        guard outcome.packets.count <= index else { throw FuzzFailure("\(version) took \(draft.bytes.hex)") }
        guard outcome.packets.count == index else {
            throw FuzzFailure("only \(outcome.packets.count) of \(index) sound packets were taken")
        }
        guard outcome.error != nil || draft.falseRemainingLength != nil || draft.cut != nil else {
            throw FuzzFailure("\(version) waits for more of \(draft.bytes.hex)")
        }
    }

    /// What holds for any bytes: pieces make no difference, and what decodes survives the way back.
    @discardableResult
    private static func anything(
        _ bytes: [UInt8], _ decoder: PacketDecoder, _ role: PacketDecoder.Role, _ random: inout SplitMix64
    ) throws -> Outcome {
        let whole = try decode([bytes], decoder, role)
        let pieces = Fault.fragments(bytes, &random)
        guard try decode(pieces, decoder, role) == whole else {
            throw FuzzFailure("in \(pieces.count) pieces comes something else of \(bytes.hex)")
        }
        return whole
    }

    private static func decode(
        _ pieces: [[UInt8]], _ fresh: PacketDecoder, _ role: PacketDecoder.Role
    ) throws -> Outcome {
        var decoder = fresh
        var outcome = Outcome()
        var buffer = ByteBuffer()
        for piece in pieces {
            buffer.writeBytes(piece)
            do throws(MQTTError) {
                while let packet = try decoder.next(from: &buffer) { outcome.packets.append(packet) }
            } catch {
                outcome.error = error
                try wayBack(outcome.packets, decoder, role)
                return outcome
            }
        }
        outcome.left = buffer.readableBytes
        try wayBack(outcome.packets, decoder, role)
        return outcome
    }

    private static func wayBack(_ packets: [Packet], _ used: PacketDecoder, _ role: PacketDecoder.Role) throws {
        for packet in packets {
            guard let version = used.version else { throw FuzzFailure("a packet without a version: \(packet)") }
            var buffer = ByteBuffer()
            packet.write(into: &buffer, version: version)
            let bytes = Array(buffer.readableBytesView)
            var isConnect = false
            if case .connect = packet { isConnect = true }
            var second = decoder(role, isConnect ? nil : version, limit: 1 << 28)
            let again = try second.next(from: &buffer)
            guard again == packet, buffer.readableBytes == 0 else {
                throw FuzzFailure("\(packet) was written as \(bytes.hex), which is \(String(describing: again))")
            }
        }
    }
}
