import Settings
import Testing

@Suite struct TOMLParserTests {
    static func parse(_ text: String) -> (table: TOMLTable, errors: [String]) {
        let diagnostics = Diagnostics()
        let table = TOMLParser.parse(text, file: "f", into: diagnostics)
        return (table, diagnostics.list.map(\.description))
    }

    /// The parsed value of `v = …` as JSON-like text.
    static func render(_ value: TOMLValue?) -> String {
        switch value {
        case nil: "-"
        case .string(let text): "\"\(text)\""
        case .integer(let number): "\(number)"
        case .float(let number): "\(number)"
        case .boolean(let boolean): "\(boolean)"
        case .datetime(let text): "@\(text)"
        case .array(let nodes): "[\(nodes.map { render($0.value) }.joined(separator: ","))]"
        case .table(let table): "{\(table.entries.map { "\($0.key):\(render($0.node.value))" }.joined(separator: ","))}"
        }
    }

    @Test(arguments: [
        ("\"a\\tb\\u00e9\\\"\"", "\"a\tbé\"\""), ("'a\\b'", "\"a\\b\""), ("\"\"\"\nx\ny\"\"\"", "\"x\ny\""),
        ("\"\"\"a\\\n   b\"\"\"", "\"ab\""), ("'''\n'q'''", "\"'q\""), ("\"\"\"a\"\"\"\"\"", "\"a\"\"\""),
        ("1_000", "1000"), ("-17", "-17"), ("+99", "99"), ("0xDEAD_beef", "3735928559"), ("0o17", "15"),
        ("0b101", "5"), ("3.25", "3.25"), ("5e+2", "500.0"), ("-0.0", "-0.0"), ("inf", "inf"), ("true", "true"),
        ("1979-05-27", "@1979-05-27"), ("1979-05-27T07:32:00Z", "@1979-05-27T07:32:00Z"),
        ("1979-05-27 07:32:00.5-07:00", "@1979-05-27T07:32:00.5-07:00"), ("07:32:00", "@07:32:00"),
        ("[1, 2, # c\n 3,]", "[1,2,3]"), ("[]", "[]"), ("{ a = 1, b.c = \"x\" }", "{a:1,b:{c:\"x\"}}"), ("{}", "{}"),
    ])
    func readsValues(text: String, expected: String) {
        let (table, errors) = Self.parse("v = \(text)\n")
        #expect(errors == [])
        #expect(Self.render(table["v"]?.value) == expected)
    }

    @Test func readsTables() {
        let (table, errors) = Self.parse(
            """
            \u{FEFF}top = 1
            [a.b]
            "quoted key" = 2\r
            c.d = 3
            [[list]]
            x = 1
            [list.sub]
            y = 2
            [[list]]
            [a]
            z = 4
            """)
        #expect(errors == [])
        #expect(
            Self.render(.table(table))
                == "{top:1,a:{b:{quoted key:2,c:{d:3}},z:4},list:[{x:1,sub:{y:2}},{}]}")
    }

    @Test(arguments: [
        ("a = \n", "1:5: error: expected a value, found the end of the line"),
        ("a = yes", "1:5: error: yes is not a value; a switch is true or false, a string needs quotes: \"yes\""),
        ("a = 01", "1:5: error: \"01\" is not a number: it may not begin with 0"),
        ("a = 1__0", "1:5: error: \"1__0\" is not a number or date of TOML; a string needs quotes"),
        (
            "a = 9223372036854775808",
            "1:5: error: \"9223372036854775808\" is out of range; whole numbers go from -9223372036854775808 to 9223372036854775807"
        ),
        ("a = 2026-02-30", "1:5: error: \"2026-02-30\" is not a number or date of TOML; a string needs quotes"),
        ("a = \"x", "1:5: error: the string is not closed with a quotation mark"),
        (
            "a = \"\\q\"",
            "1:6: error: \"\\q\" is not an escape; a backslash is written \"\\\\\", or use 'single quotes'"
        ),
        ("a = 1 b = 2", "1:7: error: expected the end of the line, found \"b\""),
        ("a 1", "1:3: error: expected \"=\" between the key \"a\" and its value, found \"1\""),
        ("[a\nb = 1", "1:3: error: expected \"]\" to close the header, found the end of the line"),
        ("[a]\n[a]", "2:2: error: \"a\" is defined already, at line 1"),
        ("a = 1\na.b = 2", "2:1: error: \"a\" is defined already, at line 1"),
        ("a = [1,\n2", "1:5: error: the array is not closed with \"]\""),
        ("a = {b = 1, b = 2}", "1:13: error: \"b\" is set already, at line 1"),
        ("a = [1]\n[[a]]", "2:3: error: \"a\" is defined already, at line 1"),
        ("é = 1", "1:1: error: expected a key, found \"é\""),
        ("a = \"\u{1}\"", "1:6: error: a control character must be written as \\u0001"),
    ])
    func tellsMistakesWithTheirPlace(text: String, expected: String) {
        #expect(Self.parse(text).errors == ["f:" + expected])
    }

    @Test func goesOnAfterAMistake() {
        let (table, errors) = Self.parse("a = \nb = 2\nc = oops\n[d\ne = 5\n")
        #expect(errors.map { $0.prefix(5) } == ["f:1:5", "f:3:5", "f:4:3"])
        #expect(Self.render(.table(table)) == "{b:2,d:{e:5}}")
    }

    @Test func keepsThePlaceOfKeysAndValues() throws {
        let (table, _) = Self.parse("\n  key = 'é'  # x\n[t]\n  k = [ 1,\n   2 ]\n")
        let entry = try #require(table.entry("key"))
        #expect("\(entry.keyPosition) \(entry.node.position)" == "f:2:3 f:2:9")
        guard case .table(let inner) = table["t"]?.value, case .array(let nodes) = inner["k"]?.value else {
            Issue.record("no table")
            return
        }
        #expect(nodes.map { "\($0.position)" } == ["f:4:9", "f:5:4"])
    }

    @Test func boundsDepthAndSize() {
        let deep = Self.parse("a = " + String(repeating: "[", count: 100_000))
        #expect(deep.errors == ["f:1:37: error: nested more than 32 deep"])
        let diagnostics = Diagnostics()
        _ = TOMLParser.parse([UInt8](repeating: 0x23, count: TOMLParser.sizeLimit + 1), file: "f", into: diagnostics)
        #expect(diagnostics.hasErrors)
        _ = TOMLParser.parse([0x61, 0x0A, 0xFF], file: "g", into: diagnostics)
        #expect(diagnostics.list.last?.description == "g:2:1: error: the file is not UTF-8")
    }
}
