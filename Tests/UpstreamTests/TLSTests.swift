import Glibc
import Readings
import TestSupport
import Testing

@testable import Upstream

private let hasOpenSSL: Bool = {
    let isInstalled = TestSupport.isInstalled("openssl")
    if !isInstalled { print("SKIPPED: no openssl: TLS is NOT tested") }
    return isInstalled
}()

/// An authority with a certificate for a broker on the loopback and one for a client.
private struct Certificates {
    private let made: TestSupport.Certificates
    var folder: TemporaryDirectory { made.folder }
    var authority: String { made.authority }
    var strangeAuthority: String { made.certificate("other-ca") }

    init() throws {
        made = try TestSupport.Certificates()
        try made.makeAuthority("other-ca")
        try made.issue("broker", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        try made.issue("elsewhere", "subjectAltName=DNS:elsewhere.example")
        try issue("client", by: "ca", days: 2)
    }

    func issue(_ name: String, by authority: String, days: Int) throws {
        try made.issue(name, "extendedKeyUsage=clientAuth", by: authority, days: days)
    }

    func broker(_ name: String = "broker") async throws -> MosquittoProcess {
        try await MosquittoProcess(
            [
                "cafile \(authority)", "certfile \(folder["\(name).crt"])",
                "keyfile \(folder["\(name).key"])",
                "require_certificate true",
            ],
            in: folder
        )
    }

    func configuration(_ broker: MosquittoProcess) -> UpstreamConfiguration {
        var configuration = UpstreamConfiguration.test(port: broker.port)
        configuration.addresses[0].transport = .tls
        configuration.tls = UpstreamConfiguration.TLS(
            authorityFile: authority, certificateFile: folder["client.crt"], keyFile: folder["client.key"]
        )
        return configuration
    }
}

@Suite("TLS with a real mosquitto", .enabled(if: MosquittoProcess.isInstalled && hasOpenSSL), .serialized)
struct TLSTests {
    @Test("messages arrive over TLS with a client certificate", arguments: ["127.0.0.1", "localhost"])
    func delivered(host: String) async throws {
        let certificates = try Certificates()
        let broker = try await certificates.broker()
        var configuration = certificates.configuration(broker)
        configuration.addresses[0].host = host
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...500)
            try await gateway.drained()
        }
        #expect(gateway.link.snapshot().acknowledged == 500)
        #expect(gateway.link.snapshot().lastFault == nil)
        #expect(gateway.link.snapshot().address?.transport == .tls)
    }

    enum Mistake: CaseIterable, Sendable {
        case strangeAuthority, systemAuthorities, wrongName, noClientCertificate
    }

    @Test("whoever cannot be trusted is not talked to", arguments: Mistake.allCases)
    func refused(mistake: Mistake) async throws {
        let certificates = try Certificates()
        let broker = try await certificates.broker(mistake == .wrongName ? "elsewhere" : "broker")
        var configuration = certificates.configuration(broker)
        switch mistake {
        case .strangeAuthority: configuration.tls.authorityFile = certificates.strangeAuthority
        case .systemAuthorities: configuration.tls.authorityFile = nil
        case .wrongName: break
        case .noClientCertificate: configuration.tls = .init(authorityFile: certificates.authority)
        }
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await gateway.append(1...1)
            try await eventually("the failure is reported", details: { "\(gateway.link.snapshot())" }) {
                switch gateway.link.snapshot().lastFault {
                case .tls, .closedBeforeAnswer: true
                default: false
                }
            }
            #expect(gateway.link.snapshot().published == 0)
        }
        switch (mistake, gateway.link.snapshot().lastFault) {
        case (.strangeAuthority, .tls(_, .untrusted(_))), (.systemAuthorities, .tls(_, .untrusted(_))),
            (.noClientCertificate, .tls(_, .ownCertificateRefused(_))):
            break
        case (.wrongName, .tls(_, let failure)): #expect(failure == .anotherName(expected: "127.0.0.1"))
        case (_, let fault): Issue.record("\(String(describing: fault))")
        }
    }

    /// A clock that is off by some years.
    private struct Years: TimeSource {
        var years: Int64
        func now() -> Timestamp {
            var time = KernelTime().now()
            time.unixNanoseconds += years * 365 * 86_400 * 1_000_000_000
            return time
        }
    }

    @Test("certificates are held against the time that the gateway knows, whatever the kernel's clock says")
    func time() async throws {
        let certificates = try Certificates()
        let broker = try await certificates.broker()
        for (years, failure) in [(10, TLSFailure.expired), (-10, .notYetValid)] as [(Int64, TLSFailure)] {
            let gateway = try Gateway(certificates.configuration(broker), time: Years(years: years))
            try await gateway.run {
                try await eventually("it is told", details: { "\(gateway.link.snapshot())" }) {
                    if case .tls(_, failure) = gateway.link.snapshot().lastFault { true } else { false }
                }
            }
        }
    }

    @Test("a server name of its own is checked and asked for, and so is a protocol")
    func serverNameAndALPN() async throws {
        let certificates = try Certificates()
        let port = UInt16(freePort())
        try certificates.folder.write(
            """
            import socket, ssl, sys
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[1] + ".crt", sys.argv[1] + ".key")
            context.set_alpn_protocols(["mqtt"])
            context.sni_callback = lambda connection, name, _: print("name", name, flush=True)
            listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
            while True:
                try:
                    with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                        print("protocol", connection.selected_alpn_protocol(), connection.version(), flush=True)
                except OSError as error:
                    print(error, flush=True)
            """, to: "server.py")
        let server = try ChildProcess(
            ["/usr/bin/python3", certificates.folder["server.py"], certificates.folder["elsewhere"], "\(port)"],
            output: certificates.folder["server.log"])
        defer { server.end(SIGKILL) }
        for host in ["127.0.0.1", "localhost"] {
            var configuration = UpstreamConfiguration.test(port: port)
            configuration.addresses = [UpstreamAddress(transport: .tls, host: host, port: port)]
            configuration.tls = .init(authorityFile: certificates.authority)
            configuration.tls.serverName = "elsewhere.example"
            configuration.tls.alpn = "mqtt"
            configuration.tls.minimumVersion = .v13
            let gateway = try Gateway(configuration)
            try await gateway.run {
                try await eventually("it was asked for", details: { certificates.folder.lines("server.log").joined() })
                {
                    let lines = certificates.folder.lines("server.log")
                    return lines.contains("name elsewhere.example") && lines.contains("protocol mqtt TLSv1.3")
                }
            }
        }
        // An address is no name to ask for (RFC 6066, section 3).
        #expect(!certificates.folder.lines("server.log").contains { $0.contains("127.0.0.1") })
    }

    /// A gateway that looks at its certificates so often, and its broker.
    private func renewing(
        every interval: Duration
    ) async throws -> (certificates: Certificates, broker: MosquittoProcess, gateway: Gateway) {
        let certificates = try Certificates()
        let broker = try await certificates.broker()
        var configuration = certificates.configuration(broker)
        configuration.certificateInterval = interval
        return (certificates, broker, try Gateway(configuration))
    }

    /// How many the broker has let in.
    private func connections(to broker: MosquittoProcess) -> Int {
        broker.folder.lines("mosquitto.log").count { $0.contains("Sending CONNACK to gw (0, 0)") }
    }

    @Test("renewed certificates take over beside the connection that there is; bad ones do not")
    func renewal() async throws {
        let (certificates, broker, gateway) = try await renewing(every: .milliseconds(100))
        try await gateway.run {
            try await gateway.append(1...10)
            try await gateway.drained()
            let expiry = try #require(gateway.link.snapshot().certificateExpiry)
            #expect(abs(expiry - KernelTime().now().unixNanoseconds / 1_000_000_000 - 2 * 86_400) < 3_600)
            #expect(gateway.link.snapshot().brokerCertificateExpiry != nil)

            // Of an authority that the broker does not know.
            try certificates.issue("client", by: "other-ca", days: 3)
            try await eventually("it is told", details: { "\(gateway.link.snapshot())" }) {
                if case .tls(_, .ownCertificateRefused) = gateway.link.snapshot().certificateProblem {
                    true
                } else {
                    false
                }
            }
            try await gateway.append(11...20)
            try await gateway.drained()
            #expect(gateway.link.snapshot().reconnects == 0 && connections(to: broker) == 1)
            // The line is lost meanwhile: what works is used.
            broker.kill()
            try await broker.start()
            try await gateway.append(21...30)
            try await gateway.drained()
            #expect(gateway.link.snapshot().certificateProblem != nil)

            // More than once: whether the broker first ends the old connection or first lets the new one in, who knows.
            let lastFault = gateway.link.snapshot().lastFaultAt
            for round in 1...5 {
                try certificates.issue("client", by: "ca", days: 8 + round)
                try await eventually("it has taken over", details: { "\(gateway.link.snapshot())" }) {
                    (gateway.link.snapshot().certificateExpiry ?? 0) > expiry + Int64(5 + round) * 86_400
                }
            }
            try await gateway.append(31...40)
            try await gateway.drained()
            #expect(gateway.link.snapshot().certificateProblem == nil)
            #expect(gateway.link.snapshot().lastFaultAt == lastFault)
        }
        #expect(gateway.link.snapshot().acknowledged == 40)
    }

    @Test("a new key whose certificate has not come yet changes nothing; together they take over")
    func halfRenewal() async throws {
        let (certificates, broker, gateway) = try await renewing(every: .milliseconds(20))
        try await gateway.run {
            try await gateway.append(1...10)
            try await gateway.drained()
            try certificates.issue("next", by: "ca", days: 9)
            try certificates.folder.write(textOfFile(certificates.folder["next.key"]), to: "client.key")
            try await eventually("it is told", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().certificateProblem != nil
            }
            // Looked at as often as it would take to try many times.
            let turns = gateway.link.turns
            try await eventually("the files were looked at again") { gateway.link.turns > turns + 20 }
            #expect(gateway.link.snapshot().reconnects == 0 && connections(to: broker) == 1)
            try certificates.folder.write(textOfFile(certificates.folder["next.crt"]), to: "client.crt")
            try await eventually("it has taken over", details: { "\(gateway.link.snapshot())" }) {
                connections(to: broker) == 2 && gateway.link.snapshot().certificateProblem == nil
            }
            try await gateway.append(11...20)
            try await gateway.drained()
        }
    }

    @Test("a new key that is taken away again is no problem any more")
    func withdrawnRenewal() async throws {
        let (certificates, broker, gateway) = try await renewing(every: .milliseconds(20))
        defer { withExtendedLifetime(broker) {} }
        let (key, kept) = (certificates.folder["client.key"], certificates.folder["client.kept"])
        try await gateway.run {
            try await gateway.connected()
            try certificates.issue("next", by: "ca", days: 9)
            try #require(link(key, kept) == 0 && rename(certificates.folder["next.key"], key) == 0)
            try await eventually("it is told", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().certificateProblem != nil
            }
            // The very file that it was before.
            try #require(rename(kept, key) == 0)
            try await eventually("it is over", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().certificateProblem == nil
            }
            #expect(gateway.link.snapshot().reconnects == 0)
        }
    }

    @Test("a file whose permissions have changed is looked at anew")
    func mendedPermissions() throws {
        let folder = try TemporaryDirectory()
        let path = try folder.write("x", to: "client.key")
        let before = TLSFingerprint(of: [path])
        #expect(TLSFingerprint(of: [path]) == before)
        try #require(chmod(path, 0o640) == 0)
        #expect(TLSFingerprint(of: [path]) != before)
    }

    @Test("a thread that hangs in a call is replaced")
    func hangingThread() async throws {
        let certificates = try Certificates()
        let broker = try await certificates.broker()
        var configuration = certificates.configuration(broker)
        // Reading it takes until somebody writes it.
        let pipe = certificates.folder["pipe.crt"]
        try #require(mkfifo(pipe, 0o600) == 0)
        configuration.tls.authorityFile = pipe
        configuration.stuckAfter = .milliseconds(600)
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await eventually("it is noticed", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().lastFault == .stuck(configuration.stuckAfter)
            }
            // The thread that took its place hangs at the same file, until that is another one. Those that hang are let
            // go at the end.
            let held = open(pipe, O_RDWR | O_NONBLOCK)
            defer { close(held) }
            let authority = certificates.folder["pipe.new"]
            try certificates.folder.write(textOfFile(certificates.authority), to: "pipe.new")
            try #require(rename(authority, pipe) == 0)
            try await gateway.append(1...10)
            try await gateway.drained()
        }
        #expect(gateway.link.snapshot().acknowledged == 10)
    }

    @Test("a link whose threads hang one after the other gives up and says so")
    func hangingForGood() async throws {
        let certificates = try Certificates()
        let broker = try await certificates.broker()
        var configuration = certificates.configuration(broker)
        let pipe = certificates.folder["pipe.crt"]
        try #require(mkfifo(pipe, 0o600) == 0)
        configuration.tls.authorityFile = pipe
        configuration.stuckAfter = .milliseconds(300)
        let gateway = try Gateway(configuration)
        try await gateway.append(1...5)
        await #expect(throws: LinkFault.stuck(configuration.stuckAfter)) { try await gateway.link.run() }
        #expect(gateway.link.isBeyondHelp)
        #expect(await !gateway.link.waitUntilUp(within: .seconds(60)))
        // The outbox is free for another one.
        configuration.tls.authorityFile = certificates.authority
        configuration.stuckAfter = .seconds(30)
        let next = try gateway.replaceLink(configuration)
        let running = Task { try await next.run() }
        try await gateway.drained(of: next)
        next.shutdown(deadline: KernelTime().now().instant + .seconds(20))
        try await running.value
        let held = open(pipe, O_RDWR | O_NONBLOCK)
        close(held)
        try await eventually("the threads have come back") { UpstreamLink.hangingThreads == 0 }
    }

    @Test("a missing file is named")
    func missingFile() async throws {
        var configuration = UpstreamConfiguration.test(port: UInt16(freePort()))
        configuration.addresses[0].transport = .tls
        configuration.tls.authorityFile = "/nonexistent/ca.crt"
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await eventually("it is reported") {
                gateway.link.snapshot().lastFault == .file(path: "/nonexistent/ca.crt", code: ENOENT)
            }
        }
    }

    @Test("a peer that closes in the handshake fails the attempt")
    func closingPeer() async throws {
        // A ClientHello is no CONNECT: it hangs up.
        let peer = try FakeBroker { _, _, _ in }
        defer { peer.stop() }
        var configuration = UpstreamConfiguration.test(port: peer.port)
        configuration.addresses[0].transport = .tls
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await eventually("the attempt has failed", details: { "\(gateway.link.snapshot())" }) {
                switch gateway.link.snapshot().lastFault {
                case .closedBeforeAnswer, .tls, .connect(_, code: ECONNRESET): true
                default: false
                }
            }
        }
    }

    @Test("a peer that is silent in the handshake is given up at the deadline, and keeps no CPU busy until then")
    func silentPeer() async throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        let port = UInt16(freePort())
        var address = loopback(port: port)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        // The kernel accepts, nobody answers.
        try #require(result == 0 && listen(listener, 16) == 0)
        var configuration = UpstreamConfiguration.test(port: port)
        configuration.addresses[0].transport = .tls
        configuration.connectTimeout = .seconds(1)
        configuration.reconnectDelay = .seconds(5)...Duration.seconds(5)
        let gateway = try Gateway(configuration)
        let turns = try await gateway.run {
            try await eventually("the attempt has failed", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().lastFault == .noAnswer(configuration.addresses[0], within: .seconds(1))
            }
            return gateway.link.turns
        }
        #expect(turns < 50)
    }
}
