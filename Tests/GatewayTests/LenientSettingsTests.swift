import Broker
import Gateway
import Glibc
import Pipeline
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

    /// What would be sent where: `from class to`, or `from held`.
    private func rules(_ settings: GatewaySettings) -> [String] {
        settings.forward.map { rule in
            let end = rule.to.map { "\(rule.deliveryClass) \($0)\(rule.treatment == nil ? "" : " decoded")" }
            return "\(rule.from) \(end ?? "held")"
        }
    }

    /// Neither the built-in rule takes what they would have taken, nor is it acknowledged and dropped.
    @Test(arguments: [
        "[[forward]]\nfrom = \"a/#/b\"\nto = \"x\"\n", "[[forward]]\n", "[[forward]]\nform = \"a\"\nto = \"x\"\n",
        "[[forw ard]]\nfrom = \"a\"\nto = \"x\"\n", "[[foward]]\nfrom = \"a\"\nto = \"x\"\n",
        "[forward]\nfrom = \"a\"\n",
        "[[both]]\nlan = \"a+b\"\nupstream = \"x\"\n",
    ])
    func whatIsWrongInRulesIsHeld(text: String) throws {
        let (settings, errors) = try usable(SettingsTests.minimal + text)
        #expect(rules(settings) == ["# held"] && settings.upstream != nil && !errors.isEmpty, "\(errors)")
        let (top, _) = try usable("forward = [1]\n" + SettingsTests.minimal)
        #expect(rules(top) == ["# held"])
    }

    @Test func aRuleWhoseEndsAreRightStays() throws {
        let (settings, errors) = try usable(
            SettingsTests.minimal + """
                [[forward]]
                from = "a"
                to = "x"
                class = "evnts"
                [[forward]]
                from = "b"
                to = "x"
                decode = "json"
                scale = "much"
                [[forward]]
                from = "c"
                to = "x"
                decode = json
                [[forward]]
                from = "d/+"
                to = "x/+/+"
                [[forward]]
                from = "e"
                to = "x"
                decode = "number"
                class = "events"
                [[both]]
                lan = "f"
                upstream = "+"
                """)
        #expect(
            rules(settings) == [
                "a telemetry x", "b telemetry x", "c telemetry x", "d/+ held", "e events x decoded", "f held",
            ] && errors.count == 5, "\(errors)")
    }

    /// Under the host's name, or in another folder, it would be another gateway.
    @Test(arguments: [
        "[gateway]\nid = \"a/b\"\n", "[gateway]\nid = gw\n", "[gateway]\nid \"gw\"\n", "[gateway]\nname = \"gw\"\n",
        "[gateway\n[gateway]\nid = \"gw\"\n", "[gate way]\nid = \"gw\"\n", "[gatway]\nid = \"gw\"\n", "gateway = 7\n",
        "[gateway]\nid = \"gw\"\ndata_dir = \"x\"\n", "[gateway]\nid = \"gw\"\ndir_data = \"/x\"\n",
    ])
    func aDoubtfulIdentityHoldsEverything(text: String) throws {
        let (settings, errors) = try usable(
            text + "[upstream]\nurl = \"mqtt://a\"\n[[forward]]\nfrom = \"a\"\nto = \"x\"\n")
        #expect(rules(settings) == ["# held"] && settings.upstream == nil, "\(errors)")
        #expect(errors.last?.contains("devices wait") == true)
    }

    /// What is wrong elsewhere does not make the host's name a guess.
    @Test(arguments: ["[gateway]\nlog_level = \"loud\"\n", "[gateway]\nlog_levl = \"info\"\n", "[lan]\nlisten = 7\n"])
    func aNameThatIsNotSetIsTheHosts(text: String) throws {
        let (settings, errors) = try usable(text + "[upstream]\nurl = \"mqtt://a\"\n")
        #expect(rules(settings).count == 1 && rules(settings) != ["# held"] && settings.upstream != nil, "\(errors)")
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
