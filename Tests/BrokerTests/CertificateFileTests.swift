import Broker
import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

/// Keeps what is logged, a line each.
final class RecordingLog: Sendable {
    let lines = Mutex<[String]>([])

    private struct Handler: LogHandler {
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.notice
        let log: RecordingLog

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let words = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            log.lines.withLock { $0.append("\(event.level): \(event.message)\(words.joined())") }
        }
    }

    /// At the default level.
    var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

    func lines(with text: String) -> [String] { lines.withLock { $0.filter { $0.contains(text) } } }
}

/// Files of a TLS listener that are not what they should be.
@Suite(.timeLimit(.minutes(1))) struct CertificateFileTests {
    private static func withServer(_ body: (BrokerServer, RecordingLog) async throws -> Void) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let log = RecordingLog()
        let server = BrokerServer(
            configuration: BrokerConfiguration(), group: group, intake: RecordingIntake(), time: StillTime(),
            logger: log.logger)
        try await server.start()
        do { try await body(server, log) } catch { Issue.record(error) }
        await server.shutdown(deadline: .zero)
        try await group.shutdownGracefully()
    }

    private static func listener(_ certificate: String, _ key: String) -> Listener {
        var listener = Listener(.tcp(ListenAddress(host: "127.0.0.1", port: 0)))
        listener.tls = Listener.TLS(certificateFile: certificate, keyFile: key)
        return listener
    }

    @Test func everyWrongFileIsNamedWithItsMistakeAndARemedy() async throws {
        let certificates = try Certificates()
        try certificates.issue("localhost", "subjectAltName=DNS:localhost")
        try certificates.issue("other", "subjectAltName=DNS:other")
        let (certificate, key) = (certificates.certificate("localhost"), certificates.key("localhost"))
        let empty = try certificates.folder.write("", to: "empty.pem")
        let text = try certificates.folder.write("no certificate\n", to: "text.pem")
        let locked = certificates.folder["locked.key"]
        let made = try await runToEnd([
            "openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked,
        ])
        #expect(made.ending == .exited(0), "\(made.errors)")
        let binary = certificates.folder["localhost.der"]
        _ = try await runToEnd(["openssl", "x509", "-in", certificate, "-outform", "der", "-out", binary])
        try await Self.withServer { server, _ in
            for (certificateFile, keyFile, named, reason, remedy) in [
                (empty, key, empty, "empty", "copy it again"), (certificate, empty, empty, "empty", "copy it again"),
                (text, key, text, "no certificate in PEM", "openssl x509"),
                (certificate, text, text, "no private key in PEM", "openssl pkey"),
                (binary, key, binary, "no certificate in PEM", "-inform der"),
                (key, certificate, key, "a private key and no certificate", "exchange"),
                (certificate, certificate, certificate, "a certificate and no private key", "exchange"),
                (certificate, locked, locked, "passphrase", "openssl pkey"),
                (certificate, certificates.key("other"), certificates.key("other"), "does not belong", "use the key"),
                ("/no/such.pem", key, "/no/such.pem", "No such file", "check the path"),
                (certificates.folder.path, key, certificates.folder.path, "no file", "PEM"),
            ] {
                do throws(BrokerError) {
                    _ = try await server.open(Self.listener(certificateFile, keyFile))
                    Issue.record("\(named) was taken")
                } catch {
                    #expect(
                        error.kind == .certificate && error.doing.contains(named) && error.reason.contains(reason)
                            && error.remedy.contains(remedy), "\(error)")
                }
            }
        }
    }

    @Test func aKeyThatEverybodyCanReadIsWarnedOf() async throws {
        let certificates = try Certificates()
        try certificates.issue("localhost", "subjectAltName=DNS:localhost")
        let key = certificates.key("localhost")
        try await Self.withServer { server, log in
            let listener = Self.listener(certificates.certificate("localhost"), key)
            for (mode, isWarned) in [(0o640, false), (0o644, true)] as [(mode_t, Bool)] {
                #expect(chmod(key, mode) == 0)
                let open = try await server.open(listener)
                #expect(
                    log.lines(with: "can read").contains { $0.contains(key) && $0.contains("chmod 640") } == isWarned)
                await open.close(disconnectingClients: true)
            }
        }
    }
}
