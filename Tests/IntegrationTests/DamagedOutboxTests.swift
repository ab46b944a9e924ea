import Glibc
import TestSupport
import Testing

/// A gateway whose queue was damaged while it was off.
@Suite(.timeLimit(.minutes(3))) struct DamagedOutboxTests {
    @Test func whatCanBeReadStillArrives() async throws {
        let upstreamPort = freePort()
        let first = try await TidegateProcess(upstreamPort: upstreamPort)
        let input = try first.directory.write((1...500).map { "m\($0)\n" }.joined(), to: "lines")
        let published = try await runToEnd(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(first.lanPort)", "-q", "1", "-t", "a", "-l"], input: input)
        try #require(published.ending == .exited(0))
        first.process.signal(SIGTERM)
        try #require(await first.process.wait() == .exited(0))
        let file = open("\(first.directory.path)/data/outbox.db", O_WRONLY)
        try #require(file >= 0)
        #expect(pwrite(file, [UInt8](repeating: 0xFF, count: 4_096), 4_096, 0) == 4_096)
        close(file)

        let broker = try await MosquittoProcess(port: upstreamPort)
        let subscriber = try await Subscriber(port: upstreamPort, topic: "gw/a")
        let second = try await TidegateProcess(
            upstreamPort: upstreamPort, lanPort: first.lanPort, directory: first.directory)
        #expect(await eventually { subscriber.messages.count >= 500 })
        #expect(subscriber.messages.map(String.init) == (1...500).map { "gw/a m\($0)" })
        #expect(await eventually { second.process.errors.contains("saved=500") }, "\(second.process.errors)")
        #expect(access("\(first.directory.path)/data/outbox.db.salvaged-1", F_OK) == 0)
        _ = broker
    }
}
