import Broker
import Configuration
import Glibc
import Outbox
import Pipeline
import Readings
import Settings
import TestSupport
import Testing
import Upstream

@Suite struct SettingsTests {
    static let minimal = "[gateway]\nid = \"gw\"\ndata_dir = \"/tmp/x\"\n[upstream]\nurl = \"mqtt://localhost\"\n"

    static func errors(_ text: String) -> [String] {
        SettingsLoader.load(text: text, name: "f").diagnostics.filter { $0.severity == .error }.map(\.description)
    }

    @Test func fewLinesAreEnough() throws {
        let settings = try #require(SettingsLoader.load(text: Self.minimal, name: "f").settings)
        #expect(settings.gateway.id == "gw")
        #expect(settings.lan.listeners.map(\.endpoint.description) == ["127.0.0.1:1883"])
        #expect(settings.forward.map(\.from.description) == ["#"])
        #expect(settings.accept.map(\.from.description) == ["gw/cmd/#"])
        #expect(settings.upstream?.configuration.subscriptions == ["gw/cmd/#"])
        #expect(settings.classes == ClassLimits.builtIn)
    }

    /// Every key of every section stands in the sample with its default, and the sample is valid as it is.
    @Test func theSampleNamesEveryKeyAndIsValid() throws {
        let text = SampleSettings.text
        #expect(Self.errors(text) == [])
        for section in SettingsKeys.sections {
            let header =
                switch section.form {
                case .table(let name): "[\(name)]"
                case .named(let name, let example): "[\(name).\(example)]"
                case .array(let name): "[[\(name)]]"
                }
            for key in section.keys {
                #expect(
                    text.split(separator: "\n").contains {
                        $0.hasPrefix("\(key.name) = ") || $0.hasPrefix("#\(key.name) = ")
                    },
                    "\(header) \(key.name) is missing")
            }
            #expect(text.contains("\n\(header)\n") || text.contains("\n#\(header)\n"), "\(header) is missing")
        }
    }

    /// A driver's key that every sensor has already would mean two things at once.
    @Test func noKeyMeansTwoThings() {
        for section in SettingsKeys.sections {
            let names = section.keys.map(\.name)
            #expect(Set(names).count == names.count, "\(section.fixed): \(names.sorted())")
        }
    }

    /// The file in the repository is the one the program prints.
    @Test func theShippedSampleIsUpToDate() {
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        #expect(textOfFile("\(root)/tidegate.sample.toml") == SampleSettings.text)
    }

    /// Each optional key of the sample, taken alone out of its comment, is valid where it stands.
    @Test func everyDefaultInTheSampleIsValid() {
        let lines = SampleSettings.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        // Whole commented-out sections are opened; keys that only make sense with another stay comments.
        let dependent = [
            "password_file", "ca_file", "cert_file", "key_file", "fields", "separator", "pattern", "unit", "scale",
            "offset",
            "client_ca_file", "client_certificate", "origins", "user_from", "usb", "rs485_before", "rs485_after",
            "pin", "chip_offset", "start", "end", "escape", "escape_mask", "length", "length_at", "length_type",
            "length_adds", "silence", "checksum", "checksum_order", "checksum_from", "values", "request_hex",
            "interval",
            "timeout", "retries", "file", "speed", "loop",
            "deadband", "max_silence", "decode", "username", "client_id", "topic", "id", "command_topic",
        ]
        var isFirstSensor = true
        let opened = lines.map { line -> String in
            if line.hasPrefix("#[") { return String(line.dropFirst()) }
            guard line.hasPrefix("#"), let equals = line.firstRange(of: " = ") else { return line }
            let key = line[line.index(after: line.startIndex)..<equals.lowerBound]
            guard !key.contains(" ") else { return line }
            if key == "id" {
                defer { isFirstSensor = false }
                return "id = \"\(isFirstSensor ? "a" : "b\(line.count)\(Int.random(in: 0...Int.max))")\""
            }
            // Each sensor of the sample is meant for itself: together they may not want the same.
            if key == "port" { return "port = \"/dev/\(Int.random(in: 0...Int.max))\"" }
            if key == "line" { return "line = \"GPIO\(Int.random(in: 0...Int.max))\"" }
            return dependent.contains(String(key)) ? line : String(line.dropFirst())
        }
        #expect(Self.errors(opened.joined(separator: "\n").replacing("{gateway}/cmd/#", with: "x/cmd/#")) == [])
    }

    @Test(arguments: [
        ("[upstream]\nurl = \"mqtt://u:p@h\"\n", "f:2:7: error: url: "),
        ("[upstream]\n", "f:1:1: error: [upstream] needs the key \"url\""),
        (minimal + "password_file = \"p\"\n", "f:6:17: error: password_file needs a username beside it"),
        (minimal + "ca_file = \"p\"\n", "f:6:11: error: ca_file has a meaning only with mqtts:// in url"),
        (minimal + "reconnect_min = \"61s\"\n", "f:6:17: error: reconnect_min is longer than reconnect_max"),
        (minimal + "[lan]\nlisten = [\"127.0.0.1:1\", \"x\"]\n", "f:7:26: error: listen: expected host:port"),
        (
            minimal + "[[sensor]]\nid = \"a\"\ndriver = \"gpio-output\"\nline = \"GPIO1\"\n[[sensor]]\nid = \"b\"\n"
                + "driver = \"gpio-output\"\nline = \"GPIO2\"\ncommand_topic = \"cmd/a\"\n",
            "f:14:17: error: command_topic: \"cmd/a\" commands sensor \"a\" already"
        ),
        (
            minimal + "[[sensor]]\nid = \"a\"\ndriver = \"gpio\"\nline = \"GPIO1\"\n[[sensor]]\nid = \"b\"\n"
                + "driver = \"gpio-counter\"\nline = \"GPIO1\"\n",
            "f:11:6: error: sensor \"b\" wants the GPIO line GPIO1, which sensor \"a\" has"
        ),
        (
            minimal
                + "[[sensor]]\nid = \"a\"\ndriver = \"modbus\"\nport = \"/x\"\nslave = 1\nregisters = \"a coil 1\"\n"
                + "[[sensor]]\nid = \"b\"\ndriver = \"modbus\"\nport = \"/x\"\nbaud = 19200\nslave = 2\nregisters = \"a coil 1\"\n",
            "f:13:6: error: sensor \"b\" wants the port /x, which sensor \"a\" has (Modbus, 9600 8N1)"
        ),
        (
            minimal + "[[sensor]]\nid = \"a\"\ndriver = \"simulated\"\nstale_after = \"500ms\"\n",
            "f:9:15: error: stale_after: the sensor measures every 1s; its values would always be stale"
        ),
        (minimal + "[[forward]]\nfrom = \"a\"\nunit = \"V\"\n", "f:8:8: error: unit has a meaning only with decode"),
        (
            minimal + "[[forward]]\nfrom = \"a\"\nto = \"{tpoic}\"\n",
            "f:8:6: error: to: \"{tpoic}\" is not a placeholder"
        ),
        (minimal + "[class.\"a b\"]\n", "f:6:1: error: \"a b\": expected 1 to 32 letters"),
        (
            minimal + "[[sensor]]\nid = \"s\"\ndriver = \"simulated\"\ndecode = \"csv\"\n",
            "f:9:10: error: decode = \"csv\" needs the names of the columns"
        ),
        (
            minimal + "[[sensor]]\nid = \"s\"\ndriver = \"simulated\"\nminimum = 2\n",
            "f:9:11: error: minimum: expected a number below maximum"
        ),
        (minimal + "[[sensor]]\nid = \"s\"\ndriver = \"gpio\"\n", "f:6:1: error: [[sensor]] needs the key \"line\""),
        (minimal + "sensor = 5\n", "f:6:1: error: unknown key \"sensor\" in [upstream]"),
        (
            "sensor = 5\n" + minimal,
            "f:1:10: error: \"sensor\": expected an array of tables, [[sensor]], found the number 5"
        ),
    ])
    func mistakesAreTold(text: String, expected: String) {
        let errors = Self.errors(text)
        #expect(errors.count == 1 && errors[0].hasPrefix(expected), "\(errors)")
    }

    @Test func rulesForBothWaysAreOneOfEach() throws {
        let text = Self.minimal + "[[both]]\nlan = \"a/+/#\"\nupstream = \"{gateway}/x/+/#\"\nclass = \"events\"\n"
        let result = SettingsLoader.load(text: text, name: "f")
        let settings = try #require(result.settings)
        #expect(result.diagnostics.isEmpty)
        // The built-in rules stand behind it.
        #expect(settings.forward.map(\.from.description) == ["a/+/#", "#"])
        #expect(settings.forward.map(\.deliveryClass) == [.events, .telemetry])
        #expect(settings.accept.map(\.from.description) == ["gw/x/+/#", "gw/cmd/#"])
        let match = try #require(settings.forward[0].from.match("a/b/c/d"))
        #expect(settings.forward[0].to?.expand(topic: "a/b/c/d", device: "", match: match) == "gw/x/b/c/d")
        #expect(AcceptRules(settings.accept).localTopic(for: "gw/x/b/c/d") == "a/b/c/d")
        // What one way gives up the other way cannot give back.
        #expect(
            Self.errors(Self.minimal + "[[both]]\nlan = \"a/#\"\nupstream = \"b\"\n")
                == ["f:7:7: error: lan: \"#\" stands for nothing: the \"from\" filter has fewer of them"])
    }

    @Test(arguments: [
        ("[[forward]]\nfrom = \"a/#\"\n[[forward]]\nfrom = \"a/b\"\n", "f:8:1: warning: this rule is never used"),
        (
            "[[accept]]\nfrom = \"a/+/c\"\nto = \"l/+\"\n[[accept]]\nfrom = \"a/b/+\"\nto = \"m/+\"\n",
            "f:9:1: warning: this rule and the accept rule \"a/+/c\" at line 6 match the same topics"
        ),
        (
            "[[forward]]\nfrom = \"x/#\"\nto = \"y/#\"\n[[accept]]\nfrom = \"y/z/#\"\nto = \"x/z/#\"\n",
            "f:9:1: warning: this rule brings down what the forward rule \"x/#\" at line 6 sends up: a loop"
        ),
    ])
    func rulesThatMakeNoSenseTogetherAreWarnedAbout(text: String, expected: String) {
        let result = SettingsLoader.load(text: Self.minimal + text, name: "f")
        #expect(result.settings != nil)
        #expect(
            result.diagnostics.count == 1 && "\(result.diagnostics[0])".hasPrefix(expected), "\(result.diagnostics)")
    }

    @Test func filtersThatAnotherOneCoversAreNotSubscribedTo() throws {
        let rules = ["a/b", "a/#", "c", "c"].map { "[[accept]]\nfrom = \"\($0)\"\nto = \"x\"\n" }.joined()
        let result = SettingsLoader.load(text: Self.minimal + "time_topic = \"a/time\"\n" + rules, name: "f")
        #expect(try #require(result.settings).upstream?.configuration.subscriptions == ["a/#", "c"])
    }

    @Test func fragmentsAreMergedInTheOrderOfTheirNames() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(Self.minimal, to: "tidegate.toml")
        try #require(mkdir(directory["conf.d"], 0o755) == 0)
        try directory.write("[gateway]\nid = \"late\"\n", to: "conf.d/20-late.toml")
        try directory.write(
            "[gateway]\nid = \"early\"\n[[accept]]\nfrom = \"a\"\nto = \"b\"\n", to: "conf.d/10-early.toml")
        try directory.write("not read", to: "conf.d/readme.txt")
        let result = SettingsLoader.load(path)
        #expect(result.files == [path, directory["conf.d/10-early.toml"], directory["conf.d/20-late.toml"]])
        #expect(result.settings?.gateway.id == "late")
        try directory.write("[gateway]\nidd = 1\n", to: "conf.d/30-bad.toml")
        #expect(
            SettingsLoader.load(path).diagnostics.map { "\($0)" }.first?.hasPrefix(
                "\(directory["conf.d/30-bad.toml"]):2:1") == true)
    }

    @Test func aSensorNobodyForwardsIsWarnedAbout() {
        let result = SettingsLoader.load(
            text: Self.minimal + "[[forward]]\nfrom = \"x\"\n[[sensor]]\nid = \"s\"\ndriver = \"simulated\"\n",
            name: "f")
        #expect(result.settings != nil)
        #expect(result.diagnostics.map(\.severity) == [.warning])
    }
}
