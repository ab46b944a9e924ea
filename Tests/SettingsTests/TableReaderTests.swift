import Settings
import Testing

@Suite struct TableReaderTests {
    static let keys: [Key] = [
        .string("name", required: true, example: "\"x\"", "A name."),
        .strings("listen", default: ["a", "b"], "Places."),
        .integer("count", in: 1...10, default: 3, "A count."),
        .number("factor", default: 1.5, "A factor."),
        .boolean("on", default: true, "A switch."),
        .duration("pause", in: .milliseconds(1)...(.seconds(60)), default: "250ms", "A pause."),
        .byteSize("room", in: 1...1_000_000, default: "64KiB", "A size."),
        .choice("kind", ["red", "green"], default: "red", "A kind."),
    ]

    static func read(_ text: String) -> (TableReader, Diagnostics) {
        let diagnostics = Diagnostics()
        let table = TOMLParser.parse(text, file: "f", into: diagnostics)
        return (TableReader(table, keys: keys, path: "[t]", diagnostics: diagnostics), diagnostics)
    }

    @Test func defaultsHoldWhereNothingIsSet() {
        let (reader, diagnostics) = Self.read("name = \"n\"")
        #expect(diagnostics.list.isEmpty)
        #expect(reader.strings("listen") == ["a", "b"])
        #expect(reader.integer("count") == 3)
        #expect(reader.number("factor") == 1.5)
        #expect(reader.boolean("on") == true)
        #expect(reader.duration("pause") == .milliseconds(250))
        #expect(reader.byteSize("room") == 65_536)
        #expect(reader.choice("kind") == "red")
        #expect(!reader.has("kind"))
    }

    @Test func valuesAreTaken() {
        let (reader, diagnostics) = Self.read(
            "name = 'n'\nlisten = 'one'\ncount = 10\nfactor = 2\non = false\npause = '1m'\nroom = '1MB'\nkind = 'green'"
        )
        #expect(diagnostics.list.isEmpty)
        #expect(reader.strings("listen") == ["one"])
        #expect(reader.integer("count") == 10)
        #expect(reader.number("factor") == 2)
        #expect(reader.boolean("on") == false)
        #expect(reader.duration("pause") == .seconds(60))
        #expect(reader.byteSize("room") == 1_000_000)
        #expect(reader.choice("kind") == "green")
    }

    @Test(arguments: [
        ("count = 1", "f:1:1: error: [t] needs the key \"name\", as in name = \"x\""),
        ("name = 1", "f:1:8: error: name: expected a string in quotes, found the number 1"),
        ("nmae = 'x'\nname = 'x'", "f:1:1: error: unknown key \"nmae\" in [t]; did you mean \"name\"?"),
        ("name = 'x'\ncount = 11", "f:2:9: error: count: expected a whole number from 1 to 10, found the number 11"),
        ("name = 'x'\ncount = 1.5", "f:2:9: error: count: expected a whole number from 1 to 10, found the number 1.5"),
        ("name = 'x'\nfactor = nan", "f:2:10: error: factor: expected a finite number, found the number nan"),
        ("name = 'x'\non = 1", "f:2:6: error: on: expected true or false, found the number 1"),
        (
            "name = 'x'\npause = 250",
            "f:2:9: error: pause: expected a duration as a string with its unit, such as \"250ms\", \"20s\" or \"30d\", found the number 250"
        ),
        (
            "name = 'x'\npause = '2m'",
            "f:2:9: error: pause: expected a duration from 1ms to 1m, found the string \"2m\""
        ),
        ("name = 'x'\nroom = '2MB'", "f:2:8: error: room: expected a size from 1B to 1MB, found the string \"2MB\""),
        (
            "name = 'x'\nkind = 'grene'",
            "f:2:8: error: kind: \"grene\" is not one of \"red\", \"green\"; did you mean \"green\"?"
        ),
        (
            "name = 'x'\nlisten = ['a', 1]",
            "f:2:16: error: listen: expected only strings in the array, found the number 1"
        ),
    ])
    func mistakesAreTold(text: String, expected: String) {
        let (_, diagnostics) = Self.read(text)
        #expect(diagnostics.list.map(\.description) == [expected])
    }

