import Glibc
import TestSupport
import Testing

/// A gateway whose data directory lies on a small file system of its own.
@Suite(.timeLimit(.minutes(3)), .enabled(if: canMount, "user namespaces that may mount"))
struct FullDiskTests {
    /// The gateway sees 32 MB, which a helper in its mount namespace fills while `full` is in `directory`.
    private static func start(_ directory: TemporaryDirectory, upstreamPort: Int) async throws -> TidegateProcess {
        try await TidegateProcess(
            upstreamPort: upstreamPort, directory: directory,
            settings: """
                [[forward]]
                from = "event/#"
                class = "events"
                [[forward]]
                from = "#"
                """,
            gateway: "min_free = \"12MB\"",
            prefix: [
                "unshare", "-rm", "sh", "-c",
                """
                d="$1"; shift
                mkdir -p "$d/data" && mount -t tmpfs -o size=32m tmpfs "$d/data"
                (while sleep 0.05 && [ -e "$d/tidegate.toml" ]; do
                    if [ -e "$d/full" ] && [ ! -e "$d/data/fill" ]; then dd if=/dev/zero of="$d/data/fill" bs=4k; fi 2>/dev/null
                    if [ -e "$d/full" ]; then : > "$d/is-full"; else rm -f "$d/data/fill" "$d/is-full"; fi
                done) &
                exec "$@"
                """, "sh", directory.path,
            ])
    }

    private static func publish(
        _ gateway: TidegateProcess, _ topic: String, lines: Int, _ directory: TemporaryDirectory, within: Int = 60
    ) async throws -> ChildProcess.Ending? {
        let line = String(repeating: "x", count: 900)
        let input = try directory.write(
            (1...lines).map { "\($0) \(line)\n" }.joined(), to: "lines-\(topic.first ?? "a")")
        return try await runToEnd(
            [
                "timeout", "\(within)", "mosquitto_pub", "-h", "127.0.0.1", "-p", "\(gateway.lanPort)", "-q", "1", "-t",
                topic, "-l",
            ], input: input, upTo: .seconds(within + 10)
        ).ending
    }

    @Test func telemetryMakesRoomAndEventsGoOn() async throws {
        let directory = try TemporaryDirectory()
        let upstreamPort = freePort()
        let gateway = try await Self.start(directory, upstreamPort: upstreamPort)
        // Twice as much as there is.
        #expect(try await Self.publish(gateway, "a", lines: 30_000, directory) == .exited(0))
        #expect(try await Self.publish(gateway, "event/a", lines: 100, directory) == .exited(0))
        #expect(!gateway.process.errors.contains("cannot be taken"), "\(gateway.process.errors)")

        let upstream = try await MosquittoProcess(port: upstreamPort)
        let cloud = try await Subscriber(port: upstreamPort, topic: "gw/#")
        #expect(
            await eventually(within: .seconds(60)) {
                cloud.messages.count { $0.hasPrefix("gw/event/a ") } == 100
                    && cloud.messages.contains { $0.hasPrefix("gw/a 30000 ") }
            })
        #expect(cloud.messages.contains { $0.hasPrefix("gw/$gap/telemetry") && $0.contains("overflow") })
        _ = upstream
    }

    @Test func eventsGoOnWhenSomebodyElseFillsTheDisk() async throws {
        let directory = try TemporaryDirectory()
        let upstreamPort = freePort()
        let gateway = try await Self.start(directory, upstreamPort: upstreamPort)
        #expect(try await Self.publish(gateway, "a", lines: 500, directory) == .exited(0))
        try directory.write("", to: "full")
        #expect(await eventually { access("\(directory.path)/is-full", F_OK) == 0 })
        // These may have to wait,
        async let telemetry = Self.publish(gateway, "a", lines: 3_000, directory)
        // these not.
        #expect(try await Self.publish(gateway, "event/a", lines: 200, directory) == .exited(0))
        unlink("\(directory.path)/full")
        #expect(try await telemetry == .exited(0))

        let upstream = try await MosquittoProcess(port: upstreamPort)
        let cloud = try await Subscriber(port: upstreamPort, topic: "gw/#")
        #expect(
            await eventually(within: .seconds(60)) {
                cloud.messages.count { $0.hasPrefix("gw/event/a ") } == 200
                    && cloud.messages.contains { $0.hasPrefix("gw/a 3000 ") }
            })
        _ = upstream
    }
}
