import Glibc
import MQTT
import NIOCore
import Synchronization
import TestSupport
import Testing

/// The gateway is killed at random instants while commands come from the cloud: a LAN session that is kept and an output
/// get every command that the upstream broker has taken. `TIDEGATE_KILLS=100` makes it longer.
@Suite(.serialized, .timeLimit(.minutes(10))) struct KilledCommandsTests {
    /// Publishes numbered commands to the upstream, QoS 1 and 2 in turn.
    private final class Cloud: Sendable {
        private let last = Atomic(0)
        private let isOver = Atomic(false)
        /// The upstream broker has acknowledged all commands up to this one.
        var acknowledged: Int { last.load(ordering: .acquiring) }

        func stop() { isOver.store(true, ordering: .releasing) }

        /// Publishes until it is stopped. Blocks.
        func publish(to port: Int) throws {
            let client = try PacketClient(port: port, id: "cloud")
            while !isOver.load(ordering: .acquiring) {
                let number = acknowledged + 1
                let outputStep = KilledCommandsTests.outputStep
                // Both go out before either is acknowledged.
                client.publish(
                    "gw/cmd/count", "\(number)", qos: number % 2 == 0 ? .exactlyOnce : .atLeastOnce,
                    id: UInt16(number % 60_000 + 1))
                if number % outputStep == 0 {
                    client.publish("gw/cmd/relay", "\(number % 60_000)", qos: .atLeastOnce, id: 65_000)
                    try client.completePublishes(1)
                }
                try client.completePublishes(1)
                last.add(1, ordering: .releasing)
                usleep(1_500)
            }
        }
    }

    /// Every 20th command is one for the output too.
    private static let outputStep = 20

    @Test func everyCommandOutlastsTheKill() async throws {
        let rounds = getenv("TIDEGATE_KILLS").flatMap { Int(String(cString: $0)) } ?? 12
        var random = SplitMix64(seed: UInt64(rounds))
        let upstream = try await MosquittoProcess()
        let slaves = try await ModbusSlaves([3])
        let settings = """
            [[sensor]]
            id = "relay"
            driver = "modbus"
            port = "\(slaves.line)"
            slave = 3
            interval = "1s"
            registers = ["value holding 5 u16 write 0..65000"]
            """
        let lan = "max_queued_messages = 1000000\nmax_queued_bytes = \"1GiB\""
        let directory = try TemporaryDirectory()
        let port = freePort()
        let cloud = Cloud()
        var log: [String] = []
        var publishing: Task<Void, any Error>?
        for round in 0..<rounds {
            let gateway = try await TidegateProcess(
                upstreamPort: upstream.port, lanPort: port, directory: directory, lan: lan, settings: settings)
            if round == 0 {
                let device = try PacketClient(port: port, id: "kept", properties: [.sessionExpiryInterval(.max)])
                _ = try device.subscribe(.init("cmd/count", qos: .atLeastOnce))
                device.socket.close()
                try #require(try await gateway.isConnected(), "\(gateway.process.errors)")
                publishing = Task { try await onOwnThread { try cloud.publish(to: upstream.port) } }
            }
            let before = cloud.acknowledged
            try #require(await eventually(within: .seconds(20)) { cloud.acknowledged > before + 20 })
            // Then at any instant.
            try await Task.sleep(for: .microseconds(Int.random(in: 0...400_000, using: &random)))
            await gateway.process.kill()
            log +=
                ["round \(round), \(cloud.acknowledged) commands"]
                + gateway.process.errors.split(separator: "\n").map(String.init)
        }
        cloud.stop()
        try await publishing?.value
        let all = cloud.acknowledged
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, lanPort: port, directory: directory, lan: lan, settings: settings)
        try #require(try await gateway.isConnected(), "\(gateway.process.errors)")
        let device = try PacketClient(
            port: port, id: "kept", cleanStart: false, properties: [.sessionExpiryInterval(.max)])
        #expect(device.sessionPresent)
        var missing = Set(1...all)
        while !missing.isEmpty, let publish = try device.delivery(within: .seconds(10)) {
            if let number = Int(String(buffer: publish.payload)) { missing.remove(number) }
        }
        let lost = missing.sorted()
        #expect(lost == [], "of \(all) commands")
        let expected = Set(stride(from: Self.outputStep, through: all, by: Self.outputStep).map { $0 % 60_000 })
        #expect(
            await eventually(within: .seconds(30)) { Set(slaves.writes).isSuperset(of: expected) },
            "the output has never seen \(expected.subtracting(slaves.writes).sorted())\n\(log.joined(separator: "\n"))")
        await gateway.process.kill()
        await slaves.unplug()
    }
}
