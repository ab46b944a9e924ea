import Broker
import Configuration
import Glibc
import Pipeline
import Readings
import Settings
import TestSupport
import Testing
import Upstream

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

    /// The order is what decides: what an unreadable rule would have taken does not go by a wider one behind it.
    @Test(arguments: [
        "from = \"alarms/#x\"", "from = alarms/#", "from \"alarms/#\"", "", "form = \"alarms/#\"", "from = 7",
    ])
    func aRuleWithoutAReadableFromHoldsWhatStandsBehindIt(line: String) throws {
        let (settings, _) = try usable(
            SettingsTests.minimal
                + "[[forward]]\nfrom = \"a/#\"\nto = \"x\"\n[[forward]]\n\(line)\nclass = \"events\"\n"
                + "[[forward]]\nfrom = \"#\"\nto = \"y\"\n")
        #expect(rules(settings) == ["a/# telemetry x", "# held"])
        let (inline, _) = try usable(
            "forward = [{from = \"a\", to = \"x\"}, 7, {from = \"#\", to = \"y\"}]\n" + SettingsTests.minimal)
        #expect(rules(inline) == ["a telemetry x", "# held"])
    }

    /// What is written out goes by what it says; what may be meant by a hidden rule waits.
    @Test(arguments: [
        "[[forwrd]]\n", "[[bth]]\n", "[[forw ard]]\n", "[[forward x]]\n", "[[\"forward]]\n", "[[[\n", "[[fwd]]\n",
        "[forward]\n", "[rules]\n", "[[both.x y]]\n", "both = 7\n",
    ])
    func aHiddenRuleHoldsWhatNoOtherTakes(header: String) throws {
        let hidden = header + "from = \"alarms/#\"\nto = \"z\"\n"
        let visible = "[[forward]]\nfrom = \"sensors/#\"\nto = \"x\"\n"
        if header.contains("[") {
            for text in [visible + hidden, hidden + visible] {
                // The table stays a table: what was meant to be added to it is held with it.
                if header == "[forward]\n", text.hasPrefix(hidden) { continue }
                let (settings, _) = try usable(SettingsTests.minimal + text)
                #expect(rules(settings) == ["sensors/# telemetry x", "# held"], "\(text)")
                #expect(settings.upstream != nil)
            }
        } else {
            let (settings, _) = try usable(header + SettingsTests.minimal + visible)
            #expect(rules(settings) == ["sensors/# telemetry x", "# held"])
        }
    }

    /// Nobody waits for the sake of a sensor's name.
    @Test(arguments: [
        "[[senser]]\n", "[[sen sor]]\n", "[lann]\n", "[[listner]]\n", "[clas.x]\n", "[lan\u{1}]\n", "[[accpt]]\n",
    ])
    func whatIsClearlyNoRuleHoldsNothing(header: String) throws {
        let visible = "[[forward]]\nfrom = \"sensors/#\"\nto = \"x\"\n"
        let (settings, errors) = try usable(SettingsTests.minimal + visible + header + "id = \"x\"\n")
        #expect(rules(settings) == ["sensors/# telemetry x"] && !errors.isEmpty)
        let (builtIn, _) = try usable(SettingsTests.minimal + header + "id = \"x\"\n")
        #expect(rules(builtIn) == ["# telemetry {gateway}/{topic}"] || rules(builtIn) == ["# telemetry gw/{topic}"])
    }

    /// Whatever stands in it may be rules.
    @Test(arguments: [[UInt8]("[[forward]]\nfrom = \"alarms/#\" # \u{E9}".utf8).map { $0 == 0xC3 ? 0xFF : $0 }, nil])
    func aFragmentThatCannotBeReadHoldsWhatNoRuleTakes(bytes: [UInt8]?) throws {
        try #require(mkdir(directory["conf.d"], 0o755) == 0)
        if let bytes {
            let file = try #require(fopen(directory["conf.d/rules.toml"], "w"))
            fwrite(bytes, 1, bytes.count, file)
            fclose(file)
        } else {
            try #require(symlink("nowhere", directory["conf.d/rules.toml"]) == 0)
        }
        let (settings, errors) = try usable(SettingsTests.minimal)
        #expect(rules(settings) == ["# held"] && settings.upstream != nil && errors.count == 1, "\(errors)")
        #expect(AcceptRules(settings.accept).localTopic(for: "gw/cmd/lamp") == nil)
        let (more, _) = try usable(SettingsTests.minimal + "[[forward]]\nfrom = \"a\"\nto = \"x\"\n")
        #expect(rules(more) == ["a telemetry x", "# held"])
    }

    @Test func fragmentsThatNobodyCanListHoldWhatNoRuleTakes() throws {
        try directory.write("", to: "conf.d")
        let (settings, errors) = try usable(SettingsTests.minimal + "[[forward]]\nfrom = \"a\"\nto = \"x\"\n")
        #expect(rules(settings) == ["a telemetry x", "# held"] && errors.count == 1, "\(errors)")
    }

    /// A header that came twice has lost what stands behind it.
    @Test func whatCameTwiceIsInDoubt() throws {
        let (settings, errors) = try usable(
            "[gateway]\nlog_level = \"info\"\n[upstream]\nurl = \"mqtt://a\"\n[gateway]\nid = \"gw\"\n")
        #expect(rules(settings) == ["# held"] && settings.upstream == nil, "\(errors)")
        let (half, _) = try usable(
            "[gateway]\nid = \"gw\"\n[upstream]\nurl = \"mqtts://a\"\n[lan]\nmax_retained = 7\n[upstream]\nca_file = \"ca.pem\"\n"
        )
        #expect(half.upstream == nil && half.lan.maximumRetained == 7)
    }

    /// A command never comes out elsewhere than its rule says: perhaps it would switch something there.
    @Test(arguments: [
        ("from = \"gw/cmd/pump\"\nto = \"safe/+\"\n", true), ("from = \"gw/cmd/pump\"\n", true),
        ("from = \"gw/cmd/pump\"\nto = 7\n", true), ("from = \"gw/cmd/#/pump\"\nto = \"safe\"\n", false),
        ("from = gw/cmd/pump\nto = \"safe\"\n", false), ("from = \"$share/g/gw/cmd/pump\"\nto = \"safe\"\n", false),
        ("", false),
    ])
    func aWrongAcceptRuleLetsNothingPast(text: String, isFromRight: Bool) throws {
        let before = "[[accept]]\nfrom = \"gw/cmd/light\"\nto = \"light\"\n"
        let behind = "[[accept]]\nfrom = \"gw/cmd/#\"\nto = \"cmd/#\"\n[[both]]\nlan = \"s\"\nupstream = \"t\"\n"
        let (settings, errors) = try usable(SettingsTests.minimal + before + "[[accept]]\n\(text)" + behind)
        let accept = AcceptRules(settings.accept)
        #expect(accept.localTopic(for: "gw/cmd/light") == "light", "\(errors)")
        #expect(accept.localTopic(for: "gw/cmd/pump") == nil)
        #expect(accept.localTopic(for: "gw/cmd/other") == (isFromRight ? "cmd/other" : nil))
        #expect(accept.localTopic(for: "t") == (isFromRight ? "s" : nil))
        // Who comes all the same is told; nothing more is asked for than there was.
        let subscriptions = try #require(settings.upstream).configuration.subscriptions
        #expect(subscriptions.contains("gw/cmd/#") && !subscriptions.contains("#"), "\(subscriptions)")
        #expect(!subscriptions.contains { $0.hasPrefix("$share") })
    }

    /// The built-in rule says nothing of what a rule that cannot be found was to say.
    @Test(arguments: [
        "[[accpt]]\nfrom = \"gw/cmd/#\"\nto = \"safe/#\"\n", "[accept]\nfrom = \"gw/cmd/#\"\nto = \"safe/#\"\n",
        "[[both]]\nlan = \"a/+/#\"\nupstream = gw/#\n", "[[both]]\nlan = \"a/+/#\"\nupstream = \"gw/cmd/#\"\n", "[[[\n",
    ])
    func commandsOfAHiddenAcceptRuleStayAway(text: String) throws {
        let (settings, _) = try usable(SettingsTests.minimal + text)
        #expect(AcceptRules(settings.accept).localTopic(for: "gw/cmd/pump") == nil)
        let (one, _) = try usable(SettingsTests.minimal + "[[acept]]\n[[accept]]\nfrom = \"x\"\nto = \"y\"\n")
        #expect(AcceptRules(one.accept).localTopic(for: "x") == "y")
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
