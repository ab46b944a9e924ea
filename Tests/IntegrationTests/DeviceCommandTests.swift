import Glibc
import MQTT
import TestSupport
import Testing

extension TidegateProcess {
    func device(
        _ words: [String], input: String = ""
    ) async throws -> (ending: ChildProcess.Ending?, output: String, errors: String) {
        try await command("device", words, input: input)
    }
}

/// Users and access rules by the command line, with the gateway running and without.
@Suite(.timeLimit(.minutes(3))) struct DeviceCommandTests {
    private static func publish(
        _ gateway: TidegateProcess, _ topic: String, user: String? = nil, password: String = "", id: String = "c1",
        version: String = "mqttv5"
    ) async throws -> (ending: ChildProcess.Ending?, output: String, errors: String) {
        var words = [
            "mosquitto_pub", "-h", "127.0.0.1", "-p", "\(gateway.lanPort)", "-V", version, "-q", "1", "-i", id, "-t",
            topic, "-m", "x", "-d",
        ]
        if let user { words += ["-u", user, "-P", password] }
        return try await runToEnd(words)
    }

    @Test func usersComeInAndRulesHold() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort(), lan: "anonymous = false")
        #expect(try await Self.publish(gateway, "a").errors.contains("ot authori"))
        #expect(try await gateway.device(["list"]).output == "no users\n")
        #expect(try await gateway.device(["add", "anna"], input: "one\n").output == "added anna\n")
        #expect(try await gateway.device(["add", "ben"], input: "two\n").ending == .exited(0))
        #expect(try await gateway.device(["list"]).output == "anna\nben\n")

        #expect(try await Self.publish(gateway, "a", user: "anna", password: "one").ending == .exited(0))
        #expect(try await Self.publish(gateway, "a", user: "anna", password: "two").ending != .exited(0))

        // With the first rule, what none allows is denied.
        #expect(
            try await gateway.device(["allow", "--user", "anna", "readwrite", "{user}/{client}/#"]).output
                == "rule 1\n")
        let allowed = try await Self.publish(gateway, "anna/c1/x", user: "anna", password: "one")
        #expect(allowed.output.contains("PUBACK (Mid: 1, RC:0)"), "\(allowed.output)")
        let denied = try await Self.publish(gateway, "anna/c2/x", user: "anna", password: "one")
        #expect(denied.output.contains("PUBACK (Mid: 1, RC:135)"), "\(denied.output)")
        // 3.1.1 cannot be told: it is acknowledged, dropped and counted.
        #expect(
            try await Self.publish(gateway, "other", user: "ben", password: "two", id: "c3", version: "mqttv311").ending
                == .exited(0))
        #expect(try await gateway.statusNumber("denied") == 2)
        #expect(try await gateway.statusNumber("refusedLogins") == 2)

        // Who is removed is gone at once.
        let watcher = try ChildProcess([
            "stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", "\(gateway.lanPort)", "-V", "mqttv5", "-i",
            "w", "-u", "anna", "-P", "one", "-t", "anna/w/#",
        ])
        #expect(await eventually { watcher.output.contains("Subscribed (mid") }, "\(watcher.output)")
        // Its rule is the only one, and goes along: everything would be open.
        let unasked = try await gateway.device(["remove", "anna"])
        #expect(unasked.ending == .exited(64) && unasked.errors.contains("--yes"), "\(unasked.errors)")
        #expect(try await gateway.device(["remove", "--yes", "anna"]).output == "removed anna, and its rule\n")
        #expect(await eventually { watcher.output.contains("DISCONNECT") || watcher.endingIfOver != nil })
        #expect(try await Self.publish(gateway, "anna/c1/x", user: "anna", password: "one").ending != .exited(0))

        #expect(
            try await Self.publish(gateway, "other", user: "ben", password: "two", version: "mqttv5").ending
                == .exited(0))
        // Nothing that was secret is in the log or in the status.
        let told = gateway.process.errors + (try await gateway.status())
        #expect(!told.contains("\"one\"") && !told.contains("=one") && !told.contains("$y$"))
    }

    @Test func whatOpensOrClosesEverythingIsSaidBefore() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort(), lan: "anonymous = true")
        for (name, password) in [("anna", "one"), ("ben", "two")] {
            #expect(try await gateway.device(["add", name], input: "\(password)\n").ending == .exited(0))
        }
        let port = gateway.lanPort
        let clients = try [("a", "anna", "one"), ("b", "ben", "two")].map { id, user, password in
            try PacketClient(port: port, id: id, userName: user, password: password)
        }
        let nobody = try PacketClient(port: port, id: "n")
        let first = try await gateway.device(["allow", "--user", "anna", "readwrite", "pumps/{client}/#"])
        #expect(first.output == "rule 1\n")
        #expect(first.errors.contains("first rule") && first.errors.contains("b (ben), n (no user)"), "\(first.errors)")
        #expect(first.errors.contains("{client} confines nobody"), "\(first.errors)")
        // The second cuts nobody off.
        #expect(try await gateway.device(["allow", "--user", "ben", "read", "x/{user}/#"]).errors.isEmpty)

        let unknown = try await gateway.device(["allow", "--user", "nobody", "read", "a"])
        #expect(unknown.ending == .exited(64) && unknown.errors.contains("tidegate device add nobody"))
        #expect(try await gateway.device(["deny", "1"]).errors.contains("disallow"))
        #expect(try await gateway.device(["rules"]).output.split(separator: "\n").count == 2)

        #expect(try await gateway.device(["disallow", "1"]).output == "removed rule 1\n")
        let last = try await gateway.device(["disallow", "2"])
        #expect(last.ending == .exited(64) && last.errors.contains("last one"), "\(last.errors)")
        #expect(try await Self.publish(gateway, "other", id: "p").output.contains("RC:135"))
        #expect(try await gateway.device(["disallow", "--yes", "2"]).ending == .exited(0))
        #expect(try await !Self.publish(gateway, "other", id: "p").output.contains("RC:135"))
        _ = (clients, nobody)
    }

    /// The sessions of a removed user are gone, also in the file: a new user of that name gets nothing of them.
    @Test func aRemovedUserLeavesNothingBehind() async throws {
        let directory = try TemporaryDirectory()
        let port = freePort()
        let kept = [Property.sessionExpiryInterval(.max)]
        func start() async throws -> TidegateProcess {
            try await TidegateProcess(
                upstreamPort: freePort(), lanPort: port, directory: directory, lan: "anonymous = true")
        }
        let gateway = try await start()
        #expect(try await gateway.device(["add", "anna"], input: "one\n").ending == .exited(0))
        let away = try PacketClient(port: port, id: "pump", userName: "anna", password: "one", properties: kept)
        _ = try away.subscribe(.init("t", qos: .atLeastOnce))
        away.socket.close()
        try await gateway.publish("t", "secret")
        #expect(try await gateway.device(["remove", "anna"]).ending == .exited(0))
        // Killed before the listener had anything to write of it.
        await gateway.process.kill()
        let second = try await start()
        #expect(try await second.device(["add", "anna"], input: "two\n").ending == .exited(0))
        let other = try PacketClient(
            port: port, id: "pump", cleanStart: false, userName: "anna", password: "two", properties: kept)
        #expect(!other.sessionPresent)
    }

    /// Where no settings are named, the gateway that runs is found; to look makes no files.
    @Test func theRunningGatewayIsFoundAndLookingMakesNothing() async throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(
            TidegateProcess.settings(lanPort: freePort(), upstreamPort: freePort(), directory: directory),
            to: "tidegate.toml")
        for words in [["list"], ["rules"], ["remove", "anna"], ["disallow", "1"], ["reopen"]] {
            let result = try await runToEnd([TidegateProcess.binary, "device"] + words + ["--config", path])
            #expect(result.ending == .exited(69), "\(words): \(result.errors)")
            #expect(result.errors.contains("\(directory.path)/data/state.db"), "\(result.errors)")
        }
        #expect(directory.names == ["tidegate.toml"])
        let made = try await runToEnd(
            [TidegateProcess.binary, "device", "add", "carl", "--config", path],
            input: try directory.write("three\n", to: "input"))
        #expect(made.output == "added carl\n")
        #expect(made.errors.contains("\(directory.path)/data/state.db"), "\(made.errors)")

        let gateway = try await TidegateProcess(upstreamPort: freePort())
        // Other tests' gateways may run beside it: then they are all told, and nothing is changed.
        let found = try await runToEnd([TidegateProcess.binary, "device", "list"])
        #expect(found.errors.contains("\(gateway.directory.path)/data"), "\(found.errors)")
        #expect(found.ending == .exited(0) || found.ending == .exited(64), "\(found.errors)")
        #expect(access("/var/lib/tidegate/state.db", F_OK) != 0)
    }

    @Test func anEmptyPasswordFileIsRefused() async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        let file = try gateway.directory.write("# nobody\n\n", to: "passwords")
        let result = try await gateway.device(["import", file])
        #expect(result.ending == .exited(64) && result.errors.contains("no user"), "\(result.errors)")
    }

    @Test func itWorksWithoutTheGateway() async throws {
        let directory = try TemporaryDirectory()
        let port = freePort()
        let path = try directory.write(
            TidegateProcess.settings(
                lanPort: port, upstreamPort: freePort(), directory: directory, lan: "anonymous = false"),
            to: "tidegate.toml")
        func device(_ words: [String], input: String = "") async throws -> ChildProcess.Ending? {
            let file = try directory.write(input, to: "input")
            return try await runToEnd(
                [TidegateProcess.binary, "device"] + words + ["--config", path], input: file
            ).ending
        }
        #expect(try await device(["add", "carl"], input: "three\n") == .exited(0))
        #expect(try await device(["add", "dora:x"], input: "x\n") == .exited(64))
        #expect(try await device(["add", "dora"]) == .exited(64), "an empty password")
        #expect(try await device(["remove", "nobody"]) == .exited(64))
        #expect(try await device(["disallow", "7"]) == .exited(64))
        #expect(try await device(["allow", "fly", "a/#"]) == .exited(64))
        #expect(try await device(["allow", "read", "a/#/b"]) == .exited(64))
        if isInstalled("mosquitto_passwd") {
            let file = directory["passwords"]
            let made = try await runToEnd(["mosquitto_passwd", "-c", "-b", file, "erik", "four"])
            #expect(made.ending == .exited(0), "\(made.errors)")
            #expect(try await device(["import", file]) == .exited(0))
        }
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), lanPort: port, directory: directory, lan: "anonymous = false")
        #expect(try await Self.publish(gateway, "a", user: "carl", password: "three").ending == .exited(0))
        if isInstalled("mosquitto_passwd") {
            #expect(try await Self.publish(gateway, "a", user: "erik", password: "four").ending == .exited(0))
        }
    }

    /// A thousand devices come back at once, as after a power cut: all are let in, and a client that is there already
    /// is served meanwhile.
    @Test func aThousandDevicesComeBack() async throws {
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), lan: "max_connections = 2000\nanonymous = false")
        #expect(try await gateway.device(["add", "fleet"], input: "pass\n").ending == .exited(0))
        let port = gateway.lanPort
        try await onOwnThread {
            let witness = try PacketClient(port: port, id: "witness", userName: "fleet", password: "pass")
            var fleet: [PacketClient] = []
            for number in 0..<1_000 {
                fleet.append(try PacketClient(port: port, id: "d\(number)", userName: "fleet", password: "pass"))
                if number.isMultiple(of: 100) {
                    witness.send(.pingreq)
                    #expect(try witness.receive() == .pingresp)
                }
            }
            #expect(fleet.count == 1_000)
        }
    }
}
