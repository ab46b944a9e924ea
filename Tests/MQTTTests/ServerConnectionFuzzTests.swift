import MQTT
import NIOCore
import TestSupport
import Testing

/// One connection without a socket: a script from a seed goes through decoder and ``ServerConnection``, and an owner
/// that knows no topics answers what is asked for. What leaves is read by a judge that shares nothing with them.
@Suite(.timeLimit(Fuzzing.limit)) struct ServerConnectionFuzzTests {
    /// Seeds that failed once.
    private static let kept: [UInt64] = []

    @Test func connectionsFromSeeds() async {
        await Fuzzing.run("connection", kept: Self.kept, count: 2_000) { try Self.play($0) }
    }

    private static func play(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var granted = FuzzScript.Granted()
        granted.receiveMaximum = random.pick([1, 2, 10, 1_000])
        granted.topicAliasMaximum = random.pick([0, 1, 16])
        granted.maximumPacketSize = random.pick([1_000, 256 << 10])
        let script = FuzzScript(seed: random.next(), name: "alone", granted: granted)
        let seed = random.next()
        var whole = Owner(script, granted, seed: seed)
        try whole.play([script.fragments.flatMap(\.self)])
        var pieces = Owner(script, granted, seed: seed)
        try pieces.play(script.fragments)
        // What is pinged back and forth at the end comes after the last piece, so that only errors are compared.
        guard whole.error == pieces.error else {
            throw FuzzFailure(
                "in pieces it ends with \(pieces.error?.detail ?? "nothing"), not \(whole.error?.detail ?? "so")")
        }
    }

    private struct Owner {
        private let script: FuzzScript
        private var decoder: PacketDecoder
        private var connection: ServerConnection
        private var judge: ServerJudge
        private var random: SplitMix64
        private var now: Int64 = 0
        private var input = ByteBuffer()
        /// Publishes that are not settled, and the packet identifiers whose answers are due, in the order they came.
        private var unsettled: [UInt64] = []
        private var due: [UInt16] = []
        private(set) var error: MQTTError?
        private var hasLeft = false

        init(_ script: FuzzScript, _ granted: FuzzScript.Granted, seed: UInt64) {
            self.script = script
            var limits = ServerConnection.Limits()
            limits.receiveMaximum = UInt16(granted.receiveMaximum)
            limits.topicAliasMaximum = UInt16(granted.topicAliasMaximum)
            limits.maximumPacketSize = UInt32(granted.maximumPacketSize)
            decoder = PacketDecoder(maximumPacketSize: granted.maximumPacketSize)
            connection = ServerConnection(limits: limits, now: 0)
            judge = ServerJudge(script)
            random = SplitMix64(seed: seed)
        }

        mutating func play(_ pieces: [[UInt8]]) throws {
            for piece in pieces {
                input.writeBytes(piece)
                try take()
            }
            try settle(all: true)
            while error == nil, case let answers = judge.takeAnswers(), !answers.isEmpty {
                input.writeBytes(answers)
                try take()
                try settle(all: true)
            }
            if let error {
                try close(for: error)
            } else if !hasLeft {
                try beSilent()
            }
            switch script.outcome {
            case .served:
                guard error == nil else { throw FuzzFailure("\(error?.detail ?? "")") }
                guard judge.isSatisfied else { throw FuzzFailure("not answered: \(judge.open)") }
            case .counted:
                guard error != nil || judge.isSatisfied else { throw FuzzFailure("not answered: \(judge.open)") }
            case .left:
                guard error == nil, hasLeft else { throw FuzzFailure("it has not left: \(error?.detail ?? "")") }
            case .refused:
                guard error != nil else { throw FuzzFailure("what must be refused was taken") }
            case .anything: break
            }
        }

        private mutating func take() throws {
            do throws(MQTTError) {
                while error == nil {
                    // The owner of a 3.1.1 connection stops reading here, and goes on when there is room.
                    if connection.isSaturated, connection.version != .v5_0 { try settleAll() }
                    guard let packet = try decoder.next(from: &input) else { return }
                    now += Int64(random.number(0...1_000_000))
                    guard timerIsQuiet else {
                        throw MQTTError(.unspecifiedError, "the timer closed a connection that was not silent")
                    }
                    try answer(try connection.receive(packet, now: now))
                    if random.once(in: 3) { try settleSome() }
                }
            } catch {
                self.error = error
            }
            if let failure { throw failure }
        }

        /// What the judge said in the middle of a packet.
        private var failure: FuzzFailure?

        private var timerIsQuiet: Bool {
            mutating get {
                guard connection.deadline ?? .max > now else { return true }
                if case .close = connection.timerFired(now: now) { return false }
                return true
            }
        }

        private mutating func answer(_ request: ServerConnection.Request) throws(MQTTError) {
            switch request {
            case .connect(let connect):
                let connack = connection.accept(
                    assignedClientIdentifier: connect.clientIdentifier.isEmpty ? "auto-1" : nil,
                    sessionExpiryInterval: connect.properties.sessionExpiryInterval ?? 0, now: now)
                guard connection.isLive else {
                    throw MQTTError(.packetTooLarge, "the client accepts no packet as large as its CONNACK")
                }
                send(.connack(connack))
            case .publish(let publish, let publication):
                guard (publication == nil) == (publish.qos == .atMostOnce), !publish.topic.isEmpty else {
                    throw MQTTError(.unspecifiedError, "a publish came through that is none: \(publish)")
                }
                if let publication, let identifier = publish.packetIdentifier {
                    unsettled.append(publication)
                    due.append(identifier)
                }
            case .subscribe(let subscribe):
                let reasons = subscribe.filters.map {
                    TopicRules.isFilter(Array($0.filter.utf8)) ? ReasonCode.success : .topicFilterInvalid
                }
                send(.suback(Suback(packetIdentifier: subscribe.packetIdentifier, reasons: reasons)))
            case .unsubscribe(let unsubscribe):
                let reasons = unsubscribe.filters.map {
                    TopicRules.isFilter(Array($0.utf8)) ? ReasonCode.success : .topicFilterInvalid
                }
                send(.unsuback(Unsuback(packetIdentifier: unsubscribe.packetIdentifier, reasons: reasons)))
            case .pubrel(let pubrel): send(.pubcomp(Acknowledgement(packetIdentifier: pubrel.packetIdentifier)))
            case .ping: send(.pingresp)
            case .disconnect: hasLeft = true
            case .puback, .pubrec, .pubcomp, .nothing: break
            }
        }

        private mutating func send(_ packet: Packet) {
            guard !hasLeft else { return }
            var buffer = ByteBuffer()
            packet.write(into: &buffer, version: connection.version ?? .v3_1_1)
            // Answers that the client takes none of are the owner's to leave out; CONNACK is not.
            if case .connack = packet {} else if buffer.readableBytes > connection.clientMaximumPacketSize { return }
            tell(buffer)
        }

        private mutating func tell(_ buffer: ByteBuffer) {
            guard failure == nil else { return }
            do {
                try judge.take(Array(buffer.readableBytesView))
            } catch {
                failure = error as? FuzzFailure ?? FuzzFailure("\(error)")
            }
        }

        // MARK: Settling

        private mutating func settle(all: Bool) throws {
            do throws(MQTTError) { try settleAll() } catch { self.error = error }
            if let failure { throw failure }
        }

        private mutating func settleAll() throws(MQTTError) {
            while !unsettled.isEmpty { try settleSome() }
        }

        /// In any order; the acknowledgements leave in the order of the publishes.
        private mutating func settleSome() throws(MQTTError) {
            guard !unsettled.isEmpty else { return }
            let publication = unsettled.remove(at: random.number(0...unsettled.count - 1))
            var settled: [InboundWindow.Settled] = []
            connection.settle(publication, into: &settled)
            for item in settled {
                guard !due.isEmpty, due.removeFirst() == item.acknowledgement.packetIdentifier else {
                    throw MQTTError(.unspecifiedError, "an acknowledgement overtook another")
                }
                send(item.qos == .exactlyOnce ? .pubrec(item.acknowledgement) : .puback(item.acknowledgement))
            }
            guard connection.owedAcknowledgements == due.count else {
                throw MQTTError(.unspecifiedError, "\(connection.owedAcknowledgements) are owed, not \(due.count)")
            }
        }

        // MARK: The end

        private mutating func close(for error: MQTTError) throws {
            guard error.reason != .unspecifiedError else { throw FuzzFailure(error.detail) }
            let wasLive = connection.isLive
            connection.assume(version: decoder.version)
            let last = connection.closing(for: error, refusedLevel: decoder.refusedLevel)
            guard connection.closing(for: error) == nil, connection.deadline == nil else {
                throw FuzzFailure("it closes twice")
            }
            let tells = connection.version == .v5_0 && (script.declared?.maximumPacketSize ?? 0) >= 200
            guard last != nil || !wasLive || !tells else { throw FuzzFailure("5.0 is not told: \(error.detail)") }
            guard let (packet, version) = last else { return }
            var buffer = ByteBuffer()
            packet.write(into: &buffer, version: version)
            tell(buffer)
            if let failure { throw failure }
            guard judge.reason != nil else { throw FuzzFailure("the last packet is not one: \(packet)") }
        }

        /// Silence ends it when it was told to, and not before.
        private mutating func beSilent() throws {
            guard let deadline = connection.deadline else { return }
            guard case .wake(at: deadline) = connection.timerFired(now: deadline - 1),
                case .close(let error) = connection.timerFired(now: deadline)
            else { throw FuzzFailure("the timer is not kept at \(deadline)") }
            try close(for: error)
        }
    }
}
