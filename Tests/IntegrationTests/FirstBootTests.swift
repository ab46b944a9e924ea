import Glibc
import MQTT
import TestSupport
import Testing

/// Settings that an installer has put on the boot partition.
@Suite(.timeLimit(.minutes(3))) struct FirstBootTests {
    private let directory: TemporaryDirectory
    private let lanPort = freePort()

    init() throws {
        directory = try TemporaryDirectory()
        for name in ["boot", "etc"] { try #require(mkdir(directory[name], 0o755) == 0) }
    }

    private var settingsPath: String { directory["etc/tidegate.toml"] }

    private func settings(_ more: String = "") -> String {
        TidegateProcess.settings(lanPort: lanPort, upstreamPort: 9, directory: directory, more: more)
    }

    private func firstBoot() async throws -> (ending: ChildProcess.Ending?, output: String, errors: String) {
        try await runToEnd([
            TidegateProcess.binary, "first-boot", "--boot", directory["boot"], "--config", settingsPath, "--report",
            directory["report"],
        ])
    }

    private func mode(_ path: String) -> mode_t {
        var information = stat()
        return stat(path, &information) == 0 ? information.st_mode & 0o777 : 0
    }

    @Test func goodOnesAreTakenOnceWithWhatTheyName() async throws {
        let text = settings("username = \"u\"\npassword_file = \"upstream.password\"")
        try directory.write(text, to: "boot/tidegate.toml")
        try directory.write("secret\n", to: "boot/upstream.password")
        try directory.write("old", to: "etc/tidegate.toml")
        let run = try await firstBoot()
        #expect(run.ending == .exited(0), "\(run.errors)")
        #expect(textOfFile(settingsPath) == text && mode(settingsPath) == 0o600)
        #expect(textOfFile(directory["etc/upstream.password"]) == "secret\n")
        #expect(mode(directory["etc/upstream.password"]) == 0o600)
        #expect(textOfFile("\(settingsPath).old") == "old")
        #expect(
            directory.bytes(of: "boot/tidegate.toml") == nil && directory.bytes(of: "boot/upstream.password") == nil)
        #expect(directory.bytes(of: "report") == nil)
        // Once.
        #expect(try await firstBoot().output.contains("there are no settings"))
        #expect(textOfFile(settingsPath) == text)
    }

    @Test func brokenOnesStayAndAreReported() async throws {
        try directory.write(settings("bogus = 1"), to: "boot/tidegate.toml")
        try directory.write("mine", to: "etc/tidegate.toml")
        let run = try await firstBoot()
        #expect(run.ending == .exited(78))
        #expect(run.errors.contains("unknown key \"bogus\"") && run.errors.contains("mend the file there"))
        #expect(textOfFile(directory["report"]).contains("unknown key \"bogus\""))
        #expect(textOfFile(settingsPath) == "mine")
        #expect(directory.bytes(of: "boot/tidegate.toml") != nil)
        // Mended, they are taken, and the report is gone.
        try directory.write(settings(), to: "boot/tidegate.toml")
        #expect(try await firstBoot().ending == .exited(0))
        #expect(directory.bytes(of: "report") == nil && textOfFile(settingsPath) == settings())
    }

    @Test func aNamedFileThatIsNotThereIsAMistake() async throws {
        try directory.write(
            settings("username = \"u\"\npassword_file = \"upstream.password\""), to: "boot/tidegate.toml")
        let run = try await firstBoot()
        #expect(run.ending == .exited(78) && run.errors.contains("upstream.password"), "\(run.errors)")
        // It may be at its place already.
        try directory.write("secret", to: "etc/upstream.password", mode: 0o600)
        unlink(settingsPath)
        #expect(try await firstBoot().ending == .exited(0))
    }

    /// The settings' folder lies on a file system of 64 kB, fuller each time: the old settings stay, or the new ones come.
    @Test(.enabled(if: canMount, "user namespaces that may mount")) func aFullDiskKeepsTheSettingsOfBefore()
        async throws
    {
        let comment = "# " + String(repeating: "x", count: 24_000) + "\n"
        let new = comment + settings("username = \"u\"\npassword_file = \"upstream.password\"")
        var codes: Set<String> = []
        // Pages of 4 kB that other files take, and inodes that the file system has.
        for (pages, inodes) in (0...13).map({ ($0, 64) }) + (4...12).map({ (0, $0) }) {
            try directory.write(new, to: "boot/tidegate.toml")
            try directory.write("new", to: "boot/upstream.password")
            let script = """
                d="$1"
                mount -t tmpfs -o size=64k,nr_inodes=\(inodes) tmpfs "$d/etc" || exit 1
                printf old > "$d/etc/tidegate.toml"
                printf old > "$d/etc/upstream.password"
                # What an earlier version left when it ran into the same.
                [ \(inodes) -lt 64 ] || printf half > "$d/etc/tidegate.toml.new"
                [ \(pages) -eq 0 ] || dd if=/dev/zero of="$d/etc/fill" bs=4k count=\(pages) 2>/dev/null
                "$2" first-boot --boot "$d/boot" --config "$d/etc/tidegate.toml" --report "$d/report" 2>"$d/errors"
                printf %s "$?" > "$d/code"
                rm -rf "$d/out" && cp -a "$d/etc" "$d/out"
                # Once there is room, they are taken.
                rm -f "$d/etc/fill"
                mount -o remount,size=64k,nr_inodes=64 "$d/etc" && [ -e "$d/boot/tidegate.toml" ] || exit 0
                "$2" first-boot --boot "$d/boot" --config "$d/etc/tidegate.toml" --report "$d/report2" || exit 2
                rm -rf "$d/again" && cp -a "$d/etc" "$d/again"
                """
            let run = try await runToEnd(
                ["unshare", "-rm", "sh", "-c", script, "sh", directory.path, TidegateProcess.binary])
            #expect(run.ending == .exited(0), "\(pages) pages, \(inodes) inodes: \(run.errors)")
            let code = textOfFile(directory["code"])
            codes.insert(code)
            let found = [textOfFile(directory["out/tidegate.toml"]), textOfFile(directory["out/upstream.password"])]
            if code == "0" {
                #expect(found == [new, "new"], "\(pages) pages, \(inodes) inodes")
            } else {
                #expect(code == "74" && found == ["old", "old"], "\(pages) pages, \(inodes) inodes: \(code), \(found)")
                let report = textOfFile(directory["report"])
                #expect(
                    report.contains("no space left on device (ENOSPC)") && report.contains("free space on the disk of")
                        && report.contains("etc/tidegate.toml stays in force as it was"), "\(report)")
                #expect(textOfFile(directory["errors"]).contains("no space left on device (ENOSPC)"))
                #expect(textOfFile(directory["again/tidegate.toml"]) == new)
                #expect(textOfFile(directory["again/tidegate.toml.old"]) == "old")
                #expect(textOfFile(directory["again/upstream.password"]) == "new")
            }
            let names = directory.bytes(of: "out/tidegate.toml.new") ?? directory.bytes(of: "again/tidegate.toml.new")
            if inodes == 64 { #expect(names == nil, "a draft of an earlier version is still there") }
        }
        #expect(codes == ["0", "74"])
    }

    /// In folders of their own, too; and nothing from elsewhere.
    @Test func filesAreTakenAlongByRelativeNames() async throws {
        let authority = "url = \"mqtts://127.0.0.1:9\"\nca_file = "
        func write(_ name: String) throws {
            let text = settings().split(separator: "\n").map { $0.hasPrefix("url = ") ? authority + "\"\(name)\"" : $0 }
            try directory.write(text.joined(separator: "\n"), to: "boot/tidegate.toml")
        }
        try #require(mkdir(directory["boot/certs"], 0o755) == 0)
        try directory.write("outside", to: "ca.pem")
        try directory.write("inside", to: "boot/certs/ca.pem")
        for (name, said) in [
            ("../ca.pem", "\"..\""), ("certs/../../ca.pem", "\"..\""),
            (directory["boot/certs/ca.pem"], "will not stay there"),
        ] {
            try write(name)
            let run = try await firstBoot()
            #expect(run.ending == .exited(78) && run.errors.contains(said), "\(name): \(run.errors)")
        }
        // What is named elsewhere is left there.
        try write(directory["ca.pem"])
        #expect(try await firstBoot().ending == .exited(0))
        try write("certs/ca.pem")
        #expect(try await firstBoot().ending == .exited(0))
        #expect(textOfFile(directory["etc/certs/ca.pem"]) == "inside" && mode(directory["etc/certs/ca.pem"]) == 0o600)
        #expect(directory.bytes(of: "boot/certs/ca.pem") == nil && textOfFile(directory["ca.pem"]) == "outside")
    }

    /// The first settings there ever were have a mistake: the LAN side runs all the same, and says what is wrong.
    @Test func theGatewayStartsWithWhatItHas() async throws {
        try directory.write(
            """
            [gateway]
            id = "gw"
            data_dir = "\(directory.path)/data"
            log_level = "loud"
            [lan]
            listen = ["127.0.0.1:\(lanPort)"]
            max_retained = -1
            [upstream]
            url = "mqtt:/127.0.0.1"
            [[listener]]
            listen = "127.0.0.1:\(freePort())"
            client_ca_file = 7
            [[sensor]]
            id = "good"
            driver = "simulated"
            interval = "50ms"
            [[sensor]]
            id = "bad"
            driver = "simulatd"
            this is no TOML

            """, to: "boot/tidegate.toml")
        #expect(try await firstBoot().ending == .exited(78))
        let gateway = try ChildProcess([TidegateProcess.binary, "run", "--lenient", "--config", settingsPath])
        defer { gateway.end(SIGKILL) }
        #expect(await eventually { gateway.errors.contains("gateway: listening") }, "\(gateway.errors)")
        #expect(gateway.errors.contains("addresses=127.0.0.1:\(lanPort)\n"))
        let published = try await runToEnd([
            "mosquitto_pub", "-h", "127.0.0.1", "-p", "\(lanPort)", "-q", "1", "-t", "a", "-m", "x",
        ])
        #expect(published.ending == .exited(0), "\(published.errors)")
        let isSaid = await eventually {
            let status = try? await runToEnd([TidegateProcess.binary, "status", "--config", settingsPath]).output
            guard let status else { return false }
            return ["NOT ALL IN USE", "log_level", "max_retained", "client_ca_file", "simulatd", "url:"]
                .allSatisfy(status.contains)
                && status.contains("upstream  NOT CONFIGURED") && status.contains("sensor    good (simulated): running")
                && !status.contains("sensor    bad")
        }
        let status = try await runToEnd([TidegateProcess.binary, "status", "--config", settingsPath])
        #expect(isSaid, "\(status.output)\(status.errors)")
        // Strictly taken, they are refused.
        let strict = try await runToEnd([TidegateProcess.binary, "run", "--config", settingsPath])
        #expect(strict.ending == .exited(78))
    }

    /// A rule with a mistake: what a device sends for it waits on the device, reaches the LAN, and goes upstream once the
    /// rule is mended.
    @Test func whatCannotBePlacedIsNotAcknowledged() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "#")
        func start(to: String) async throws -> ChildProcess {
            try directory.write(
                TidegateProcess.settings(
                    lanPort: lanPort, upstreamPort: upstream.port, directory: directory,
                    more: """
                        [[forward]]
                        from = "held/#"
                        to = "\(to)"
                        [[forward]]
                        from = "fine/#"
                        to = "up/fine/#"
                        [[sensor]]
                        id = "lamp"
                        driver = "gpio-output"
                        line = "no-such-line"
                        command_topic = "held/lamp"
                        """), to: "etc/tidegate.toml")
            let gateway = try ChildProcess([TidegateProcess.binary, "run", "--lenient", "--config", settingsPath])
            #expect(await eventually { gateway.errors.contains("gateway: listening") }, "\(gateway.errors)")
            return gateway
        }
        func commands() async throws -> String {
            let status = try await runToEnd([TidegateProcess.binary, "status", "--json", "--config", settingsPath])
            let number = status.output.firstRange(of: "\"commands\" : ").map { status.output[$0.upperBound...] }
            return String(number?.prefix { $0.isNumber } ?? "")
        }
        let publish = ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(lanPort)", "-q", "1"]
        let broken = try await start(to: "up/held/+/+")
        defer { broken.end(SIGKILL) }
        let neighbour = try await Subscriber(port: lanPort, topic: "#")
        let device = try PacketClient(port: lanPort, id: "device", cleanStart: false)
        device.publish("held/lamp", "toggle", qos: .atLeastOnce, id: 6)
        device.publish("held/a", "1", qos: .atLeastOnce, id: 7)
        #expect(await eventually { neighbour.messages.contains("held/a 1") })
        #expect(try await runToEnd(publish + ["-t", "fine/a", "-m", "2"]).ending == .exited(0))
        #expect(await eventually { cloud.messages.contains("up/fine/a 2") }, "\(cloud.messages)")
        #expect(broken.errors.contains("held/#"), "\(broken.errors)")
        // Each time that it is sent again it would be done again.
        #expect(try await commands() == "0")
        broken.end(SIGTERM)
        // Nothing of an acknowledgement had come when the gateway said goodbye.
        let farewell = try device.receive()
        if case .puback = farewell { Issue.record("\(String(describing: farewell))") }
        let mended = try await start(to: "up/held/#")
        defer { mended.end(SIGKILL) }
        let again = try PacketClient(port: lanPort, id: "device", cleanStart: false)
        again.publish("held/lamp", "toggle", qos: .atLeastOnce, id: 6)
        #expect(try again.receive() == .puback(Acknowledgement(packetIdentifier: 6)))
        again.publish("held/a", "1", qos: .atLeastOnce, id: 7)
        #expect(try again.receive() == .puback(Acknowledgement(packetIdentifier: 7)))
        #expect(try await commands() == "1")
        #expect(await eventually { cloud.messages.contains("up/held/a 1") }, "\(cloud.messages)")
    }
}
