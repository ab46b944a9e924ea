import MQTT
import NIOCore
import TestSupport
import Testing

/// The real binary is killed with sessions that wait: nothing that was acknowledged is lost.
@Suite(.timeLimit(.minutes(3))) struct KilledSessionsTests {
    private static let sessions = 100
    private static let messages = 100

    @Test func everySessionGetsEveryMessageAfterAKill() async throws {
        let directory = try TemporaryDirectory()
        let port = freePort()
        let first = try await TidegateProcess(upstreamPort: freePort(), lanPort: port, directory: directory)
        for number in 0..<Self.sessions {
            let client = try PacketClient(
                port: port, id: "s\(number)", properties: [.sessionExpiryInterval(.max)])
            // Half of them at QoS 2.
            _ = try client.subscribe(.init("q/\(number)", qos: number % 2 == 0 ? .exactlyOnce : .atLeastOnce))
            client.socket.close()
        }
        let publisher = try PacketClient(port: port, id: "p")
        var identifier: UInt16 = 0
        for message in 0..<Self.messages {
            for session in 0..<Self.sessions {
                identifier = identifier % 60_000 + 1
                publisher.publish("q/\(session)", "\(message)", qos: .exactlyOnce, id: identifier)
            }
            try publisher.completePublishes(Self.sessions)
        }
        // Some are in the midst of taking theirs when the power goes.
        var devices = (0..<Self.sessions).map { Device(session: $0) }
        for session in 0..<4 { _ = try devices[session].take(10, port: port) }
        await first.process.kill()

        let second = try await TidegateProcess(upstreamPort: freePort(), lanPort: port, directory: directory)
        for session in 0..<Self.sessions {
            #expect(try devices[session].take(Self.messages, port: port))
            #expect(devices[session].messages == (0..<Self.messages).map { "\($0)" }, "session \(session)")
        }
        await second.process.kill()
    }

    /// A device that remembers what a QoS 2 receiver must: the packet identifiers it has not been told to let go.
    private struct Device {
        let session: Int
        private(set) var messages: [String] = []
        private var received: Set<UInt16> = []

        init(session: Int) { self.session = session }

        /// Connects and takes messages until it has `count`; returns whether its session was there.
        mutating func take(_ count: Int, port: Int) throws -> Bool {
            let client = try PacketClient(
                port: port, id: "s\(session)", cleanStart: false, properties: [.sessionExpiryInterval(.max)])
            while messages.count < count, let packet = try client.receive() {
                switch packet {
                case .publish(let publish):
                    let identifier = publish.packetIdentifier ?? 0
                    let text = String(buffer: publish.payload)
                    if publish.qos == .exactlyOnce {
                        // Exactly once: only an identifier that is still held may come again.
                        if received.insert(identifier).inserted { messages.append(text) }
                        client.send(.pubrec(Acknowledgement(packetIdentifier: identifier)))
                    } else {
                        // QoS 1 may repeat what was on its way when the power went.
                        if !messages.contains(text) { messages.append(text) }
                        client.send(.puback(Acknowledgement(packetIdentifier: identifier)))
                    }
                case .pubrel(let pubrel):
                    received.remove(pubrel.packetIdentifier)
                    client.send(.pubcomp(Acknowledgement(packetIdentifier: pubrel.packetIdentifier)))
                default: break
                }
            }
            return client.sessionPresent
        }
    }
}
