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
        try made.issue("client", "extendedKeyUsage=clientAuth")
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
        if mistake != .noClientCertificate {
            guard case .tls(_, let detail)? = gateway.link.snapshot().lastFault else {
                Issue.record("\(String(describing: gateway.link.snapshot().lastFault))")
                return
            }
            #expect(detail != "no details")
        }
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
