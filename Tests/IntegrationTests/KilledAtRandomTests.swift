import Glibc
import MQTT
import Synchronization
import TestSupport
import Testing

/// The gateway killed at random instants, with the upstream there, silent or gone, and a consumer that proves from
/// sequences alone what it has. `TIDEGATE_KILLS=100` makes it longer.
@Suite(.serialized, .timeLimit(.minutes(10))) struct KilledAtRandomTests {
    /// A device that numbers its messages, and repeats from the first one that was not acknowledged.
    final class Device: Sendable {
        private let last = Atomic(0)
        /// The last number that was acknowledged.
        var acknowledged: Int { last.load(ordering: .acquiring) }

        /// Publishes until the connection ends. Blocks.
        func publish(to port: Int, window: Int = 30) {
            guard let client = try? PacketClient(port: port, id: "device") else { return }
            var next = acknowledged + 1
            while true {
                while next - acknowledged <= window {
                    client.publish("sensors/count", "\(next)", qos: .atLeastOnce, id: UInt16(next % 60_000 + 1))
                    next += 1
                }
                guard case .puback(let puback)? = try? client.receive(),
                    Int(puback.packetIdentifier) == (acknowledged + 1) % 60_000 + 1
                else { return }
                last.add(1, ordering: .releasing)
            }
        }
    }

    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    @Test func whatWasAcknowledgedArrivesOnceAndInOrder() async throws {
        let rounds = getenv("TIDEGATE_KILLS").flatMap { Int(String(cString: $0)) } ?? 12
        var random = SplitMix64(seed: UInt64(rounds))
        let upstream = try await MosquittoProcess()
        let consumer = try ChildProcess([
            "\(Self.root)/.build/clients/bin/python", "\(Self.root)/Examples/consumer.py", "127.0.0.1",
            "\(upstream.port)", "gw",
        ])
        #expect(await eventually(within: .seconds(30)) { consumer.errors.contains("subscribed") }, "\(consumer.errors)")
        let directory = try TemporaryDirectory()
        let port = freePort()
        let device = Device()
        for round in 0..<rounds {
            let isSilent = round % 3 == 1
            if isSilent { upstream.process.signal(SIGSTOP) }
            let gateway = try await TidegateProcess(upstreamPort: upstream.port, lanPort: port, directory: directory)
            let before = device.acknowledged
            let publishing = Task { try await onOwnThread { device.publish(to: port) } }
            try #require(
                await eventually(within: .seconds(20)) { device.acknowledged > before }, "\(gateway.process.errors)")
            // Then at any instant.
            try await Task.sleep(for: .microseconds(Int.random(in: 0...400_000, using: &random)))
            await gateway.process.kill()
            try await publishing.value
            if isSilent { upstream.process.signal(SIGCONT) }
        }
        let gateway = try await TidegateProcess(upstreamPort: upstream.port, lanPort: port, directory: directory)
        let acknowledged = device.acknowledged
        #expect(
            await eventually(within: .seconds(60)) {
                consumer.output.contains(" \(acknowledged)\n")
            }, "\(acknowledged) acknowledged; \(gateway.process.errors)")
        #expect(try await eventually(within: .seconds(30)) { try await gateway.statusNumber("messages") == 0 })
        consumer.signal(SIGTERM)
        #expect(await consumer.wait() == .exited(0))

        let numbers = consumer.outputLines.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }
        var firsts: [Int] = []
        for number in numbers where number > firsts.last ?? 0 { firsts.append(number) }
        #expect(firsts.prefix(acknowledged) == ArraySlice(1...max(1, acknowledged)))
        // What the device repeats since its acknowledgement was lost with the process: at most its window each time.
        #expect(numbers.count - firsts.count <= rounds * 30)
        // No epoch has a hole: what was on its way when it ended was its end.
        let reports = consumer.errors.split(separator: "\n").filter { $0.contains("\"epoch\"") }
        #expect(!reports.isEmpty)
        for report in reports { #expect(report.contains("\"missing\": []"), "\(report)") }
        await gateway.process.kill()
    }
}
