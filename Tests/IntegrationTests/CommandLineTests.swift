import Glibc
import TestSupport
import Testing

/// The command line's exit codes and words, with the real binary.
@Suite(.timeLimit(.minutes(2))) struct CommandLineTests {
    @Test func checkNamesEveryMistakeWithItsPlace() async throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(
            """
            [gateway]
            id = "a/b"
            data_dri = "/tmp"
            [lan]
            listen = ["localhost"]
            max_packet_size = 17
            [upstream]
            url = "http://example.com"
            keep_alive = "15 bananas"
            in_flight = 0
            [class.telemetry]
            overflow = "drop-all"
            [[forward]]
            from = "a/#/b"
            class = "telemetri"
            [[accept]]
            from = "gw/cmd"
            to = "cmd/#"
            [[sensor]]
            id = "x"
            driver = "simulated"
            [[sensor]]
            id = "x"
            driver = "serial"
            [[sensor]]
            id = "y"
            driver = "gpoi"
            [upstrem]
            url = 1
            url = 2

            """, to: "tidegate.toml")
        let result = try await runToEnd([TidegateProcess.binary, "check", "--config", path])
        #expect(result.ending == .exited(78))
        for place in [
            "2:6", "3:1", "5:11", "6:19", "8:7", "9:14", "10:13", "12:12", "14:8", "15:9", "18:6", "23:6", "22:1",
            "27:10",
            "28:2", "30:1",
        ] {
            #expect(result.errors.contains("\(path):\(place): error: "), "nothing at \(place):\n\(result.errors)")
        }
        for hint in ["data_dir", "telemetry", "gpio", "upstream", "drop-oldest"] {
            #expect(result.errors.contains("\"\(hint)\""), "no hint at \(hint):\n\(result.errors)")
        }
    }

    @Test func checkAcceptsItsOwnSample() async throws {
        let sample = try await runToEnd([TidegateProcess.binary, "check", "--sample"])
        #expect(sample.ending == .exited(0))
        let directory = try TemporaryDirectory()
        let path = try directory.write(sample.output, to: "tidegate.toml")
        let result = try await runToEnd([TidegateProcess.binary, "check", "--config", path])
        #expect(result.ending == .exited(0), "\(result.errors)")
    }

    @Test func exitCodesAreSysexits() async throws {
        let directory = try TemporaryDirectory()
        let missing = directory["none.toml"]
        #expect(try await runToEnd([TidegateProcess.binary, "run", "--config", missing]).ending == .exited(78))
        #expect(try await runToEnd([TidegateProcess.binary, "fly"]).ending == .exited(64))
        #expect(
            try await runToEnd([TidegateProcess.binary, "status", "--data-dir", directory.path]).ending == .exited(69))
        #expect(try await runToEnd([TidegateProcess.binary, "version"]).ending == .exited(0))
        #expect(try await runToEnd([TidegateProcess.binary, "help"]).ending == .exited(0))
    }

    @Test func aSecondGatewayOnTheSameDataIsRefused() async throws {
        let first = try await TidegateProcess(upstreamPort: freePort())
        let path = try first.directory.write(
            TidegateProcess.settings(lanPort: freePort(), upstreamPort: freePort(), directory: first.directory),
            to: "second.toml")
        let result = try await runToEnd([TidegateProcess.binary, "run", "--config", path])
        #expect(result.ending == .exited(69), "\(result.errors)")
        #expect(try await first.status().contains("\"gateway\" : \"gw\""))
    }

    @Test func aReadableSecretIsRefused() async throws {
        let directory = try TemporaryDirectory()
        try directory.write("secret\n", to: "password", mode: 0o644)
        let path = try directory.write(
            TidegateProcess.settings(
                lanPort: freePort(), upstreamPort: freePort(), directory: directory,
                more: "username = \"u\"\npassword_file = \"password\""), to: "t.toml")
        let result = try await runToEnd([TidegateProcess.binary, "run", "--config", path])
        #expect(result.ending == .exited(78))
        #expect(result.errors.contains("chmod 600"), "\(result.errors)")
        #expect(!result.errors.contains("secret\n"))
    }

    /// Refused wherever it is looked at: a broker would get an empty password, or one with a line end in it.
    @Test(arguments: [("", "it is empty"), ("\n", "it is empty"), ("one\ntwo\n", "more than one line")])
    func aPasswordFileThatIsNoPassword(text: String, reason: String) async throws {
        let directory = try TemporaryDirectory()
        try directory.write(text, to: "password", mode: 0o600)
        let path = try directory.write(
            TidegateProcess.settings(
                lanPort: freePort(), upstreamPort: freePort(), directory: directory,
                more: "username = \"u\"\npassword_file = \"password\""), to: "t.toml")
        for (command, code) in [("check", 78), ("run", 78), ("doctor", 69)] as [(String, Int32)] {
            let result = try await runToEnd(
                [TidegateProcess.binary, command, "--config", path], upTo: .seconds(60))
            let said = result.output + result.errors
            #expect(result.ending == .exited(code), "\(command): \(said)")
            #expect(said.contains(reason) && said.contains("try: write just the secret into"), "\(command): \(said)")
        }
    }

    /// READY only once the listener stands, and STOPPING when asked to stop: sd_notify(3) on a real socket.
    @Test func systemdIsToldReadyAndStopping() async throws {
        let directory = try TemporaryDirectory()
        let notifyPath = directory["notify"]
        let log = try ChildProcess(["socat", "-u", "UNIX-RECV:\(notifyPath)", "OPEN:\(directory["log"]),creat,append"])
        #expect(await eventually { access(notifyPath, F_OK) == 0 }, "\(log.errors)")
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), directory: directory,
            environment: ["NOTIFY_SOCKET": notifyPath, "WATCHDOG_USEC": "2000000"])
        #expect(await eventually { textOfFile(directory["log"]).contains("READY=1") })
        #expect(await eventually { textOfFile(directory["log"]).contains("WATCHDOG=1") })
        gateway.process.signal(SIGTERM)
        #expect(await gateway.process.wait() == .exited(0))
        #expect(await eventually { textOfFile(directory["log"]).contains("STOPPING=1") })
    }
}
