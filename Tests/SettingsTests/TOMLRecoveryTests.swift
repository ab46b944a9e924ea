import Settings
import TestSupport
import Testing

/// Every mistake is told, once, and none is told that is not there.
@Suite struct TOMLRecoveryTests {
    @Test(arguments: [
        // An array's elements go wrong one by one.
        ("a = [\n 1,\n yes,\n 2,\n 01,\n]\nb = oops\n", ["3:2", "5:2", "7:5"], "{}"),
        // Lines without commas are one mistake.
        ("a = [\n 1\n 2\n 3\n]\nb = 1\n", ["3:2"], "{b:1}"),
        ("a = [\"x, \"y\"]\nb = 1\n", ["1:11"], "{b:1}"),
        // What stands behind an array that is not closed is read.
        ("a = [\n 1,\nb = 2\n[t]\nc = yes\n", ["1:5", "5:5"], "{b:2,t:{}}"),
        ("a = [\n 1,\n[t]\nc = 1\n", ["1:5"], "{t:{c:1}}"),
        ("a = [[1, 2],\n[\"b\"],\n[true], # c\n[3]\n]\n", [], "{a:[[1,2],[\"b\"],[true],[3]]}"),
        (
            "a = [\n\"x\\\" = \",\n'''y'=''',\n\"\"\"z\"=\"\"\",\n'b = 1',\n]\n", [],
            #"{a:["x" = ","y'=","z"=","b = 1"]}"#
        ),
        // A table that a header implied is there, and may be added to; one that has a header may not.
        ("[a.b.c]\n[a]\nb.d = 1\n", [], "{a:{b:{c:{},d:1}}}"),
        ("[a.b]\n[a]\nb.d = 1\n", ["3:1"], "{a:{b:{}}}"),
        // So is what a string that is not closed has swallowed.
        ("a = \"\"\"\ntext\n[t]\nb = yes\nc = 1\n", ["1:5", "4:5"], "{t:{c:1}}"),
        ("a = '''\ntext\nb = 1\n", ["1:5"], "{b:1}"),
        ("a = \"x\nb = 1\n", ["1:5"], "{b:1}"),
        // One complaint about a string.
        ("a = \"C:\\quer\\xyz\"\nb = \"\\u12\"\nc = 1\n", ["1:8", "2:6"], "{c:1}"),
        // Inline tables that are broken over lines.
        ("a = {\n b = 1,\n c = 2\n}\nd = 1\n", ["1:5"], "{d:1}"),
        ("a = { b = 1\nc = 2\n", ["1:5"], "{c:2}"),
        ("a = { b = 1,\n[t]\nc = 2\n", ["1:5"], "{t:{c:2}}"),
        ("a = { b = yes, c = no }\nd = 1\n", ["1:11", "1:20"], "{d:1}"),
        ("a = { b = 1, }\nc = 2\n", ["1:14"], "{c:2}"),
        // Keys are not taken for those of the table before a header that is wrong.
        ("[a]\nx = 1\n[b c]\nx = 2\n[d\nx = 3\n", ["3:4", "5:3"], "{a:{x:1},d:{x:3}}"),
        ("[a]\nx = 1\n[a]\nx = 2\ny = yes\n", ["3:2", "5:5"], "{a:{x:1}}"),
        ("[[a]\nx = 1\n[[a]]\nx = 2\n", ["1:5"], "{a:[{x:1},{x:2}]}"),
        ("a = 1\na = 2 # twice\na.b = 3\nc = 1 2\n", ["2:1", "3:1", "4:7"], "{a:1,c:1}"),
        // A key whose value is unreadable is there all the same.
        ("a = yes\na.b = 1\n[a.c]\nx = 1\n", ["1:5"], "{}"),
        // Columns count characters, not bytes; a byte order mark is none.
        ("\u{FEFF}'é𝄞' = yes\n", ["1:8"], "{}"),
        ("a = 1\r\nb = yes\r\n", ["2:5"], "{a:1}"),
        ("a = 1\rb = 2\n", ["1:6"], "{a:1}"),
        ("a = \"\"\"x\\\n\ry\"\"\"\nb = 1\n", ["2:1"], "{b:1}"),
        ("# \u{1}\na = yes\n", ["1:3", "2:5"], "{}"),
    ])
    func tellsEveryMistakeOnce(text: String, places: [String], left: String) {
        let (table, errors) = TOMLParserTests.parse(text)
        #expect(errors.map { $0.split(separator: ":")[1...2].joined(separator: ":") } == places, "\(errors)")
        #expect(TOMLParserTests.render(.table(table)) == left)
    }

