import Glibc
import TestSupport
import Testing

/// A pulse ends at its time whatever is killed meanwhile: the real binary on lines of gpio-sim, which lets a line that no
/// process has requested fall back to its pull. `Tests/VM/test-gpio` runs them in the virtual machine.
@Suite(
    .serialized, .timeLimit(.minutes(5)),
    .enabled(if: GpioSimulator.isHere, "no gpio-sim here: run `make test-gpio`"))
struct GpioPulseTests {
    final class Site {
        let directory: TemporaryDirectory
        let line: Int
        private let more: String
        private let port = freePort()
        private let upstreamPort = freePort()

        init(line: Int, _ more: String) throws {
            directory = try TemporaryDirectory()
            self.line = line
            self.more = more
        }

        /// A gateway whose output runs.
        func start() async throws -> TidegateProcess {
            let gateway = try await TidegateProcess(
                upstreamPort: upstreamPort, lanPort: port, directory: directory,
                settings: """
                    [[sensor]]
                    id = "relay"
                    driver = "gpio-output"
                    line = "GPIO\(line)"
                    \(more)
                    """)
            #expect(
                try await eventually(within: .seconds(30)) {
                    try await SensorsTogetherTests.states(gateway) == ["relay": "running"]
                }, "\(gateway.process.errors)")
            return gateway
        }

        func becomes(_ level: Bool, within limit: Duration = .seconds(30)) async -> Bool {
            await eventually(within: limit) { GpioSimulator.level(self.line) == level }
        }

        /// Kills the process that listens on the keeper's socket, found by what `/proc` says of both.
        func killKeeper() throws {
            let path = "\(directory.path)/data/sensors/keeper"
            let sockets = textOfFile("/proc/net/unix").split(separator: "\n").filter { $0.hasSuffix(" \(path)") }
            let inodes = Set(sockets.compactMap { $0.split(separator: " ").dropFirst(6).first })
            let folder = try #require(opendir("/proc"))
            defer { closedir(folder) }
            var killed = 0
            while let entry = readdir(folder) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                guard let process = pid_t(name), textOfFile("/proc/\(name)/comm") == "line-keeper\n" else { continue }
                var target = [CChar](repeating: 0, count: 64)
                let count = readlink("/proc/\(name)/fd/3", &target, target.count)
                let link = String(decoding: target[..<max(0, count)].map(UInt8.init(bitPattern:)), as: UTF8.self)
                guard inodes.contains(where: { link == "socket:[\($0)]" }) else { continue }
                #expect(kill(process, SIGKILL) == 0)
                killed += 1
            }
            #expect(killed == 1)
        }
    }

    @Test func aPulseEndsAlthoughTheGatewayNeverComesBack() async throws {
        let site = try Site(line: 27, "initial = 'off'")
        // What nobody holds would stand at high.
        GpioSimulator.pull(27, up: true)
        let gateway = try await site.start()
        try await gateway.publish("cmd/relay", "on for 3s")
        #expect(await site.becomes(true))
        await gateway.process.kill()
        #expect(GpioSimulator.level(27) == true, "the pulse goes on")
        #expect(await site.becomes(false), "the keeper ends it")
        // The gateway that comes back knows of nothing more to do.
        let second = try await site.start()
        #expect(GpioSimulator.level(27) == false)
        try await second.publish("cmd/relay", "on")
        #expect(await site.becomes(true))
        second.process.signal(SIGTERM)
        #expect(await second.process.wait() == .exited(0))
        #expect(GpioSimulator.level(27) == true)
    }

    @Test func aGatewayThatComesBackResumesThePulseAndMayCallItOff() async throws {
        let site = try Site(line: 28, "initial = 'off'")
        GpioSimulator.pull(28, up: true)
        var gateway = try await site.start()
        let begun = ContinuousClock.now
        try await gateway.publish("cmd/relay", "on for 45s")
        #expect(await site.becomes(true))
        await gateway.process.kill()
        gateway = try await site.start()
        // An emulated board may take longer to start than the pulse lasts.
        let level = GpioSimulator.level(28)
        if ContinuousClock.now - begun < .seconds(45) { #expect(level == true) }
        #expect(await site.becomes(false, within: .seconds(120)), "the end is still known")
        // Called off by a plain command, also after a restart.
        try await gateway.publish("cmd/relay", "on for 8s")
        #expect(await site.becomes(true))
        await gateway.process.kill()
        gateway = try await site.start()
        try await gateway.publish("cmd/relay", "on")
        #expect(!(await site.becomes(false, within: .seconds(12))))
    }

    @Test func withoutItsKeeperTooAPulseThatIsOverEndsAtTheStart() async throws {
        let site = try Site(line: 29, "initial = 'keep'")
        GpioSimulator.pull(29, up: true)
        let gateway = try await site.start()
        try await gateway.publish("cmd/relay", "off")
        #expect(await site.becomes(false))
        try await gateway.publish("cmd/relay", "on for 2s")
        #expect(await site.becomes(true))
        await gateway.process.kill()
        try site.killKeeper()
        // Nobody holds it; it stands where its pull has it, and would be kept there for ever.
        #expect(!(await site.becomes(false, within: .seconds(4))))
        let second = try await site.start()
        #expect(await site.becomes(false))
        second.process.signal(SIGTERM)
        #expect(await second.process.wait() == .exited(0))
    }

    @Test(arguments: [("keep", false), ("on", true), ("off", false)])
    func afterAPowerCutAnOutputStartsAsConfigured(initial: String, level: Bool) async throws {
        let line = initial == "keep" ? 30 : initial == "on" ? 31 : 26
        let site = try Site(line: line, "initial = '\(initial)'")
        GpioSimulator.pull(line, up: true)
        let gateway = try await site.start()
        try await gateway.publish("cmd/relay", "on for 1h")
        #expect(await site.becomes(true))
        // A power cut takes both processes, and the kernel names the next boot anew.
        await gateway.process.kill()
        try site.killKeeper()
        let record = "\(site.directory.path)/data/sensors/output-pinctrl-sim%3a\(line)%20high%200"
        let text = textOfFile(record)
        try #require(text.split(separator: " ").count == 6, "\(text)")
        let other = "00000000-0000-4000-8000-000000000000" + text.dropFirst(36)
        let file = open(record, O_WRONLY | O_TRUNC | O_CLOEXEC)
        let bytes = Array(other.utf8)
        try #require(write(file, bytes, bytes.count) == bytes.count)
        close(file)
        let second = try await site.start()
        #expect(GpioSimulator.level(line) == level)
        #expect(access(record, F_OK) != 0)
        second.process.signal(SIGTERM)
        #expect(await second.process.wait() == .exited(0))
    }

    /// A commander's silence is counted while the gateway is away, too.
    @Test func theSafeValueComesAlthoughTheGatewayIsAway() async throws {
        let site = try Site(line: 19, "initial = 'off'\ncommand_timeout = '4s'")
        GpioSimulator.pull(19, up: true)
        let gateway = try await site.start()
        try await gateway.publish("cmd/relay", "on")
        #expect(await site.becomes(true))
        await gateway.process.kill()
        #expect(await site.becomes(false), "the keeper makes it safe")
    }
}
