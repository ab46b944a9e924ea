import Glibc
import Logging
import Readings
import Synchronization
import TestSupport
import Testing

@testable import Upstream

/// What stands in the log at the level that is the default.
@Suite("The link's log", .serialized, .enabled(if: MosquittoProcess.isInstalled), .timeLimit(.minutes(2)))
struct LinkLogTests {
    /// Keeps lines: "message | key=value key=value".
    private final class Recorder: Sendable {
        private let kept = Mutex<[String]>([])

        var lines: [String] { kept.withLock { $0 } }

        func lines(_ message: String) -> [String] { lines.filter { $0.hasPrefix(message) } }

        func add(_ line: String) { kept.withLock { $0.append(line) } }

        var logger: Logger {
            var logger = Logger(label: "upstream") { _ in Handler(recorder: self) }
            logger.logLevel = .notice
            return logger
        }
    }

    private struct Handler: LogHandler {
        let recorder: Recorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.notice

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let pairs = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            recorder.add("\(event.message) | \(pairs.joined(separator: " "))")
        }
    }

    @Test("a link that comes, goes and comes again is told with its host, its port and how long it took")
    func upAndDown() async throws {
        let broker = try await MosquittoProcess()
        defer { broker.stop() }
        let recorder = Recorder()
        let gateway = try Gateway(.test(port: broker.port), logger: recorder.logger)
        let url = "url=mqtt://127.0.0.1:\(broker.port)"
        try await gateway.run {
            try await gateway.connected()
            broker.stop()
            try await eventually("ten attempts have failed", details: { recorder.lines.joined(separator: "\n") }) {
                gateway.link.snapshot().lastFault
                    == .connect(gateway.configuration.addresses[0], code: ECONNREFUSED)
            }
            // Some more attempts, which have nothing new to tell.
            let turns = gateway.link.turns
            try await eventually("some more") { gateway.link.turns > turns + 20 }
            try await broker.start()
            try await gateway.connected()
        }
        let up = recorder.lines("the upstream link is up")
        let down = recorder.lines("the upstream link is down")
        #expect(up.count == 2 && up.allSatisfy { $0.contains(url) })
        #expect(up.last?.contains("was_down=") == true)
        #expect(down.count == 1 && down.allSatisfy { $0.contains(url) && $0.contains("was_up=") })
        let refused = recorder.lines("the upstream cannot be reached").filter { $0.contains("Connection refused") }
        #expect(refused.count == 1 && refused.allSatisfy { $0.contains(url) && $0.contains("try=check that") })
        let closed = recorder.lines("the upstream link is closed")
        #expect(closed.count == 1 && closed.allSatisfy { $0.contains(url) && $0.contains("was_up=") })
    }

    @Test("a refused connection is a refused connection, over TLS too", arguments: [false, true])
    func refused(isTLS: Bool) async throws {
        let recorder = Recorder()
        var configuration = UpstreamConfiguration.test(port: UInt16(freePort()))
        configuration.addresses[0].transport = isTLS ? .tls : .tcp
        let gateway = try Gateway(configuration, logger: recorder.logger)
        try await gateway.run {
            try await eventually("it is told") { !recorder.lines.isEmpty }
            #expect(gateway.link.snapshot().lastFault == .connect(configuration.addresses[0], code: ECONNREFUSED))
        }
        let line = try #require(recorder.lines.first)
        #expect(line.contains("reason=Connection refused"))
        #expect(line.contains("try=check that the broker runs, listens on that port"))
    }

    @Test("a port that does not speak TLS is told so")
    func noTLS() async throws {
        let other = try RawServer { descriptor in
            var bytes = [UInt8](repeating: 0, count: 4_096)
            guard recv(descriptor, &bytes, bytes.count, 0) > 0 else { return }
            let answer = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
            _ = send(descriptor, answer, answer.count, Int32(MSG_NOSIGNAL))
        }
        defer { other.stop() }
        var configuration = UpstreamConfiguration.test(port: other.port)
        configuration.addresses[0].transport = .tls
        let gateway = try Gateway(configuration)
        try await gateway.run {
            try await eventually("it is told", details: { "\(gateway.link.snapshot())" }) {
                gateway.link.snapshot().lastFault == .tls(configuration.addresses[0], .noTLS)
            }
        }
    }

    @Test("a name that does not resolve is named")
    func unknownName() async throws {
        let recorder = Recorder()
        var configuration = UpstreamConfiguration.test(port: 1_883)
        configuration.addresses[0].host = "no-such-host.invalid"
        let gateway = try Gateway(configuration, logger: recorder.logger)
        try await gateway.run {
            try await eventually("it is told", within: .seconds(40)) { !recorder.lines.isEmpty }
        }
        let line = try #require(recorder.lines.first)
        #expect(line.contains("url=mqtt://no-such-host.invalid:1883") && line.contains("reason=no-such-host.invalid"))
    }

    @Test("every fault says what to do")
    func remedies() {
        let address = UpstreamAddress(transport: .tls, host: "h")
        let refusals = (0...255).flatMap { code in
            [WireVersion.v5, .v311].map { ConnectRefusal(code: UInt8(code), version: $0) }
        }
        let failures: [TLSFailure] = [
            .expired, .notYetValid, .anotherName(expected: "x"), .untrusted("x"), .ownCertificateRefused("x"),
            .refused("x"), .noTLS, .other("x"),
        ]
        let faults: [LinkFault] =
            [
                .resolve(host: "h", reason: "x"), .connect(address, code: 1), .noAnswer(address, within: .seconds(1)),
                .closedBeforeAnswer(address), .unresolved(host: "h", within: .seconds(1)), .file(path: "/f", code: 1),
                .badFile("/f", "x"), .stuck(.seconds(1)), .broken(code: 0), .disconnected(reason: 0x8B),
                .keepAlive(.seconds(1)), .stalled(.seconds(1)), .postponed(reason: 0x97), .protocol(detail: "x"),
                .library(doing: "x", reason: "x"),
            ] + refusals.map { .refused(address, $0) } + failures.map { .tls(address, $0) }
        for fault in faults {
            #expect(!fault.remedy.isEmpty && !fault.remedy.lowercased().contains("nothing"), "\(fault)")
        }
    }
}

/// A server on the loopback that handles one connection after the other, on a thread of its own.
private final class RawServer: Sendable {
    let port: UInt16
    private let listener: Int32

    init(_ handle: @escaping @Sendable (_ descriptor: Int32) -> Void) throws {
        port = UInt16(freePort())
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var on: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        var address = loopback(port: port)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0, listen(listener, 16) == 0 else { throw TestFailure("cannot listen: errno \(errno)") }
        try LinkThread.start("raw-server") { [listener] in
            while true {
                let descriptor = accept(listener, nil, nil)
                guard descriptor >= 0 else { break }
                handle(descriptor)
                close(descriptor)
            }
            close(listener)
        }
    }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }
}
