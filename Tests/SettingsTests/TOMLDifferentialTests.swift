import Settings
import TestSupport
import Testing

/// Python's tomllib, an independent reader of TOML 1.0.0, must agree on what is TOML and on every value.
@Suite struct TOMLDifferentialTests {
    /// Writes documents of few names and every form, so that tables and keys collide in all the ways there are.
    struct Writer {
        var random: SplitMix64
        var lineEnd = "\n"

        mutating func pick<T>(_ choices: [T]) -> T { choices[Int.random(in: 0..<choices.count, using: &random)] }
        mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

        mutating func document() -> String {
            lineEnd = chance(20) ? "\r\n" : "\n"
            var text = ""
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                switch Int.random(in: 0..<10, using: &random) {
                case 0..<6: text += "\(key())\(space())=\(space())\(value(2))"
                case 6, 7: text += "[\(space())\(key())\(space())]"
                case 8: text += "[[\(key())]]"
                default: break
                }
                text += space() + (chance(15) ? "# é\t=[\"" : "") + lineEnd
            }
            return text
        }

        mutating func space() -> String { pick(["", "", " ", "\t "]) }

        mutating func key() -> String {
            var names: [String] = []
            repeat {
                names.append(pick(["a", "b", "c", "1", "\"a\"", "'b'", "\"\"", "\"x y\"", "a-_"]))
            } while chance(30)
            return names.joined(separator: pick([".", ".", " . "]))
        }

