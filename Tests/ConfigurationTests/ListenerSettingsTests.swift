import Broker
import Configuration
import MQTT
import Settings
import Testing

/// `[lan]` and `[[listener]]`.
@Suite struct ListenerSettingsTests {
    private static func load(_ text: String) -> SettingsLoader.Result {
        SettingsLoader.load(
            text: "[gateway]\nid = \"gw\"\ndata_dir = \"/tmp/x\"\n[upstream]\nurl = \"mqtt://localhost\"\n\(text)",
            name: "f", directory: "/etc/tidegate")
    }

    @Test func eachListenerHasItsOwnLayersAndPolicy() throws {
        let result = Self.load(
            """
            [lan]
            listen = ["127.0.0.1:1883", "192.168.1.2:1883"]
            [[listener]]
            listen = ["0.0.0.0:8883", "[::1]:8883"]
            cert_file = "s.pem"
            key_file = "/keys/s.key"
            client_ca_file = "ca.pem"
            client_certificate = "optional"
            user_from = "san"
            [[listener]]
            listen = "unix:/run/tidegate/mqtt.sock"
            anonymous = false
            [[listener]]
            listen = "127.0.0.1:9001"
            protocol = "websocket"
            """)
        #expect(result.diagnostics.isEmpty, "\(result.diagnostics)")
        let listeners = try #require(result.settings).lan.listeners
        #expect(
            listeners.map(\.endpoint.description) == [
                "127.0.0.1:1883", "192.168.1.2:1883", "0.0.0.0:8883", "[::1]:8883", "unix:/run/tidegate/mqtt.sock",
                "127.0.0.1:9001",
            ])
        #expect(listeners.map(\.allowsAnonymous) == [true, false, false, true, false, true])
        #expect(listeners.map(\.isWebSocket) == [false, false, false, false, false, true])
        let tls = try #require(listeners[2].tls)
        #expect(tls.certificateFile == "/etc/tidegate/s.pem" && tls.keyFile == "/keys/s.key")
        #expect(tls.clientAuthorityFile == "/etc/tidegate/ca.pem" && tls.clientCertificate == .optional)
        #expect(listeners[2].userSource == .alternativeName && listeners[0].userSource == .login)
        #expect(listeners[4].tls == nil)
    }

    @Test func limitsAreTaken() throws {
        let result = Self.load(
            """
            [lan]
            max_connections = 50
            max_connections_per_address = 5
            connect_rate = 7
            max_keep_alive = "2m"
            max_subscriptions = 11
            max_sessions = 12
            max_session_expiry = "1h"
            max_queued_messages = 13
            max_queued_bytes = "14KiB"
            max_kept_bytes = "15KiB"
            max_retained = 16
            max_retained_bytes = "17KiB"
            """)
        let lan = try #require(result.settings).lan
        #expect(lan.maximumClients == 50 && lan.addressLimits.connections.value == 5)
        #expect(lan.addressLimits.connections.holdsForLoopback && lan.addressLimits.rate.value == 7)
        #expect(lan.maximumSubscriptions == 11 && lan.maximumSessions == 12 && lan.maximumSessionExpiry == 3_600)
        #expect(lan.limits.maximumKeepAlive == 120)
        #expect(lan.limits.queueCount == 13 && lan.limits.queueBytes == 14 << 10 && lan.maximumKeptBytes == 15 << 10)
        #expect(lan.maximumRetained == 16 && lan.maximumRetainedBytes == 17 << 10)
    }

    /// Whoever opens the gateway to the network is told so, and may.
    @Test(arguments: [
        ("[lan]\nlisten = [\"0.0.0.0:1883\"]\nanonymous = true", true),
        ("[lan]\nlisten = [\"0.0.0.0:1883\"]", false),
        ("[lan]\nanonymous = true", false),
        ("[[listener]]\nlisten = \"[::]:1883\"\nanonymous = true", true),
        ("[[listener]]\nlisten = \"unix:/tmp/s\"\nanonymous = true", false),
        (
            "[[listener]]\nlisten = \"0.0.0.0:1\"\nanonymous = true\ncert_file = \"c\"\nkey_file = \"k\"\n"
                + "client_ca_file = \"a\"", false
        ),
    ])
    func openListenersAreWarnedOf(text: String, isOpen: Bool) {
        let result = Self.load(text)
        #expect(result.settings != nil)
        #expect(result.diagnostics.contains { $0.severity == .warning } == isOpen, "\(result.diagnostics)")
    }

    @Test(arguments: [
        ("[lan]\nlisten = [\"1883\"]", "f:7:11"), ("[lan]\nlisten = []", "f:7:10"),
        ("[[listener]]\nlisten = \"unix:mqtt.sock\"", "f:7:10"), ("[[listener]]\nprotocol = \"mqtt\"", "f:6:1"),
        ("[[listener]]\nlisten = \"a:1\"\ncert_file = \"c\"", "f:8:13"),
        ("[[listener]]\nlisten = \"a:1\"\nclient_ca_file = \"c\"", "f:8:18"),
        ("[[listener]]\nlisten = \"a:1\"\ncert_file = \"c\"\nkey_file = \"k\"\nuser_from = \"san\"", "f:10:13"),
        ("[[listener]]\nlisten = \"unix:/tmp/s\"\ncert_file = \"c\"\nkey_file = \"k\"", "f:8:13"),
        ("[[listener]]\nlisten = \"a:1\"\nprotocol = \"http\"", "f:8:12"),
    ])
    func mistakesAreNamedWithTheirPlace(text: String, place: String) {
        let result = Self.load(text)
        #expect(result.settings == nil)
        #expect(
            result.diagnostics.contains { $0.severity == .error && $0.description.hasPrefix(place) },
            "\(result.diagnostics)")
    }
}
