import Broker
import Testing

/// Which web pages may connect.
@Suite struct OriginPolicyTests {
    @Test(
        arguments: [
            // Programs send none.
            ([], "gw:9001", true, true), ([], nil, true, true),
            // A page of the host itself, whatever its port.
            (["http://192.168.1.5"], "192.168.1.5:9001", true, true),
            (["http://localhost:8080"], "localhost:9001", true, true),
            (["http://[fd00::1]:80"], "[FD00::1]:9001", true, true),
            (["HTTP://Gateway.LOCAL"], "gateway.local", true, true),
            (["https://gw"], "gw:9001", true, true),
            // Others.
            (["http://evil.example"], "127.0.0.1:9001", true, false),
            (["http://localhost"], "127.0.0.1:9001", true, false),
            (["null"], "localhost:9001", true, false), (["null"], "localhost:9001", false, false),
            (["file://"], "localhost", true, false), (["http://gw", "http://gw"], "gw", true, false),
            (["http://gw"], nil, true, false), ([""], "", true, false),
            (["http://gw.evil.example"], "gw", false, false),
            // A public name can be made to lead here (DNS rebinding), which counts where no login does.
            (["http://evil.example:9001"], "evil.example:9001", true, false),
            (["http://gw.example"], "gw.example", false, true),
            (["http://1.2.3.example"], "1.2.3.example", true, false),
            // Those of the settings.
            (["https://panel.example"], "127.0.0.1:9001", true, true), (["https://PANEL.example:443"], "x", true, true),
            (["http://panel.example"], "127.0.0.1:9001", true, false),
            (["https://panel.example:8443"], "127.0.0.1:9001", true, false),
            (["https://panel.example.evil.example"], "127.0.0.1:9001", true, false),
        ] as [([String], String?, Bool, Bool)])
    func pagesMayConnectFromTheHostItselfAndFromListedOrigins(
        origins: [String], host: String?, isAnonymous: Bool, isPermitted: Bool
    ) {
        let policy = OriginPolicy(allowed: ["https://panel.example/"], isAnonymous: isAnonymous)
        #expect(policy.permits(origins: origins, host: host) == isPermitted)
    }

    @Test func aStarMeansAny() {
        let policy = OriginPolicy(allowed: ["*"], isAnonymous: true)
        #expect(policy.permits(origins: ["null"], host: nil) && policy.permits(origins: ["http://a.b"], host: "c"))
    }

    @Test(arguments: [
        ("https://panel.example.com", true), ("http://192.168.1.2:8080", true), ("http://[::1]:80", true), ("*", true),
        ("https://panel.example.com/", true), ("panel.example.com", false), ("https://", false), ("ws://a", false),
        ("https://a/b", false), ("https://*.a", false), ("", false), ("null", false), ("https://u@a", false),
    ])
    func originsInSettingsAreChecked(text: String, isOrigin: Bool) { #expect(Listener.isOrigin(text) == isOrigin) }
}