        mutating func value(_ depth: Int) -> String {
            switch Int.random(in: 0..<(depth > 0 ? 10 : 7), using: &random) {
            case 0:
                return pick([
                    "0", "-0", "+7", "1_000", "0xdead_BEEF", "0o755", "0b1_01", "-9223372036854775808", "01", "1_",
                ])
            case 1:
                return pick(["0.5", "-1.25e3", "1e400", "6.02_2e+23", "3e-5", "inf", "-inf", "nan", "1.", ".5", "-0.0"])
            case 2: return pick(["true", "false", "True"])
            case 3:
                return pick([
                    "1979-05-27", "07:32:00", "1979-05-27T07:32:00", "1979-05-27T07:32:00+01:30", "2024-02-29",
                    "1979-05-27 07:32:00.500000", "2023-02-29", "24:00:00", "1979-05-27T07:32",
                ])
            case 4: return "\"\(basic())\""
            case 5: return pick(["'a\\b'", "''", "'é\"'", "'''\(lineEnd)x\(lineEnd)'y'''", "''''q''''", "'''''z'''''"])
            case 6:
                return pick([
                    "\"\"\"\(lineEnd)\(basic())\(lineEnd)b\"\"\"", "\"\"\"a\\  \(lineEnd) \(lineEnd)  b\"\"\"",
                    "\"\"\"\"q\"\"\"\"", "\"\"\"\"\"\"", "\"\"\"\"\"z\"\"\"\"\"",
                ])
            case 7, 8:
                var text = "["
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    text += pick(["", " ", lineEnd, "# c]\(lineEnd)"]) + value(depth - 1) + pick(["", lineEnd]) + ","
                }
                return (chance(70) && text.hasSuffix(",") ? String(text.dropLast()) : text) + "]"
            default:
                let pairs = (0..<Int.random(in: 0...3, using: &random)).map { _ in "\(key()) = \(value(depth - 1))" }
                return "{ \(pairs.joined(separator: ", "))\(chance(5) ? "," : "") }"
            }
        }

        mutating func basic() -> String {
            (0..<Int.random(in: 0...4, using: &random)).map { _ in
                pick(["x", " ", "é", "𝄞", "\\n", "\\\"", "\\\\", "\\u00e9", "\\U0001D11E", "\\t", "#", "'", " = ", "]"])
            }.joined()
        }

        /// `text` with a few characters changed.
        mutating func mutate(_ text: String) -> String {
            let alphabet = Array("a1.=[]{}\"'\n #,-_:tTZe+\\\r\t".unicodeScalars)
            var scalars = Array(text.unicodeScalars)
            for _ in 0..<Int.random(in: 1...3, using: &random) where !scalars.isEmpty {
                let place = Int.random(in: 0..<scalars.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: scalars.remove(at: place)
                case 1: scalars.insert(pick(alphabet), at: place)
                default: scalars[place] = pick(alphabet)
                }
            }
            return String(String.UnicodeScalarView(scalars))
        }
    }

    static func hex(_ text: String) -> String {
        text.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// A value in the words of `judge`.
    static func canonical(_ value: TOMLValue) -> String {
        switch value {
        case .string(let text): "s\(hex(text))"
        case .integer(let number): "i\(number)"
        case .float(let number): number.isNaN ? "fnan" : "f\(String(number.bitPattern, radix: 16))"
        case .boolean(let boolean): "b\(boolean ? 1 : 0)"
        // Up to the seconds: Python keeps six digits of a fraction.
        case .datetime(let text): "d\(text.uppercased().prefix(19).prefix { $0 != "." })"
        case .array(let nodes): "[" + nodes.map { canonical($0.value) + ";" }.joined() + "]"
        case .table(let table):
            "{" + table.entries.map { "\(hex($0.key)):\(canonical($0.node.value));" }.sorted().joined() + "}"
        }
    }

    /// Reads one document a line, in hexadecimal digits, and answers with its value or "no".
    static let judge = """
        import struct, sys, tomllib
        def canonical(v):
            if isinstance(v, bool): return "b%d" % v
            if isinstance(v, int):
                # Python's have no limit; TOML's need 64 bits, and what does not fit is an error.
                if not -2**63 <= v < 2**63: raise OverflowError
                return "i%d" % v
            if isinstance(v, float):
                return "fnan" if v != v else "f%x" % struct.unpack(">Q", struct.pack(">d", v))[0]
            if isinstance(v, str): return "s" + v.encode().hex()
            if isinstance(v, list): return "[" + "".join(canonical(x) + ";" for x in v) + "]"
            if isinstance(v, dict):
                return "{" + "".join(sorted(k.encode().hex() + ":" + canonical(x) + ";" for k, x in v.items())) + "}"
            return "d" + v.isoformat()[:19].split(".")[0]
        for line in open(sys.argv[1]):
            try:
                print(canonical(tomllib.loads(bytes.fromhex(line).decode())))
            except Exception:
                print("no")
        """

    /// One seed stays, so that a run can be repeated; the other is new each time.
    @Test(
        .enabled(if: isInstalled("python3"), "python3 is not installed: not compared with tomllib"),
        arguments: [20_261_123, UInt64.random(in: 0 ... .max)])
    func agreesWithTomllib(seed: UInt64) async throws {
        var writer = Writer(random: SplitMix64(seed: seed))
        var cases: [String] = []
        for _ in 0..<1_000 {
            let document = writer.document()
            cases += [document, writer.mutate(document)]
        }
        let directory = try TemporaryDirectory()
        try directory.write(cases.map { Self.hex($0) + "\n" }.joined(), to: "cases")
        let script = try directory.write(Self.judge, to: "judge.py")
        let version = try await runToEnd(["python3", "-c", "import tomllib"])
        guard version.ending == .exited(0) else {
            print("SKIPPED: python3 has no tomllib (it came with 3.11): TOML reader not compared")
            return
        }
        let result = try await runToEnd(["python3", script, directory["cases"]])
        try #require(result.ending == .exited(0), "\(result.errors)")
        let verdicts = result.output.split(separator: "\n")
        try #require(verdicts.count == cases.count)
        var accepted = 0
        for (text, verdict) in zip(cases, verdicts) {
            let diagnostics = Diagnostics()
            let table = TOMLParser.parse(text, file: "f", into: diagnostics)
            let own = diagnostics.hasErrors ? "no" : Self.canonical(.table(table))
            if own != "no" { accepted += 1 }
            #expect(own == verdict, "seed \(seed): \(diagnostics.list) to:\n\(text)")
        }
        // Both kinds must come up often, or the test says nothing.
        #expect((300...1_700).contains(accepted), "seed \(seed): \(accepted) of \(cases.count) are TOML")
    }
}
