import Readings
import TestSupport
import Testing

/// Python's json, an independent reader, must agree on what is JSON and on every value.
@Suite struct JSONDifferentialTests {
    /// Writes documents of few names and every form.
    struct Writer {
        var random: SplitMix64

        mutating func pick<T>(_ choices: [T]) -> T { choices[Int.random(in: 0..<choices.count, using: &random)] }
        mutating func space() -> String { pick(["", "", "", "", " ", "\t", "\r\n"]) }

        mutating func document() -> [UInt8] {
            Array((pick(["", "", "", "\u{FEFF}"]) + space() + value(5) + space()).utf8)
        }

        mutating func value(_ depth: Int) -> String {
            switch Int.random(in: 0..<(depth > 0 ? 9 : 5), using: &random) {
            case 0: return pick(["null", "true", "false"])
            case 1: return integer()
            case 2: return number()
            case 3, 4: return string()
            case 5, 6:
                var parts: [String] = []
                for _ in 0..<Int.random(in: 0...4, using: &random) {
                    parts.append(space() + value(depth - 1) + space())
                }
                return "[" + (parts.isEmpty ? space() : parts.joined(separator: ",")) + "]"
            default:
                var parts: [String] = []
                for _ in 0..<Int.random(in: 0...4, using: &random) {
                    parts.append(space() + string() + space() + ":" + space() + value(depth - 1) + space())
                }
                return "{" + (parts.isEmpty ? space() : parts.joined(separator: ",")) + "}"
            }
        }

        mutating func integer() -> String {
            pick([
                "0", "-0", "7", "-12", "9007199254740993", "9223372036854775807", "-9223372036854775808",
                "9223372036854775808", "18446744073709551617", String(Int64(bitPattern: random.next())),
            ])
        }

        mutating func digits(_ most: Int) -> String {
            (0..<Int.random(in: 1...most, using: &random)).map { _ in String(random.next() % 10) }.joined()
        }

        mutating func number() -> String {
            let whole = pick(["0", "-0", "5", "-3", "9" + digits(20)])
            let fraction = pick(["", "." + digits(4), "." + digits(25)])
            let exponent = pick(["", "", "e" + digits(2), "E+" + digits(3), "e-" + digits(3)])
            return whole + fraction + exponent
        }

        mutating func string() -> String {
            let parts = (0..<Int.random(in: 0...5, using: &random)).map { _ in
                pick([
                    "a", "b", "value", "é", "𝄞", "\u{7F}", "\\n", "\\\"", "\\\\", "\\/", "\\u0062", "\\u00E9",
                    "\\ud834\\udd1e",
                    "\\u0000", "\\uFFFE", "longer than eight",
                ])
            }
            return "\"\(parts.joined())\""
        }

        /// `bytes` with a few of them changed.
        mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
            let alphabet = Array("a1.-+eE{}[]\",:\\u /0\n\ttdD8".utf8) + [0x00, 0x1F, 0x80, 0xC3, 0xED, 0xF0, 0xFF]
            var bytes = bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes.remove(at: place)
                case 1: bytes.insert(pick(alphabet), at: place)
                default: bytes[place] = pick(alphabet)
                }
            }
            return bytes
        }
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// A value in the words of `judge`.
    static func canonical(_ value: JSONValue) -> String {
        switch value.kind {
        case .null: return "n"
        case .boolean: return value.boolean == true ? "t" : "f"
        case .integer: return "i\(value.integer ?? -1)"
        case .number: return "d\(String((value.double ?? .nan).bitPattern, radix: 16))"
        case .string: return "s\(hex((value.string ?? "").utf8))"
        case .array: return "[" + value.elements.map { canonical($0) + ";" }.joined() + "]"
        case .object:
            // The last of a name counts.
            var members: [String: String] = [:]
            for member in value.members { members[hex(member.name.utf8)] = canonical(member.value) }
            return "{" + members.map { "\($0.key):\($0.value);" }.sorted().joined() + "}"
        }
    }

    /// Reads one document a line, in hexadecimal digits, and answers with its value or "no". Python lets more pass: numbers
    /// that are infinite, `NaN`, lone surrogates; and its integers have no limit.
    static let judge = """
        import json, math, struct, sys
        def no(word): raise ValueError(word)
        def canonical(v):
            if v is None: return "n"
            if v is True: return "t"
            if v is False: return "f"
            if isinstance(v, int):
                if -2**63 <= v < 2**63: return "i%d" % v
                v = float(v)
            if isinstance(v, float):
                if not math.isfinite(v): raise ValueError("infinite")
                return "d%x" % struct.unpack(">Q", struct.pack(">d", v))[0]
            if isinstance(v, str): return "s" + v.encode().hex()
            if isinstance(v, list): return "[" + "".join(canonical(x) + ";" for x in v) + "]"
            return "{" + "".join(sorted(k.encode().hex() + ":" + canonical(x) + ";" for k, x in v.items())) + "}"
        def members(pairs):
            # Those that another of their name replaces count too.
            for k, v in pairs: canonical(k); canonical(v)
            return dict(pairs)
        for line in open(sys.argv[1]):
            try:
                text = bytes.fromhex(line).decode("utf-8-sig")
                print(canonical(json.loads(text, parse_constant=no, object_pairs_hook=members)))
            except Exception:
                print("no")
        """

    /// One seed stays, so that a run can be repeated; the other is new each time.
    @Test(
        .enabled(if: isInstalled("python3"), "python3 is not installed: not compared with its json"),
        arguments: [20_261_123, UInt64.random(in: 0 ... .max)])
    func agreesWithPython(seed: UInt64) async throws {
        var writer = Writer(random: SplitMix64(seed: seed))
        var cases: [[UInt8]] = []
        for _ in 0..<1_500 {
            let document = writer.document()
            cases += [document, writer.mutate(document)]
        }
        let directory = try TemporaryDirectory()
        try directory.write(cases.map { Self.hex($0) + "\n" }.joined(), to: "cases")
        let script = try directory.write(Self.judge, to: "judge.py")
        let result = try await runToEnd(["python3", script, directory["cases"]], upTo: .seconds(120))
        try #require(result.ending == .exited(0), "\(result.errors)")
        let verdicts = result.output.split(separator: "\n")
        try #require(verdicts.count == cases.count)
        var accepted = 0
        for (bytes, verdict) in zip(cases, verdicts) {
            var own = "no"
            do throws(JSONError) {
                let value = try JSONValue(reading: bytes, JSONLimits(bytes: 1 << 20))
                own = Self.canonical(value)
                // Written and read again it is the same value.
                let again = try JSONValue(reading: Array(value.description.utf8), JSONLimits(bytes: 1 << 20))
                #expect(Self.canonical(again) == own, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
                accepted += 1
            } catch {
                #expect((0...bytes.count).contains(error.offset))
            }
            #expect(own == verdict, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
        }
        // Both kinds must come up often, or the test says nothing.
        #expect((600...2_800).contains(accepted), "seed \(seed): \(accepted) of \(cases.count) are JSON")
    }
}
