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
        ("7us", 7_000), ("0s", 0),
    ])
    func durations(text: String, nanoseconds: Int64) {
        #expect(Quantity.duration(text) == .nanoseconds(nanoseconds))
    }

    @Test(arguments: ["", "5", "s", "5 parsecs", "-1s", "1e3s", "99999999999d", "1.2.3s", "5sx"])
    func notDurations(text: String) { #expect(Quantity.duration(text) == nil) }

    @Test(arguments: [("512B", 512), ("64KiB", 65_536), ("200MB", 200_000_000), ("1.5GB", 1_500_000_000)])
    func sizes(text: String, bytes: Int64) {
        #expect(Quantity.byteSize(text) == bytes)
        #expect(Quantity.byteSize(Quantity.text(bytes)) == bytes)
    }

    @Test(arguments: ["", "5", "5mb", "9999999999TB", "1MB2", "MB"])
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

    @Test func aMissingRequiredKeyIsToldOnceAndNearNamesAreFound() {
        #expect(NearestName.of("listn", among: ["listen", "port"]) == "listen")
        #expect(NearestName.of("id", among: ["di"]) == "di")
        #expect(NearestName.of("zzzz", among: ["listen", "port"]) == nil)
    }
}