    @Test(arguments: [
        ("250ms", 250_000_000), ("1.5s", 1_500_000_000), ("1h30m", 5_400_000_000_000), ("30d", 2_592_000_000_000_000),
        ("7us", 7_000), ("0s", 0), ("0.1d", 8_640_000_000_000), ("1d2h3m4s5ms", 93_784_005_000_000),
        ("9007199.254740993s", 9_007_199_254_740_993), ("9223372036854775807ns", .max), ("2 min", 120_000_000_000),
    ])
    func durations(text: String, nanoseconds: Int64) {
        #expect(Quantity.duration(text) == .nanoseconds(nanoseconds))
    }

    @Test(arguments: [
        "", "5", "s", "5 parsecs", "-1s", "1e3s", "99999999999d", "1.2.3s", "5sx", ".5s", "5.s", "30m1h", "1s1s",
        "9223372036854775808ns", "106751d24h", "5S", "٣s", "1h ", "5µs", "0x5s", "+5s", "1_0s",
    ])
    func notDurations(text: String) { #expect(Quantity.duration(text) == nil) }

    @Test(arguments: [
        ("512B", 512), ("64KiB", 65_536), ("200MB", 200_000_000), ("1.5GB", 1_500_000_000),
        ("1KB", 1_000), ("1kB", 1_000), ("2MiB", 2_097_152), ("1GiB", 1_073_741_824),
        ("8388607TiB", 9_223_370_937_343_148_032),
    ])
    func sizes(text: String, bytes: Int64) {
        #expect(Quantity.byteSize(text) == bytes)
        #expect(Quantity.byteSize(Quantity.text(bytes)) == bytes)
    }

    @Test(arguments: [
        "", "5", "5mb", "9999999999TB", "1MB2", "MB", "8388608TiB", "-1B", "1.MB", "1mib", "1 M B",
        "9223372036854775.808kB",
    ])
    func notSizes(text: String) { #expect(Quantity.byteSize(text) == nil) }

    @Test func laterFilesGoOverEarlierOnes() {
        let diagnostics = Diagnostics()
        var document = SettingsDocument(
            TOMLParser.parse("[g]\nid = 'a'\nkeep = 1\n[[s]]\nx = 1\n[t]\n", file: "main", into: diagnostics))
        document.merge(
            TOMLParser.parse("[g]\nid = 'b'\n[[s]]\nx = 2\n", file: "more", into: diagnostics), into: diagnostics)
        #expect(diagnostics.list.isEmpty)
        #expect(TOMLParserTests.render(.table(document.root)) == "{g:{id:\"b\",keep:1},s:[{x:1},{x:2}],t:{}}")
        document.merge(TOMLParser.parse("t = 5", file: "bad", into: diagnostics), into: diagnostics)
        #expect(
            diagnostics.list.map(\.description) == [
                "bad:1:5: error: \"t\" is the number 5 here, but a table at main:6:1"
            ])
    }

    @Test(arguments: [
        ("listn", "listen"), ("di", "id"), ("LISTEN", "listen"), ("prot", "port"), ("password", "password_file"),
        ("max-bytes", "max_bytes"), ("zzzz", nil), ("file", nil), ("", nil), ("x", nil),
        (String(repeating: "listen", count: 1_000), nil),
    ])
    func nearNamesAreFound(name: String, nearest: String?) {
        let known = ["listen", "id", "port", "password_file", "key_file", "max_bytes", "y"]
        #expect(NearestName.of(name, among: known) == nearest)
    }

    @Test func knownNamesAreListedWhereNoneIsNear() {
        let (_, diagnostics) = Self.read("name = 'x'\n\"a\\nb\" = 1\n")
        #expect(
            diagnostics.list.map(\.description) == [
                #"f:2:1: error: unknown key "a\nb" in [t]; known are "name", "listen", "count", "factor", "on", "pause", "room", "kind""#
            ])
    }

    @Test func whatCouldNotBeReadIsNotCalledMissing() {
        let (reader, diagnostics) = Self.read("name = oops\ncount = 11\n")
        #expect(diagnostics.list.map { $0.position?.line } == [1, 2])
        #expect(reader.has("name"))
        #expect(reader.string("name") == nil)
        #expect(reader.position("name").line == 1)
    }

