import Glibc
import TestSupport
import Testing

/// The clients that devices really use, against the real binary, over every transport that both know.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RealClientsTests {
    /// A gateway with one listener for each transport; `[lan]` serves plain TCP.
    private struct Served {
        let certificates: Certificates
        let gateway: TidegateProcess
        private let ports: [String: Int]
        private let socket: String

        init() async throws {
            certificates = try Certificates()
            try certificates.issue("localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
            let ports = ["tls": freePort(), "websocket": freePort(), "websocket-tls": freePort()]
            let directory = try TemporaryDirectory()
            socket = directory["mqtt.sock"]
            var settings = "[[listener]]\nlisten = \"unix:\(socket)\"\n"
            for (transport, port) in ports {
                settings += "[[listener]]\nlisten = \"127.0.0.1:\(port)\"\nanonymous = false\n"
                if transport.hasPrefix("websocket") { settings += "protocol = \"websocket\"\n" }
                if transport.hasSuffix("tls") {
                    settings += "cert_file = \"\(certificates.certificate("localhost"))\"\n"
                    settings += "key_file = \"\(certificates.key("localhost"))\"\n"
                }
            }
            gateway = try await TidegateProcess(upstreamPort: freePort(), directory: directory, settings: settings)
            self.ports = ports.merging(["tcp": gateway.lanPort]) { old, _ in old }
            let added = try await gateway.device(["add", "device"], input: "s3cret\n")
            try #require(added.ending == .exited(0), "\(added.errors)")
        }

        /// Host and port; of a Unix socket its path and 0.
        func place(_ transport: String) -> [String] {
            ports[transport].map { ["localhost", "\($0)"] } ?? [socket, "0"]
        }
    }

    private static let folder = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Clients"

    /// The Python that has the clients: of `.ci/dependencies`, or the machine's.
    private static func python(with module: String) async throws -> String? {
        let own =
            "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/.build/clients/bin/python"
        for python in [own, "python3"] where !python.hasPrefix("/") || access(python, X_OK) == 0 {
            if try await runToEnd([python, "-c", "import \(module)"]).ending == .exited(0) { return python }
        }
        return nil
    }

    @Test(arguments: [
        ("paho", "paho.mqtt.client", ["tcp", "tls", "websocket", "websocket-tls", "unix"]),
        ("gmqtt", "gmqtt", ["tcp", "tls"]),
        ("aiomqtt", "aiomqtt", ["tcp", "tls", "websocket", "websocket-tls"]),
    ])
    func pythonClients(name: String, module: String, transports: [String]) async throws {
        guard let python = try await Self.python(with: module) else {
            print("SKIPPED: no \(name) here (pip install -r Tests/Clients/requirements.txt): it was NOT run")
            return
        }
        let served = try await Served()
        for transport in transports {
            let result = try await runToEnd(
                [python, "\(Self.folder)/\(name)_client.py", transport] + served.place(transport)
                    + [served.certificates.authority, "device", "s3cret"],
                upTo: .seconds(60))
            #expect(
                result.ending == .exited(0) && result.output.hasSuffix("ok\n"),
                "\(name) over \(transport): \(result.output)\(result.errors)\(served.gateway.process.errors)")
        }
        print("\(name) ran over \(transports.joined(separator: ", "))")
    }

    /// mosquitto_pub, mosquitto_sub and mosquitto_rr over TCP, TLS and a Unix socket, in three versions.
    @Test(arguments: ["tcp", "tls"], ["mqttv31", "mqttv311", "mqttv5"])
    func mosquittoClients(transport: String, version: String) async throws {
        guard isInstalled("mosquitto_rr") else {
            print("SKIPPED: no mosquitto-clients here: they were NOT run")
            return
        }
        let served = try await Served()
        let place = served.place(transport)
        var common = ["-h", place[0], "-p", place[1], "-V", version, "-u", "device", "-P", "s3cret"]
        if transport == "tls" { common += ["--cafile", served.certificates.authority] }
        let got = try ChildProcess(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", "-C", "3", "-q", "2", "-t", "t/#", "-v"] + common)
        #expect(await eventually { got.output.contains("Subscribed (mid") }, "\(got.output)\(got.errors)")
        for qos in 0...2 {
            let sent = try await runToEnd(
                ["mosquitto_pub", "-q", "\(qos)", "-t", "t/\(qos)", "-m", "m\(qos)"] + common)
            #expect(sent.ending == .exited(0), "\(sent.errors)")
        }
        #expect(await got.wait() == .exited(0))
        #expect(got.outputLines.filter { $0.hasPrefix("t/") }.sorted() == ["t/0 m0", "t/1 m1", "t/2 m2"])

        guard version == "mqttv5" else { return }
        let service = try ChildProcess(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", "-C", "1", "-t", "ask", "-F", "%R %D"] + common)
        #expect(await eventually { service.output.contains("Subscribed (mid") })
        let asking = try ChildProcess(
            ["mosquitto_rr", "-t", "ask", "-e", "answer", "-m", "?", "-D", "publish", "correlation-data", "7"] + common)
        #expect(await service.wait() == .exited(0))
        #expect(service.output.contains("answer 7"), "\(service.output)")
        let answered = try await runToEnd(
            ["mosquitto_pub", "-t", "answer", "-m", "42", "-D", "publish", "correlation-data", "7"] + common)
        #expect(answered.ending == .exited(0))
        #expect(await asking.wait() == .exited(0))
        #expect(asking.output == "42\n")
    }
}
