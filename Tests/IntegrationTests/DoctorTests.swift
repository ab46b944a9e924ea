import Glibc
import TestSupport
import Testing

/// Installations that are wrong in one way each: the doctor names it, with what to do.
@Suite(.timeLimit(.minutes(3)), .serialized) struct DoctorTests {
    private struct Finding {
        var check: String
        var verdict: String
        var text: String
        var remedy: String
    }

    private let directory: TemporaryDirectory
    private let lanPort = freePort()

    init() throws {
        directory = try TemporaryDirectory()
        try #require(mkdir(directory["data"], 0o755) == 0)
    }

    /// Runs the real thing over these settings, and takes its JSON apart.
    private func examine(
        upstreamPort: Int, _ more: String = "", gateway: String = "", prefix: [String] = [],
        environment: [String: String] = [:]
    ) async throws -> (findings: [Finding], code: Int32, output: String) {
        let path = try directory.write(
            TidegateProcess.settings(
                lanPort: lanPort, upstreamPort: upstreamPort, directory: directory, more: more, gateway: gateway),
            to: "tidegate.toml")
        let run = try await runToEnd(
            prefix + [TidegateProcess.binary, "doctor", "--json", "--config", path], environment: environment,
            upTo: .seconds(60))
        guard case .exited(let code) = run.ending else {
            Issue.record("\(String(describing: run.ending)): \(run.errors)")
            return ([], -1, "")
        }
        var findings: [Finding] = []
        for line in run.output.split(separator: "\n") {
            let parts = line.split(separator: " : ", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == "\"" }.replacing("\",", with: "").replacing("\\\"", with: "'")
                .filter { $0 != "\"" }
            switch parts[0].filter({ $0 != " " && $0 != "\"" }) {
            case "check": findings.append(Finding(check: String(value), verdict: "", text: "", remedy: ""))
            case "verdict": findings[findings.count - 1].verdict = String(value)
            case "text": findings[findings.count - 1].text = String(value)
            case "remedy": findings[findings.count - 1].remedy = String(value)
            default: break
            }
        }
        return (findings, code, run.output)
    }

    /// Expects that a check failed, with these words in what it says, and in what to do.
    private func expect(
        _ result: (findings: [Finding], code: Int32, output: String), _ check: String, _ words: String,
        _ remedy: String,
        code: Int32 = 69, location: SourceLocation = #_sourceLocation
    ) {
        let isFound = result.findings.contains {
            $0.check == check && $0.verdict == "fail" && $0.text.contains(words) && $0.remedy.contains(remedy)
        }
        #expect(isFound && result.code == code, "\(result.output)", sourceLocation: location)
    }

    @Test func whatIsWellIsSaidToBe() async throws {
        let upstream = try await MosquittoProcess()
        let sensor = "[[sensor]]\nid = \"a\"\ndriver = \"simulated\"\ninterval = \"100ms\""
        let alone = try await examine(upstreamPort: upstream.port, sensor)
        #expect(alone.code == 0, "\(alone.output)")
        for check in ["settings", "data", "sensor a", "listener", "upstream login", "upstream message"] {
            #expect(alone.findings.contains { $0.check == check && $0.verdict == "pass" }, "\(alone.output)")
        }
        // Beside the gateway that runs, which it does not disturb.
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, lanPort: lanPort, directory: directory, settings: sensor)
        #expect(try await gateway.isConnected())
        let beside = try await examine(upstreamPort: upstream.port, sensor)
        #expect(beside.code == 0, "\(beside.output)")
        for check in ["sensor a", "listener", "upstream", "gateway"] {
            #expect(beside.findings.contains { $0.check == check && $0.verdict == "pass" }, "\(beside.output)")
        }
        #expect(try await gateway.statusNumber("reconnects") == 0)
    }

    @Test func mistakesInTheSettings() async throws {
        let result = try await examine(upstreamPort: 1, "bogus = 1")
        expect(result, "settings", "unknown key", "mend it", code: 78)
        // The rest is looked at all the same.
        #expect(result.findings.contains { $0.check == "listener" && $0.verdict == "pass" }, "\(result.output)")
    }

    @Test func noNameServerKnowsTheUpstream() async throws {
        let path = try directory.write(
            "[gateway]\nid = \"gw\"\ndata_dir = \"\(directory.path)/data\"\n[lan]\nlisten = [\"127.0.0.1:\(lanPort)\"]\n"
                + "[upstream]\nurl = \"mqtt://no-such-host.invalid\"\n", to: "dns.toml")
        let run = try await runToEnd([TidegateProcess.binary, "doctor", "--config", path], upTo: .seconds(60))
        #expect(run.ending == .exited(69))
        #expect(run.output.contains("FAIL  upstream name       cannot find the upstream no-such-host.invalid"))
        #expect(run.output.contains("try: check the host in upstream.url and the gateway's DNS"), "\(run.output)")
    }

    @Test func nobodyListensUpstream() async throws {
        expect(
            try await examine(upstreamPort: freePort()), "upstream connection", "Connection refused",
            "check that the broker runs")
    }

    @Test func aWrongPassword() async throws {
        try directory.write("gw:x\n", to: "users", mode: 0o600)
        #expect(
            try ChildProcess.run(["mosquitto_passwd", "-U", directory["users"]], output: directory["passwd.log"]) == 0)
        let upstream = try await MosquittoProcess(
            settings: "allow_anonymous false\npassword_file \(directory["users"])\nuser root")
        try directory.write("wrong", to: "upstream.password", mode: 0o600)
        let account = "username = \"gw\"\npassword_file = \"upstream.password\""
        expect(
            try await examine(upstreamPort: upstream.port, account), "upstream login", "the broker refused",
            "upstream.username")
        try directory.write("x", to: "upstream.password", mode: 0o600)
        let right = try await examine(upstreamPort: upstream.port, account)
        #expect(right.findings.contains { $0.check == "upstream login" && $0.verdict == "pass" }, "\(right.output)")
        // One that everybody can read.
        chmod(directory["upstream.password"], 0o644)
        expect(
            try await examine(upstreamPort: upstream.port, account), "upstream password", "others can read",
            "chmod 600")
    }

    @Test func certificatesThatHaveExpiredOrAreForAnotherName() async throws {
        let certificates = try Certificates()
        for (name, days, words, remedy) in [
            ("expired", 0, "has expired", "renew the certificate on the broker"),
            ("elsewhere", 2, "is not for localhost", "use the name in the broker's certificate"),
        ] {
            try certificates.issue(
                name, "subjectAltName=DNS:\(days == 0 ? "localhost" : "elsewhere.example")", days: days)
            let port = freePort()
            let upstream = try await MosquittoProcess(
                port: port,
                settings: """
                    allow_anonymous true
                    user root
                    certfile \(certificates.certificate(name))
                    keyfile \(certificates.key(name))
                    """)
            let path = try directory.write(
                """
                [gateway]
                id = "gw"
                data_dir = "\(directory.path)/data"
                [lan]
                listen = ["127.0.0.1:\(lanPort)"]
                [upstream]
                url = "mqtts://localhost:\(upstream.port)"
                ca_file = "\(certificates.authority)"

                """, to: "tls.toml")
            let isExpired = await eventually {
                let run = try? await runToEnd([TidegateProcess.binary, "doctor", "--config", path])
                return run?.output.contains("FAIL  upstream tls        ") == true && run?.output.contains(words) == true
                    && run?.output.contains(remedy) == true
            }
            #expect(isExpired, "\(name)")
        }
    }

    @Test func aClockThatNobodyHasSet() async throws {
        let result = try await examine(
            upstreamPort: freePort(), prefix: ["faketime", "-f", "1970-01-01 00:01:00"],
            environment: ["FAKETIME_DONT_FAKE_MONOTONIC": "1"])
        expect(result, "clock", "1970-01-01", "NTP")
    }

    @Test func somebodyElseHasThePort() async throws {
        let other = try await MosquittoProcess(port: lanPort)
        defer { withExtendedLifetime(other) {} }
        expect(try await examine(upstreamPort: freePort()), "listener", "mosquitto (process", "systemctl disable")
    }

    @Test(.enabled(if: canMount, "user namespaces that may mount")) func aDiskThatIsReadOnlyOrFull() async throws {
        func prefix(_ script: String) -> [String] {
            ["unshare", "-rm", "sh", "-c", "d=\"$1\"; shift\n\(script)\nexec \"$@\"", "sh", directory.path]
        }
        let readOnly = try await examine(
            upstreamPort: freePort(), prefix: prefix("mount -t tmpfs -o ro tmpfs $d/data"))
        expect(readOnly, "disk", "read-only file system (EROFS)", "fsck")
        let full = try await examine(
            upstreamPort: freePort(),
            prefix: prefix(
                "mount -t tmpfs -o size=1m tmpfs $d/data; dd if=/dev/zero of=$d/data/x bs=4k 2>/dev/null; true"))
        expect(full, "disk", "no space left on device (ENOSPC)", "free some space")
        expect(full, "disk space", "the disk is full", "min_free")
        let short = try await examine(
            upstreamPort: freePort(), prefix: prefix("mount -t tmpfs -o size=4m tmpfs $d/data"))
        expect(short, "disk space", "the disk is full", "min_free")
    }

    @Test func whatIsNotWiredAsTheSettingsSay() async throws {
        let pty = try Pty()
        // Something comes, and never makes a line: as from a device at another speed.
        let noise = Noise(pty)
        defer { noise.stop() }
        let result = try await examine(
            upstreamPort: freePort(),
            """
            [[sensor]]
            id = "meter"
            driver = "serial"
            port = "\(pty.path)"
            baud = 9600
            [[sensor]]
            id = "boiler"
            driver = "sysfs"
            kind = "w1"
            [[sensor]]
            id = "door"
            driver = "gpio"
            line = "GPIO17"
            """)
        expect(result, "sensor meter", "wrong speed or parity", "compare baud")
        expect(result, "sensor boiler", "the kernel shows none of that kind", "dtoverlay=w1-gpio")
        expect(result, "sensor door", "GPIO17", "")
    }

    @Test(.enabled(if: geteuid() == 0, "root, who can be somebody else")) func aUserWhoIsInNoGroup() async throws {
        let pty = try Pty()
        for path in [directory.path, directory["data"]] { chmod(path, 0o755) }
        chown(directory["data"], 65_534, 65_534)
        chown(pty.path, 0, 5)
        chmod(pty.path, 0o660)
        let result = try await examine(
            upstreamPort: freePort(),
            "[[sensor]]\nid = \"meter\"\ndriver = \"serial\"\nport = \"\(pty.path)\"\nbaud = 9600",
            prefix: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
        expect(result, "permission", "may not open \(pty.path)", "usermod -aG tty nobody")
    }

    @Test func theBundleHoldsNoSecret() async throws {
        let upstream = try await MosquittoProcess()
        try directory.write("open-sesame", to: "upstream.password", mode: 0o600)
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, lanPort: lanPort, directory: directory,
            settings: "username = \"account-7\"\npassword_file = \"upstream.password\"\n# open-sesame account-7\n")
        #expect(try await gateway.isConnected())
        let archive = directory["bundle.tar.gz"]
        let run = try await runToEnd(
            [TidegateProcess.binary, "bundle", "--config", gateway.settingsPath, "--output", archive],
            upTo: .seconds(60))
        #expect(run.ending == .exited(0), "\(run.errors)")
        var information = stat()
        #expect(stat(archive, &information) == 0 && information.st_mode & 0o077 == 0)
        let unpacked = try await runToEnd(["tar", "-xzf", archive, "-C", directory.path])
        #expect(unpacked.ending == .exited(0), "\(unpacked.errors)")
        let names = [
            "doctor.txt", "doctor.json", "status.json", "settings-0-tidegate.toml", "system.txt", "version.txt",
        ]
        for name in names {
            let text = textOfFile(directory["tidegate-bundle/\(name)"])
            #expect(!text.isEmpty, "\(name)")
            #expect(!text.contains("sesame") && !text.contains("account-7"), "\(name)")
        }
        #expect(textOfFile(directory["tidegate-bundle/settings-0-tidegate.toml"]).contains("username = \"•••"))
        // What is there is kept.
        let again = try await runToEnd(
            [TidegateProcess.binary, "bundle", "--config", gateway.settingsPath, "--output", archive])
        #expect(again.ending == .exited(64))
    }

    /// Names that tar(1) takes for a host or for an option; and nothing that a device has sent.
    @Test(arguments: ["a:b.tar.gz", "-x.tar.gz", "plain.tar.gz"]) func theBundleHoldsNoReading(name: String)
        async throws
    {
        let upstream = try await MosquittoProcess()
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, lanPort: lanPort, directory: directory,
            settings: """
                [[forward]]
                from = "#"
                decode = "number"
                [[sensor]]
                id = "tank"
                driver = "simulated"
                waveform = "sine"
                minimum = 4711.25
                maximum = 4711.5
                interval = "100ms"
                """)
        #expect(try await gateway.isConnected())
        try await gateway.publish("door", "open \"sesame\" 815")
        #expect(try await eventually { try await gateway.status().contains("sesame") })
        #expect(try await eventually { try await gateway.status().contains("4711.") })
        // The journal, where there is none.
        try #require(mkdir(directory["bin"], 0o755) == 0)
        try directory.write(gateway.process.errors, to: "journal")
        try directory.write("#!/bin/sh\ncat '\(directory["journal"])'\n", to: "bin/journalctl", mode: 0o755)
        #expect(gateway.process.errors.contains("sesame"))
        let script = "cd \"$1\" && PATH=\"$1/bin:$PATH\" exec \"$2\" bundle --config \"$3\" --output=\"$4\""
        let run = try await runToEnd(
            ["sh", "-c", script, "sh", directory.path, TidegateProcess.binary, gateway.settingsPath, name],
            upTo: .seconds(60))
        #expect(run.ending == .exited(0) && run.output == "\(name)\n", "\(run.output)\(run.errors)")
        let unpacked = try await runToEnd([
            "tar", "-xz", "--force-local", "-f", directory[name], "-C", directory.path,
        ])
        #expect(unpacked.ending == .exited(0), "\(unpacked.errors)")
        for file in ["status.txt", "status.json", "log.txt", "doctor.txt", "doctor.json"] {
            let text = textOfFile(directory["tidegate-bundle/\(file)"])
            #expect(!text.isEmpty && !text.contains("sesame") && !text.contains("4711"), "\(file): \(text)")
        }
        #expect(textOfFile(directory["tidegate-bundle/status.txt"]).contains("number"))
        #expect(textOfFile(directory["tidegate-bundle/log.txt"]).contains("found a value"))
    }

    /// Sends bytes that never end a line, for as long as it lives.
    private final class Noise: Sendable {
        private let task: Task<Void, Never>

        init(_ pty: Pty) {
            task = Task.detached {
                while !Task.isCancelled {
                    pty.send(String(repeating: "\u{1F}", count: 32))
                    try? await Task.sleep(for: .milliseconds(100))
                }
            }
        }

        func stop() { task.cancel() }
    }
}
