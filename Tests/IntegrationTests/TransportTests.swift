import Glibc
import TestSupport
import Testing

/// What lies between TCP and MQTT: TLS and WebSocket, on the real binary.
@Suite(.timeLimit(.minutes(3))) struct TransportTests {
    private static func listener(_ port: Int, _ lines: String...) -> String {
        "[[listener]]\nlisten = \"127.0.0.1:\(port)\"\n" + lines.map { $0 + "\n" }.joined()
    }

    private static func tls(_ certificates: Certificates) -> String {
        "cert_file = \"\(certificates.certificate("localhost"))\"\nkey_file = \"\(certificates.key("localhost"))\""
    }

    /// What a new connection is shown: the certificate's serial number.
    private static func serial(_ port: Int, _ certificates: Certificates) async throws -> String {
        let shown = try await runToEnd([
            "openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", certificates.authority, "-showcerts",
        ])
        let file = try certificates.folder.write(shown.output, to: "shown.pem")
        return try await runToEnd(["openssl", "x509", "-in", file, "-noout", "-serial"]).output
    }

    @Test func aRenewedCertificateIsShownAndNobodyIsDropped() async throws {
        let certificates = try Certificates()
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        try certificates.issue("localhost", names)
        let port = freePort()
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), settings: Self.listener(port, Self.tls(certificates)))
        let place = ["-h", "localhost", "-p", "\(port)", "--cafile", certificates.authority]
        let device = try ChildProcess(["stdbuf", "-oL", "mosquitto_sub", "-d", "-t", "t", "-q", "1"] + place)
        #expect(await eventually { device.output.contains("Subscribed (mid") }, "\(device.errors)")

        let first = try await Self.serial(port, certificates)
        #expect(first.hasPrefix("serial="))
        try certificates.issue("localhost", names)
        #expect(try await eventually { try await Self.serial(port, certificates) != first })
        let second = try await Self.serial(port, certificates)
        #expect(second.hasPrefix("serial="))

        // One that cannot be used is told, and the good one stays.
        try certificates.folder.write("not a certificate\n", to: "localhost.crt")
        #expect(await eventually { gateway.process.errors.contains("the old one stays") })
        #expect(try await Self.serial(port, certificates) == second)
        let sent = try await runToEnd(["mosquitto_pub", "-t", "t", "-m", "still here", "-q", "1"] + place)
        #expect(sent.ending == .exited(0), "\(sent.errors)")
        #expect(await eventually { device.output.contains("still here") })
        #expect(!device.output.contains("DISCONNECT") && device.endingIfOver == nil)
    }

    /// The name in a client's certificate is its user name, and needs no password.
    @Test(arguments: [("common-name", "pump-7"), ("san", "pump-7.site.example")])
    func aCertificateIsAUser(source: String, user: String) async throws {
        let certificates = try Certificates()
        try certificates.issue("localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        try certificates.issue("pump-7", "subjectAltName=IP:10.0.0.1,DNS:pump-7.site.example")
        try certificates.makeAuthority("strange")
        try certificates.issue("pump-8", "extendedKeyUsage=clientAuth", by: "strange")
        let port = freePort()
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(),
            settings: Self.listener(
                port, Self.tls(certificates), "client_ca_file = \"\(certificates.authority)\"",
                "user_from = \"\(source)\""))
        #expect(try await gateway.device(["allow", "readwrite", "of/{user}/#"]).ending == .exited(0))
        func publish(_ topic: String, certificate: String?) async throws -> String {
            var words = [
                "mosquitto_pub", "-d", "-V", "mqttv5", "-h", "localhost", "-p", "\(port)", "--cafile",
                certificates.authority, "-q", "1", "-t", topic, "-m", "x",
            ]
            if let certificate {
                words += ["--cert", certificates.certificate(certificate), "--key", certificates.key(certificate)]
            }
            return try await runToEnd(words).output
        }
        #expect(try await publish("of/\(user)/x", certificate: "pump-7").contains("PUBACK (Mid: 1, RC:0)"))
        #expect(try await publish("of/other/x", certificate: "pump-7").contains("PUBACK (Mid: 1, RC:135)"))
        #expect(try await !publish("of/\(user)/x", certificate: "pump-8").contains("CONNACK (0)"))
        #expect(try await !publish("of/\(user)/x", certificate: nil).contains("CONNACK (0)"))
    }

    // MARK: WebSocket

    private static func handshake(_ headers: String...) -> [UInt8] {
        Array(
            ("GET /mqtt HTTP/1.1\r\nHost: localhost\r\n" + headers.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
    }

    private static let upgrade = [
        "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ].joined(separator: "\r\n")

    /// A masked frame, as clients send them (RFC 6455 §5.2).
    private static func frame(opcode: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let mask: [UInt8] = [1, 2, 3, 4]
        return [0x80 | opcode, 0x80 | UInt8(payload.count)] + mask
            + payload.enumerated().map { $0.element ^ mask[$0.offset % 4] }
    }

    private static func receive(_ socket: LoopbackSocket, until condition: ([UInt8]) -> Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        while !condition(bytes), let more = socket.receive(), !more.isEmpty { bytes += more }
        return bytes
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func webSocketHandshakesAreAnswered() async throws {
        let port = freePort()
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), settings: Self.listener(port, "protocol = \"websocket\""))
        defer { gateway.process.signal(SIGTERM) }
        try await onOwnThread {
            // No handshake at all, and one that does not ask for MQTT [MQTT-6.0.0-3].
            for request in [
                Self.handshake(), Self.handshake(Self.upgrade),
                Self.handshake(Self.upgrade, "Sec-WebSocket-Protocol: chat"),
            ] {
                let socket = try #require(LoopbackSocket(port: port))
                socket.send(request)
                let answer = Self.text(Self.receive(socket) { _ in false })
                #expect(answer.hasPrefix("HTTP/1.1 426") && answer.contains("subprotocol"), "\(answer)")
            }
            // The name asked for is the one answered [MQTT-6.0.0-4], among others too.
            let socket = try #require(LoopbackSocket(port: port))
            socket.send(Self.handshake(Self.upgrade, "Sec-WebSocket-Protocol: chat, mqtt"))
            let answer = Self.text(Self.receive(socket) { Self.text($0).contains("\r\n\r\n") })
            #expect(answer.hasPrefix("HTTP/1.1 101"), "\(answer)")
            #expect(answer.lowercased().contains("sec-websocket-protocol: mqtt\r\n"))
            #expect(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))

            // A CONNECT over three frames, with a ping between them [MQTT-6.0.0-2].
            let connect: [UInt8] = [0x10, 13, 0, 4, 0x4D, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 1, 0x61]
            socket.send(Self.frame(opcode: 2, Array(connect[..<5])))
            socket.send(Self.frame(opcode: 9, [7, 8]))
            socket.send(Self.frame(opcode: 2, Array(connect[5..<6])))
            socket.send(Self.frame(opcode: 2, Array(connect[6...]) + [0xC0, 0]))
            let expected: [UInt8] = [0x8A, 2, 7, 8, 0x82, 6, 0x20, 2, 0, 0, 0xD0, 0]
            #expect(Self.receive(socket) { $0.count >= expected.count } == expected)

            // Text frames are not MQTT [MQTT-6.0.0-1]: closed with 1003.
            socket.send(Self.frame(opcode: 1, [0xC0, 0]))
            #expect(Self.receive(socket) { _ in false } == [0x88, 2, 0x03, 0xEB])
        }
    }

    /// A connection that never gets to MQTT is closed in time, whatever lies before.
    @Test func halfAHandshakeIsNotWaitedForForever() async throws {
        let certificates = try Certificates()
        try certificates.issue("localhost", "subjectAltName=DNS:localhost")
        let (tls, webSocket) = (freePort(), freePort())
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), lan: "connect_timeout = \"300ms\"",
            settings: Self.listener(tls, Self.tls(certificates))
                + Self.listener(webSocket, "protocol = \"websocket\""))
        try await onOwnThread {
            let silent = try #require(LoopbackSocket(port: tls))
            let half = try #require(LoopbackSocket(port: webSocket))
            half.send(Array("GET /mqtt HTTP/1.1\r\nHo".utf8))
            #expect(Self.receive(silent) { _ in false } == [])
            #expect(Self.text(Self.receive(half) { _ in false }).contains("101") == false)
        }
        #expect(try await gateway.statusNumber("silent") == 2)
    }
}
