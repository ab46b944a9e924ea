import Broker
import Gateway
import Glibc
import Readings
import Settings
import TestSupport
import Testing

/// Settings with mistakes, of which the rest is used.
@Suite struct LenientSettingsTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func usable(_ text: String) throws -> (settings: GatewaySettings, errors: [String]) {
        try directory.write(text, to: "t.toml")
        let (settings, diagnostics) = SettingsLoader.loadWhatCanBeUsed(directory["t.toml"])
        return (settings, diagnostics.filter { $0.severity == .error }.map(\.description))
    }

    private func lan(_ settings: GatewaySettings) -> [String] { settings.lan.listeners.map(\.endpoint.description) }

    @Test func oneKeyOfTheLanSideIsNotAllOfIt() throws {
        let (settings, errors) = try usable(
            """
            [gateway]
            id = "gw"
            data_dir = "/tmp/x"
            [lan]
            listen = ["127.0.0.1:1", "127.0.0.1:2"]
            what is this
            max_clients = -1
            max_retained = 7
            """)
        #expect(lan(settings) == ["127.0.0.1:1", "127.0.0.1:2"] && settings.lan.maximumRetained == 7)
        #expect(settings.gateway.id == "gw" && settings.upstream == nil && errors.count == 3, "\(errors)")
    }

    /// The same goes for one mistake after another in one table, which is gone with the first.
    @Test func aTableIsTakenOutOnce() throws {
        let (settings, errors) = try usable(
            """
            [gateway]
            id = "gw"
            [lan]
            listen = ["127.0.0.1:1"]
            [upstream]
            url = "mqtt://a"
            [[listener]]
            listen = "127.0.0.1:2"
            client_ca_file = 7
            user_from = "nobody"
            [[sensor]]
            id = "a"
            driver = "none"
            interval = "soon"
            [[sensor]]
            id = "b"
            driver = "simulated"
            """)
        #expect(lan(settings) == ["127.0.0.1:1"] && settings.upstream != nil)
        #expect(settings.sensors.map(\.id.description) == ["b"] && errors.count >= 4, "\(errors)")
    }

    @Test func rulesThatAreAllWrongDoNotBringBackTheBuiltIn() throws {
        let (settings, _) = try usable(SettingsTests.minimal + "[[forward]]\nfrom = \"a/#/b\"\n")
        #expect(settings.forward.isEmpty && settings.upstream != nil)
    }

    @Test(arguments: ["", "\u{0}", "[[[", "gateway = 1\nlan = 2\nupstream = []\nclass = \"x\"\nsensor = {}\n"])
    func nothingOfUseLeavesTheDefaults(text: String) throws {
        let (settings, errors) = try usable(text)
        #expect(lan(settings) == ["127.0.0.1:1883"] && settings.upstream == nil && !errors.isEmpty)
    }

    @Test func aFileThatIsNotThereLeavesTheDefaults() {
        let (settings, diagnostics) = SettingsLoader.loadWhatCanBeUsed(directory["none.toml"])
        #expect(lan(settings) == ["127.0.0.1:1883"] && !diagnostics.isEmpty)
    }

    /// Whatever befalls the sample on the way, something comes out that can run.
    @Test(arguments: [1, UInt64.random(in: 0 ... .max)])
    func aMangledSampleIsAlwaysOfUse(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let lines = SampleSettings.text.split(separator: "\n").map { line in
            line.hasPrefix("#") && (line.contains(" = ") || line.hasPrefix("#[")) ? line.dropFirst() : line
        }
        for round in 0..<40 {
            var mangled = lines.filter { _ in Int.random(in: 0..<8, using: &random) > 0 }
            for _ in 0..<Int.random(in: 0..<12, using: &random) {
                let place = Int.random(in: 0..<mangled.count, using: &random)
                var line = Array(mangled[place].utf8)
                if !line.isEmpty {
                    line[Int.random(in: 0..<line.count, using: &random)] = UInt8.random(in: 32..<127, using: &random)
                }
                mangled[place] = Substring(decoding: line, as: UTF8.self)
            }
            let (settings, _) = try usable(mangled.joined(separator: "\n"))
            #expect(
                !settings.lan.listeners.isEmpty && !settings.gateway.dataDirectory.isEmpty, "seed \(seed), \(round)")
        }
    }
}
