import Glibc
import MQTT
import Synchronization
import TestSupport
import Testing

/// One fault at a time, from outside, in a gateway at work: all else goes on, `status` names the part and a remedy, and the
/// gateway heals by itself once the cause is gone.
@Suite(.serialized, .timeLimit(.minutes(10))) struct OneFaultTests {
    /// A gateway with a device that publishes all the time, and an upstream that takes it.
    private final class Site: Sendable {
        let upstream: MosquittoProcess
        let gateway: TidegateProcess
        let device = KilledAtRandomTests.Device()
        private let publishing: Task<Void, any Error>

        init(
            directory: TemporaryDirectory? = nil, lan: String = "", settings: String = "", prefix: [String] = []
        ) async throws {
            upstream = try await MosquittoProcess()
            gateway = try await TidegateProcess(
                upstreamPort: upstream.port, directory: directory, lan: lan, settings: settings, prefix: prefix)
            let (device, port) = (device, gateway.lanPort)
            publishing = Task { try await onOwnThread { device.publish(to: port, window: 5) } }
            #expect(try await gateway.isConnected())
        }

        /// Acknowledgements come: the way from the LAN to the upstream is open.
        func worksOn() async throws {
            let before = device.acknowledged
            try #require(
                await eventually(within: .seconds(30)) { device.acknowledged > before + 10 },
                "\(gateway.process.errors)")
        }

        func text() async throws -> String {
            try await runToEnd([TidegateProcess.binary, "status", "--config", gateway.settingsPath]).output
        }

        /// `status` names the part as one that is not well, and says what to do.
        func names(_ part: String, saying reason: String) async throws {
            let isNamed = try await eventually(within: .seconds(60)) {
                let text = try await text()
                let lines = text.split(separator: "\n")
                guard let line = lines.firstIndex(where: { $0.hasPrefix("part") && $0.contains(part) }) else {
                    return false
                }
                let below = lines[(line + 1)...].prefix { $0.hasPrefix(" ") }
                return below.contains { $0.contains(reason) } && below.contains { $0.contains("try: ") }
            }
            let shown = try await text()
            try #require(isNamed, "\(part): \(shown) \(gateway.process.errors)")
            try await worksOn()
        }

        /// No part is named any more.
        func heals() async throws {
            let isWell = try await eventually(within: .seconds(90)) {
                let text = try await text()
                return text.contains("are well") && !text.contains("\npart  ")
            }
            let shown = try await text()
            try #require(isWell, "\(shown) \(gateway.process.errors)")
            try await worksOn()
        }

        func stop() async throws {
            await gateway.process.kill()
            try await publishing.value
        }
    }

    private func overwrite(_ path: String, page: Int) throws {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        #expect(pwrite(file, [UInt8](repeating: 0xFF, count: 4_096), 4_096, off_t(page * 4_096)) == 4_096)
    }

    private func moveAway(_ path: String) { rename(path, path + ".away") }
    private func putBack(_ path: String) { rename(path + ".away", path) }

    @Test func aCertificateThatIsGone() async throws {
        let certificates = try Certificates()
        try certificates.issue("gw", "subjectAltName=IP:127.0.0.1")
        let port = freePort()
        let site = try await Site(
            lan: """
                [[listener]]
                listen = ["127.0.0.1:\(port)"]
                cert_file = "\(certificates.certificate("gw"))"
                key_file = "\(certificates.key("gw"))"
                """)
        try await site.heals()
        moveAway(certificates.certificate("gw"))
        try await site.names("listener 127.0.0.1:\(port)", saying: certificates.certificate("gw"))
        #expect(acceptsConnections(port))
        putBack(certificates.certificate("gw"))
        try await site.heals()
        try await site.stop()
    }

    @Test func aKeyThatCannotBeReadAtTheStart() async throws {
        let certificates = try Certificates()
        try certificates.issue("gw", "subjectAltName=IP:127.0.0.1")
        let port = freePort()
        moveAway(certificates.key("gw"))
        let site = try await Site(
            lan: """
                [[listener]]
                listen = ["127.0.0.1:\(port)"]
                cert_file = "\(certificates.certificate("gw"))"
                key_file = "\(certificates.key("gw"))"
                """)
        try await site.names("listener 127.0.0.1:\(port)", saying: certificates.key("gw"))
        putBack(certificates.key("gw"))
        try await site.heals()
        #expect(acceptsConnections(port))
        try await site.stop()
    }

    @Test func anAddressThatIsNotThere() async throws {
        let site = try await Site(lan: "[[listener]]\nlisten = [\"192.0.2.1:18883\"]\nanonymous = true\n")
        try await site.names("listener 192.0.2.1:18883", saying: "no such address")
        try await site.stop()
    }

    @Test func aPortThatIsTaken() async throws {
        let port = freePort()
        let other = try await MosquittoProcess(port: port)
        let site = try await Site(lan: "[[listener]]\nlisten = [\"127.0.0.1:\(port)\"]\n")
        try await site.names("listener 127.0.0.1:\(port)", saying: "another program listens there")
        await other.stop()
        try await site.heals()
        try await site.stop()
    }

    @Test func aUnixSocketsPathThatIsTaken() async throws {
        let directory = try TemporaryDirectory()
        let path = directory["mqtt"]
        let site = try await Site(directory: directory, lan: "[[listener]]\nlisten = [\"unix:\(path)\"]\n")
        try await site.heals()
        unlink(path)
        mkdir(path, 0o700)
        try await site.names("listener unix:\(path)", saying: path)
        rmdir(path)
        try await site.heals()
        try await site.stop()
    }

    @Test func aControlSocketsPathThatIsTaken() async throws {
        let site = try await Site()
        let path = "\(site.gateway.directory.path)/data/control.sock"
        #expect(unlink(path) == 0)
        mkdir(path, 0o700)
        try await site.names("control socket \(path)", saying: path)
        rmdir(path)
        try await site.heals()
        try await site.stop()
    }

    @Test func aStateFileThatIsOverwritten() async throws {
        let site = try await Site()
        // Something has to be in it.
        try await site.gateway.publish("kept", "1", arguments: ["-r"])
        for page in 0..<6 { try overwrite("\(site.gateway.directory.path)/data/state.db", page: page) }
        try await site.gateway.publish("kept", "2", arguments: ["-r"])
        try await site.worksOn()
        #expect(
            await eventually(within: .seconds(60)) {
                access("\(site.gateway.directory.path)/data/state.db.corrupt-1", F_OK) == 0
            }, "\(site.gateway.process.errors)")
        try await site.gateway.publish("kept", "3", arguments: ["-r"])
        try await site.worksOn()
        try await site.stop()
    }

    @Test func anOutboxThatIsOverwritten() async throws {
        let site = try await Site()
        site.upstream.process.signal(SIGSTOP)
        try await site.gateway.publish("a", "1")
        for page in 0..<8 { try overwrite("\(site.gateway.directory.path)/data/outbox.db", page: page) }
        for number in 2...50 { try await site.gateway.publish("a", "\(number)") }
        site.upstream.process.signal(SIGCONT)
        try await site.worksOn()
        try await site.stop()
    }

    @Test func aDiskThatBecomesReadOnly() async throws {
        let directory = try TemporaryDirectory()
        let site = try await Site(
            directory: directory,
            prefix: [
                "unshare", "-rm", "sh", "-c",
                """
                d="$1"; shift
                mkdir -p "$d/data" && mount -t tmpfs -o size=64m tmpfs "$d/data"
                (while sleep 0.05 && [ -e "$d/tidegate.toml" ]; do
                    if [ -e "$d/read-only" ]; then mount -o remount,ro,size=64m tmpfs "$d/data"
                    else mount -o remount,rw,size=64m tmpfs "$d/data"; fi 2>/dev/null
                done) &
                exec "$@"
                """, "sh", directory.path,
            ])
        try directory.write("", to: "read-only")
        try await site.worksOn()
        try await site.worksOn()
        unlink(directory["read-only"])
        try await site.heals()
        try await site.stop()
    }

    @Test func aSensorsPortThatIsGone() async throws {
        let site = try await Site(
            settings: "[[sensor]]\nid = \"scale\"\ndriver = \"serial\"\nport = \"/dev/does-not-exist\"\nbaud = 9600\n")
        try await site.names("sensor", saying: "/dev/does-not-exist")
        try await site.stop()
    }

    @Test func aNameThatDoesNotResolve() async throws {
        let site = try await Site()
        let good = textOfFile(site.gateway.settingsPath)
        // The link is down and says why; the LAN goes on, and messages are kept.
        let bad = good.replacing("mqtt://127.0.0.1:\(site.upstream.port)", with: "mqtt://broker.invalid:1883")
        try site.gateway.directory.write(bad, to: "tidegate.toml")
        site.gateway.process.signal(SIGHUP)
        try await site.names("upstream link", saying: "broker.invalid")
        try site.gateway.directory.write(good, to: "tidegate.toml")
        try await site.heals()
        try await site.stop()
    }
}
