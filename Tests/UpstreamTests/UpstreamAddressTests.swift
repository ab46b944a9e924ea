import Testing

@testable import Upstream

@Suite("UpstreamAddress")
struct UpstreamAddressTests {
    struct Good: CustomTestStringConvertible, Sendable {
        var url: String
        var transport: UpstreamAddress.Transport
        var host: String
        var port: UInt16
        var canonical: String

        var testDescription: String { url }
    }

    @Test(
        "URLs that are understood",
        arguments: [
            Good(url: "mqtt://broker", transport: .tcp, host: "broker", port: 1883, canonical: "mqtt://broker"),
            Good(url: "mqtts://broker", transport: .tls, host: "broker", port: 8883, canonical: "mqtts://broker"),
            Good(
                url: "MQTTS://b.example.com:443/", transport: .tls, host: "b.example.com", port: 443,
                canonical: "mqtts://b.example.com:443"
            ),
            Good(
                url: "mqtt://192.0.2.7:65535", transport: .tcp, host: "192.0.2.7", port: 65535,
                canonical: "mqtt://192.0.2.7:65535"
            ),
            Good(
                url: "mqtt://[2001:db8::1]", transport: .tcp, host: "2001:db8::1", port: 1883,
                canonical: "mqtt://[2001:db8::1]"
            ),
            Good(
                url: "mqtt://[fe80::1%eth0]:1884", transport: .tcp, host: "fe80::1%eth0", port: 1884,
                canonical: "mqtt://[fe80::1%eth0]:1884"
            ),
            Good(
                url: "mqtt://my_broker.local:1", transport: .tcp, host: "my_broker.local", port: 1,
                canonical: "mqtt://my_broker.local:1"
            ),
        ]
    )
    func good(_ good: Good) throws {
        let address = try UpstreamAddress(parsing: good.url)
        #expect(address == UpstreamAddress(transport: good.transport, host: good.host, port: good.port))
        #expect(address.description == good.canonical)
        #expect(try UpstreamAddress(parsing: good.canonical) == address)
    }

    @Test(
        "URLs that are refused",
        arguments: [
            ("broker:1883", .missingScheme),
            ("", .missingScheme),
            ("http://broker", .unknownScheme("http")),
            ("://broker", .unknownScheme("")),
            ("mqtt://", .missingHost),
            ("mqtt://:1883", .missingHost),
            ("mqtt://user@broker", .userInformation),
            ("mqtt://user:hunter2@broker:1883", .userInformation),
            ("mqtt://user:hun/ter2@broker", .userInformation),
            ("mqtt://broker:", .badPort("")),
            ("mqtt://broker:0", .badPort("0")),
            ("mqtt://broker:65536", .badPort("65536")),
            ("mqtt://broker:+1", .badPort("+1")),
            ("mqtt://broker:x", .badPort("x")),
            ("mqtt://2001:db8::1", .bareIPv6("2001:db8::1")),
            ("mqtt://[2001:db8::1", .badHost("[2001:db8::1")),
            ("mqtt://[2001:db8::1]x", .badHost("[2001:db8::1]x")),
            ("mqtt://[broker]", .badHost("broker")),
            ("mqtt://bro ker", .badHost("bro ker")),
            ("mqtt://-broker", .badHost("-broker")),
            ("mqtt://bröker", .badHost("bröker")),
            ("mqtt://broker/topic", .path("/topic")),
            ("mqtt://broker?x=1", .path("?x=1")),
            ("mqtt://broker:1883#x", .path("#x")),
        ] as [(String, UpstreamURLError)]
    )
    func bad(_ url: String, _ expected: UpstreamURLError) {
        #expect(throws: expected) { try UpstreamAddress(parsing: url) }
        #expect(!expected.description.contains("hunter2"))
    }

    @Test("a secret shows itself nowhere")
    func secret() throws {
        let secret = try #require(Secret(Array("hunter2".utf8)))
        var configuration = UpstreamConfiguration.test(port: 1)
        configuration.password = secret
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), "\(configuration)", dumped] {
            #expect(!text.contains("hunter2"))
        }
        #expect(Secret([1, 0]) == nil)
    }
}