    @Test(arguments: [
        ("[t", "f:1:3"), ("t = { name = ", "f:1:14"), ("[t]\nname = \"x", "f:2:8"), ("t = 5", "f:1:5"),
        ("[\"t", "f:1:2"),
    ])
    func aTableThatCouldNotBeReadMissesNothing(text: String, place: String) {
        let diagnostics = Diagnostics()
        let document = SettingsDocument(TOMLParser.parse(text, file: "f", into: diagnostics))
        let table = document.table("t", into: diagnostics)
        if text != "[t" { _ = TableReader(table, keys: Self.keys, path: "[t]", diagnostics: diagnostics) }
        #expect(diagnostics.list.map { "\($0.position, default: "-")" } == [place])
    }

    @Test(arguments: [
        ("[[s]]\nx = 1", "[[s]]\nx = 2", "{s:[{x:1},{x:2}]}", nil),
        ("s = []", "[[s]]\nx = 2", "{s:[{x:2}]}", nil),
        ("[[s]]\nx = 1", "s = []", "{s:[{x:1}]}", nil),
        ("a = [1]", "a = [2]", "{a:[2]}", nil),
        ("a = 1", "a = 'x'", "{a:\"x\"}", nil),
        ("[a.b]\nx = 1\ny = 1", "a.b.y = 2\na.c = 3", "{a:{b:{x:1,y:2},c:3}}", nil),
        ("a = { x = 1 }", "[a]\ny = 2", "{a:{x:1,y:2}}", nil),
        (
            "[[s]]\nx = 1", "s = 5", "{s:[{x:1}]}",
            "b:1:5: error: \"s\" is the number 5 here, but an array of tables at a:1:1"
        ),
        ("[s]\nx = 1", "[[s]]", "{s:{x:1}}", "b:1:1: error: \"s\" is an array of tables here, but a table at a:1:1"),
        ("s = 1", "[s]", "{s:1}", "b:1:1: error: \"s\" is a table here, but the number 1 at a:1:5"),
        ("s = ['x']", "[[s]]", "{s:[\"x\"]}", "b:1:1: error: \"s\" is an array of tables here, but an array at a:1:5"),
    ])
    func filesAreMerged(first: String, second: String, merged: String, error: String?) {
        let diagnostics = Diagnostics()
        var document = SettingsDocument(TOMLParser.parse(first, file: "a", into: diagnostics))
        document.merge(TOMLParser.parse(second, file: "b", into: diagnostics), into: diagnostics)
        #expect(TOMLParserTests.render(.table(document.root)) == merged)
        #expect(diagnostics.list.map(\.description) == (error.map { [$0] } ?? []))
    }

    @Test func mergedValuesKeepTheirFiles() {
        let diagnostics = Diagnostics()
        var document = SettingsDocument(TOMLParser.parse("[t]\nx = 1\ny = 2\n", file: "a", into: diagnostics))
        document.merge(TOMLParser.parse("\n[t]\ny = 3\n", file: "b", into: diagnostics), into: diagnostics)
        let table = document.table("t", into: diagnostics)
        #expect(table.entries.map { "\($0.keyPosition) \($0.node.position)" } == ["a:2:1 a:2:5", "b:3:1 b:3:5"])
    }

    /// What would need an escape in TOML gets it, and the sample stays valid.
    @Test func theSampleQuotesWhatItShows() {
        let keys: [Key] = [
            .string("path", default: "C:\\x \"y\"\n", "A\npath."), .strings("list", default: ["'", "\""], "A list."),
            .choice("driver", ["a\"b"], required: true, "What."),
        ]
        let text = SampleText.render(
            [Section(.table("t"), "A table.", keys: keys, fixed: ["driver": "a\"b"])], heading: "H", active: ["t"])
        let opened = text.split(separator: "\n").map { $0.hasPrefix("#") && !$0.hasPrefix("# ") ? $0.dropFirst() : $0 }
            .filter { !$0.hasPrefix(" ") }
        for version in [text, opened.joined(separator: "\n")] {
            let diagnostics = Diagnostics()
            let document = SettingsDocument(TOMLParser.parse(version, file: "f", into: diagnostics))
            let reader = TableReader(
                document.table("t", into: diagnostics), keys: keys, path: "[t]", diagnostics: diagnostics)
            #expect(diagnostics.list == [])
            #expect(reader.string("path") == "C:\\x \"y\"\n")
            #expect(reader.strings("list") == ["'", "\""])
            #expect(reader.choice("driver") == "a\"b")
        }
    }
}
