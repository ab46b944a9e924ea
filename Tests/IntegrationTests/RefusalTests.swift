import Synchronization
import TestSupport
import Testing

/// What is refused is said at the default log level, in `status` and in `doctor`, on the real binary.
@Suite(.timeLimit(.minutes(3))) struct RefusalTests {
    private static func lines(_ gateway: TidegateProcess, _ text: String) -> [Substring] {
        gateway.process.errors.split(separator: "\n").filter { $0.contains(text) }
    }

    private static func pub(_ port: Int, _ words: String...) async throws {
        _ = try await runToEnd(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(port)", "-q", "1", "-t", "t", "-m", "x"] + words)
    }

    private static func words(_ gateway: TidegateProcess, _ command: String) async throws -> String {
        try await runToEnd([TidegateProcess.binary, command, "--config", gateway.settingsPath]).output
    }

    /// Any page that a browser on that machine shows could speak to the listener otherwise (RFC 6455 §10.2).
    @Test func webPagesOfOtherOriginsGetNothing() async throws {
        let port = freePort()
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(),
            settings: """
                [[listener]]
                listen = "127.0.0.1:\(port)"
                protocol = "websocket"
                origins = ["https://panel.example.com"]

                """)
        func answer(_ origin: String?, host: String = "127.0.0.1:9001") async throws -> String {
            var lines = [
                "GET /mqtt HTTP/1.1", "Host: \(host)", "Upgrade: websocket", "Connection: Upgrade",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Protocol: mqtt",
            ]
            if let origin { lines.append("Origin: \(origin)") }
            let request = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
            let received = Mutex<[UInt8]>([])
            try await onOwnThread {
                let socket = try #require(LoopbackSocket(port: port))
                socket.send(request)
                while !received.withLock({ String(decoding: $0, as: UTF8.self) }).contains("\r\n\r\n"),
                    let more = socket.receive(), !more.isEmpty
                { received.withLock { $0 += more } }
            }
            return received.withLock { String(decoding: $0, as: UTF8.self) }
        }
        for origin in ["https://evil.example", "null", "http://evil.example:9001"] {
            let text = try await answer(origin)
            #expect(text.hasPrefix("HTTP/1.1 403 "), "\(origin): \(text)")
        }
        #expect(try await answer("http://evil.example", host: "evil.example:9001").hasPrefix("HTTP/1.1 403 "))
        for origin in [nil, "http://127.0.0.1", "https://panel.example.com"] {
            let text = try await answer(origin)
            #expect(text.hasPrefix("HTTP/1.1 101 "), "\(origin ?? "none"): \(text)")
        }
        let told = Self.lines(gateway, "a WebSocket handshake was refused")
        #expect(told.contains { $0.contains("https://evil.example") && $0.contains("address=127.0.0.1") }, "\(told)")
        #expect(told.contains { $0.contains("null") && $0.contains("origins = ") })
    }

    @Test func refusedLoginsAndHandshakesAreLoggedOnceABurst() async throws {
        let certificates = try Certificates()
        try certificates.issue("localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        let (tls, closed) = (freePort(), freePort())
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(),
            settings: """
                [[listener]]
                listen = "127.0.0.1:\(tls)"
                cert_file = "\(certificates.certificate("localhost"))"
                key_file = "\(certificates.key("localhost"))"
                [[listener]]
                listen = "127.0.0.1:\(closed)"
                anonymous = false

                """)
        #expect(try await gateway.device(["add", "anna"], input: "right\n").ending == .exited(0))
        for _ in 0..<3 { try await Self.pub(closed, "-u", "anna", "-P", "wrong", "-i", "pump-7") }
        let logins = Self.lines(gateway, "a login was refused").filter { $0.contains("user=anna") }
        #expect(logins.count == 1, "\(logins)")
        #expect(
            logins[0].contains("address=127.0.0.1") && logins[0].contains("client=pump-7")
                && logins[0].contains("wrong password") && logins[0].contains("127.0.0.1:\(closed)"))
        try await Self.pub(closed)
        #expect(Self.lines(gateway, "a login was refused").contains { $0.contains("tidegate device add") })

        // Plain MQTT where TLS is spoken, and the other way round.
        try await Self.pub(tls)
        #expect(
            await eventually {
                Self.lines(gateway, "a TLS handshake failed").contains {
                    $0.contains("no TLS") && $0.contains("127.0.0.1:\(tls) (TLS)") && $0.contains("address=127.0.0.1")
                }
            }, "\(gateway.process.errors)")
        // A client that does not know the authority says so.
        try certificates.makeAuthority("strange")
        try await Self.pub(tls, "--cafile", certificates.certificate("strange"))
        #expect(
            await eventually {
                Self.lines(gateway, "a TLS handshake failed").contains {
                    $0.contains("authority") || $0.contains("accept")
                }
            }, "\(gateway.process.errors)")
        try await Self.pub(gateway.lanPort, "--cafile", certificates.authority)
        #expect(
            await eventually {
                Self.lines(gateway, "broke the protocol").contains {
                    $0.contains("TLS came where MQTT is spoken") && $0.contains("127.0.0.1:\(gateway.lanPort)")
                }
            }, "\(gateway.process.errors)")
    }

    @Test func whatIsDeniedAndWhatNoRuleTakesIsShown() async throws {
        let gateway = try await TidegateProcess(
            upstreamPort: freePort(), settings: "[[forward]]\nfrom = \"up/#\"\nto = \"{gateway}/{topic}\"\n")
        try await gateway.publish("local/lamp", "on")
        #expect(try await gateway.device(["allow", "readwrite", "pumps/#"]).ending == .exited(0))
        for _ in 0..<3 { try await gateway.publish("valves/1", "open") }
        let status = try await Self.words(gateway, "status")
        #expect(status.contains("a client without a user name may not publish to valves/1, 3 times"), "\(status)")
        #expect(status.contains("no rule takes local/lamp, 1 messages"), "\(status)")
        let doctor = try await Self.words(gateway, "doctor")
        #expect(doctor.contains("may not publish to valves/1 (3 times)"), "\(doctor)")
        #expect(doctor.contains("tidegate device allow") && doctor.contains("local/lamp (1)"), "\(doctor)")
        #expect(Self.lines(gateway, "the access rules deny").contains { $0.contains("valves/1") })
        #expect(Self.lines(gateway, "the access rules deny").count == 1)
    }
}