    @Test(arguments: [
        ("a = 250ms", "\"250ms\" is not a value; a string needs quotes: \"250ms\""),
        ("a = mqtt://h:1883 # x", "\"mqtt://h:1883\" is not a value; a string needs quotes: \"mqtt://h:1883\""),
        ("a = 127.0.0.1:1883", "\"127.0.0.1:1883\" is not a number or date of TOML; a string needs quotes"),
        ("a = “x”", "“ is not a quotation mark of TOML; strings are written \"…\" or '…'"),
        ("a = True", "True is not a value; write true"),
        ("a: 1", "expected \"=\" between the key \"a\" and its value, found \":\""),
        ("a = }", "expected a value, found \"}\""),
        ("\"a\\nb\".c = 1\n\"a\\nb\" = 2", "\"a\\nb\" is set already, at line 1"),
    ])
    func saysWhatToDo(text: String, message: String) {
        #expect(TOMLParserTests.parse(text).errors.map { $0.drop { $0 != " " }.dropFirst(8) } == [message[...]])
    }

    @Test func tellsWhereBytesAreNotUTF8() {
        let diagnostics = Diagnostics()
        _ = TOMLParser.parse(Array("é = 1\nb = 'é".utf8) + [0xE9, 0x27, 0x0A], file: "f", into: diagnostics)
        #expect(diagnostics.list.map(\.description) == ["f:2:7: error: the file is not UTF-8"])
    }

    /// Each took minutes, or the stack, when it was not bounded; none is a time limit, but a test that ends.
    @Test(arguments: [
        ("a" + String(repeating: ".a", count: 500_000) + " = 1", 1),
        ("[" + String(repeating: "a.", count: 500_000) + "a]", 1),
        ("a = {" + String(repeating: "a={", count: 300_000), 1),
        ("a = " + String(repeating: "1", count: 1_000_000), 1),
        ("a = " + String(repeating: "x", count: 1_000_000), 1),
        (String(repeating: "[[a]]\n", count: 150_000), 0),
        (String(repeating: "[[a]]\n[a.b]\n", count: 80_000), 0),
        ("a = [" + String(repeating: "[],", count: 300_000) + "]", 0),
        ("a = \"\"\"" + String(repeating: "\\ ", count: 400_000), 2),
        (String(repeating: "a = '\"\"\"'\n", count: 90_000), 101),
        (String(repeating: "=\n", count: 500_000), 101),
        ("a = [\n" + String(repeating: "yes,\n", count: 200_000), 101),
        (String(repeating: "a = [\n", count: 150_000), 101),
        (String(repeating: "a = {\n", count: 150_000), 101),
        ("a = [" + String(repeating: "'\"", count: 400_000), 101),
    ])
    func isBoundedInTimeDepthAndMistakes(text: String, mistakes: Int) {
        let errors = TOMLParserTests.parse(text).errors
        #expect(errors.count <= 101 && (errors.count > 0) == (mistakes > 0), "\(errors.count): \(errors.prefix(3))")
        #expect(errors.allSatisfy { $0.utf8.count < 300 })
    }

    @Test func nestsTo32AndNoDeeper() {
        func errors(_ text: String) -> [String] { TOMLParserTests.parse(text).errors }
        let names = (1...32).map { _ in "a" }.joined(separator: ".")
        #expect(errors("\(names) = 1\n[b]\n") == [])
        #expect(errors("[\(names)]\na = 1\n") == [])
        #expect(errors("\(names).a = 1\n").count == 1)
        #expect(errors("[\(names)]\na.a = 1\n").count == 1)
        #expect(errors("[\(names)]\na = {}\nb = 1\n").count == 1)
        #expect(errors("a = " + String(repeating: "[", count: 32) + String(repeating: "]", count: 32)) == [])
        #expect(errors("a = " + String(repeating: "[", count: 33) + "\n1,\n2,\n]\nb = yes\n").count == 2)
    }

    @Test func textIsBoundedAsBytesAre() {
        let text = String(repeating: "#", count: TOMLParser.sizeLimit)
        #expect(TOMLParserTests.parse(text).errors == [])
        #expect(TOMLParserTests.parse(text + "\n").errors == ["f:1:1: error: the file is larger than 1048576 bytes"])
    }

    /// Bytes that are likely in TOML, and any others: it must end, and every place it tells must be in the file.
    @Test(arguments: [1, UInt64.random(in: 0 ... .max)])
    func randomBytesNeverTrap(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let likely = Array("aa=[]{}..\"\"\"'''\\\n\n\r \t#,0123-_:TZuxe+é".utf8)
        for _ in 0..<4_000 {
            let bytes = (0..<Int.random(in: 0...120, using: &random)).map { _ in
                UInt8.random(in: 0..<200, using: &random) < 195
                    ? likely[Int.random(in: 0..<likely.count, using: &random)]
                    : UInt8.random(in: 0...255, using: &random)
            }
            let diagnostics = Diagnostics()
            _ = TOMLParser.parse(bytes, file: "f", into: diagnostics)
            let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
            for diagnostic in diagnostics.list {
                guard let position = diagnostic.position else { continue }
                let isInside =
                    lines.indices.contains(position.line - 1) && position.column >= 1
                    && position.column <= lines[position.line - 1].count + 1
                #expect(isInside, "seed \(seed): \(diagnostic) in \(bytes)")
            }
        }
    }
}
