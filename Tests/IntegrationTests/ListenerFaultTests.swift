import Glibc
import TestSupport
import Testing

/// A listener that cannot be opened is reported and tried again; everything else works meanwhile, on the real binary.
@Suite(.timeLimit(.minutes(3))) struct ListenerFaultTests {
    private static func listener(_ lines: String...) -> String {
        "[[listener]]\n" + lines.map { $0 + "\n" }.joined()
    }

    /// The status in words: what is well is not told there.
    private static func words(_ gateway: TidegateProcess) async throws -> String {
        try await runToEnd([TidegateProcess.binary, "status", "--config", gateway.settingsPath]).output
    }

    /// The status in words, once it says all of `words`; else whatever it says last.
    private static func status(_ gateway: TidegateProcess, saying words: String...) async throws -> String {
        var text = ""
        _ = try await eventually {
            text = try await Self.words(gateway)
            return words.allSatisfy { text.contains($0) }
        }
        return text
    }

    @Test func aPortInUseIsToldAndOpenedOnceItIsFree() async throws {
        let other = try await MosquittoProcess()
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), settings: Self.listener("listen = \"127.0.0.1:\(other.port)\""))
        let told = try await Self.status(gateway, saying: "127.0.0.1:\(other.port)", "EADDRINUSE", "mosquitto")
        #expect(told.contains("cannot listen on 127.0.0.1:\(other.port)") && told.contains("try: stop it"), "\(told)")
        #expect(gateway.process.errors.contains("127.0.0.1:\(other.port)"))
        try await gateway.publish("t", "x")
        other.process.signal(SIGTERM)
        _ = await other.process.wait()
        #expect(await eventually { acceptsConnections(other.port) })
        let sent = try await runToEnd([
            "mosquitto_pub", "-h", "127.0.0.1", "-p", "\(other.port)", "-q", "1", "-t", "t", "-m", "x",
        ])
        #expect(sent.ending == .exited(0), "\(sent.errors)")
        #expect(try await eventually { try await !Self.words(gateway).contains("EADDRINUSE") })
    }

    @Test func anUnusableCertificateIsNamedAndTakenUpOnceItIsMended() async throws {
        let certificates = try Certificates()
        try certificates.issue("localhost", "subjectAltName=DNS:localhost")
        let bad = try certificates.folder.write("nothing\n", to: "served.pem")
        let port = freePort()
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(),
            settings: Self.listener(
                "listen = \"127.0.0.1:\(port)\"", "cert_file = \"\(bad)\"",
                "key_file = \"\(certificates.key("localhost"))\""))
        let told = try await Self.status(gateway, saying: bad, "127.0.0.1:\(port) (TLS)")
        #expect(told.contains("cannot use \(bad)") && told.contains("try: "), "\(told)")
        try await gateway.publish("t", "x")
        #expect(!acceptsConnections(port))
        try certificates.folder.write(textOfFile(certificates.certificate("localhost")), to: "served.pem")
        #expect(await eventually { acceptsConnections(port) })
        #expect(try await eventually { try await !Self.words(gateway).contains(bad) })
    }

    @Test func aMissingFolderOfASocketIsNamedAndTheSocketComesWithIt() async throws {
        let directory = try TemporaryDirectory()
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), directory: directory,
            settings: Self.listener("listen = \"unix:\(directory.path)/run/mqtt.sock\""))
        let told = try await Self.status(gateway, saying: "the folder \(directory.path)/run does not exist")
        #expect(told.contains("try: make it"), "\(told)")
        #expect(mkdir("\(directory.path)/run", 0o700) == 0)
        #expect(await eventually { access("\(directory.path)/run/mqtt.sock", F_OK) == 0 })
        // Somebody clears the folder: it comes back.
        #expect(unlink("\(directory.path)/run/mqtt.sock") == 0)
        #expect(await eventually { access("\(directory.path)/run/mqtt.sock", F_OK) == 0 })
        try await gateway.publish("t", "x")
    }

    /// In a network of its own, where addresses can be taken away and given: as DHCP does.
    @Test func anAddressThatComesLateIsListenedOnAndOneThatGoesIsTold() async throws {
        let directory = try TemporaryDirectory()
        let settings = try directory.write(
            TidegateProcess.settings(
                lanPort: 1_883, upstreamPort: 1_884, directory: directory,
                more: Self.listener("listen = \"192.0.2.7:1883\"", "anonymous = true")), to: "tidegate.toml")
        let gateway = try ChildProcess([
            "env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "unshare", "--map-root-user", "--net", "sh", "-c",
            "ip link set lo up; exec \"$@\"", "sh",
            TidegateProcess.binary, "run", "--config", settings,
        ])
        func inside(_ words: String...) async throws -> Bool {
            try await runToEnd(
                [
                    "env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "nsenter", "--user", "--net", "--preserve-credentials",
                    "-t", "\(gateway.pid)",
                ] + words
            ).ending == .exited(0)
        }
        func send(to host: String) async throws -> Bool {
            try await inside("mosquitto_pub", "-h", host, "-q", "1", "-t", "t", "-m", "x")
        }
        func status() async throws -> String {
            try await runToEnd([TidegateProcess.binary, "status", "--config", settings]).output
        }
        #expect(try await eventually { try await send(to: "127.0.0.1") }, "\(gateway.errors)")
        #expect(try await eventually { try await status().contains("cannot listen on 192.0.2.7:1883") })
        #expect(try await inside("ip", "address", "add", "192.0.2.7/32", "dev", "lo"))
        #expect(try await eventually { try await send(to: "192.0.2.7") }, "\(gateway.errors)")
        #expect(try await !status().contains("cannot listen"))
        #expect(try await inside("ip", "address", "delete", "192.0.2.7/32", "dev", "lo"))
        #expect(try await eventually { try await status().contains("has lost the address 192.0.2.7") })
        #expect(try await send(to: "127.0.0.1"))
        #expect(try await inside("ip", "address", "add", "192.0.2.7/32", "dev", "lo"))
        #expect(try await eventually { try await send(to: "192.0.2.7") })
        #expect(try await eventually { try await !status().contains("has lost the address") })
        gateway.signal(SIGTERM)
        #expect(await gateway.wait() == .exited(0), "\(gateway.errors)")
    }
}
