import Pipeline
import Readings
import Testing

@Suite struct DecodingTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var decoding: Decoding
        var input: String
        var expected: [Sample]
        var testDescription: String { input }
    }

    static let expression = try? NamedExpression(#"T=(?<temperature>[-0-9.]+)(?: H=(?<humidity>\d+))?"#)

    static let cases: [Case] = [
        Case(decoding: .number, input: "21.5", expected: [Sample(value: .number(21.5))]),
        Case(decoding: .number, input: " -7\r", expected: [Sample(value: .integer(-7))]),
        Case(decoding: .number, input: "1e3", expected: [Sample(value: .number(1_000))]),
        Case(decoding: .text, input: "open", expected: [Sample(value: .text("open"))]),
        Case(decoding: .json(fields: []), input: "true", expected: [Sample(value: .boolean(true))]),
        Case(decoding: .json(fields: []), input: "7", expected: [Sample(value: .integer(7))]),
        Case(
            decoding: .json(fields: []), input: #"{"value": 1.5, "b": "x", "nested": {"c": 1}, "n": null}"#,
            expected: [Sample(metric: "b", value: .text("x")), Sample(value: .number(1.5))]),
        Case(
            decoding: .json(fields: ["gps.lat"]), input: #"{"gps": {"lat": 52.5}}"#,
            expected: [Sample(value: .number(52.5))]),
        Case(
            decoding: .json(fields: ["gps.lat", "t"]), input: #"{"gps": {"lat": 52.5}, "t": 3}"#,
            expected: [Sample(metric: "gps/lat", value: .number(52.5)), Sample(metric: "t", value: .integer(3))]),
        Case(
            decoding: .json(fields: []),
            input: "\u{FEFF}{\"b\":9007199254740993,\"a\":1.0,\"b\":-0.5,\"c\":true,\"c\":null}",
            expected: [Sample(metric: "a", value: .number(1)), Sample(metric: "b", value: .number(-0.5))]),
        Case(
            decoding: .json(fields: ["b"]), input: #"{"b":1,"b":9007199254740993}"#,
            expected: [Sample(value: .integer(9_007_199_254_740_993))]),
        Case(
            decoding: .json(fields: []), input: #""\u0041\ud834\udd1e""#, expected: [Sample(value: .text("A𝄞"))]),
        Case(
            decoding: .csv(fields: ["t", "", "h"], separator: ","), input: "20.5, x ,60,rest",
            expected: [Sample(metric: "t", value: .number(20.5)), Sample(metric: "h", value: .integer(60))]),
        Case(
            decoding: .csv(fields: ["value"], separator: ";"), input: "on;1",
            expected: [Sample(value: .text("on"))]),
    ]

    @Test(arguments: cases)
    func decodes(_ testCase: Case) throws {
        #expect(try testCase.decoding.decode(Array(testCase.input.utf8)) == testCase.expected)
    }

    @Test func namesWithValues() throws {
        func decode(_ text: String, _ fields: [String] = []) throws -> [Sample] {
            try Decoding.keyValue(fields: fields).decode(Array(text.utf8))
        }
        let both = [Sample(metric: "T", value: .number(21.5)), Sample(metric: "RH", value: .integer(40))]
        for text in ["T=21.5 RH=40", "T:21.5,RH:40", "T=21.5;RH: 40", "T=21.5&RH=40\r", "sensor T=21.5, RH=40"] {
            #expect(try decode(text) == both, "\(text)")
        }
        #expect(try decode("T=21.5 RH=40", ["RH"]) == [Sample(value: .integer(40))])
        #expect(
            try decode("value=1 state=on") == [Sample(value: .integer(1)), Sample(metric: "state", value: .text("on"))])
        for (text, fields) in [("", []), ("21.5", []), ("T=1", ["RH"])] {
            #expect(throws: DecodingFailure.self) { try decode(text, fields) }
        }
    }

    @Test func namedGroupsBecomeMetrics() throws {
        let decoding = Decoding.expression(try #require(Self.expression))
        #expect(
            try decoding.decode(Array("x T=-3.5 H=40".utf8)) == [
                Sample(metric: "temperature", value: .number(-3.5)), Sample(metric: "humidity", value: .integer(40)),
            ])
        #expect(
            try decoding.decode(Array("T=1".utf8)) == [Sample(metric: "temperature", value: .integer(1))])
    }

    @Test(arguments: [
        (Decoding.number, "abc"), (.number, ""), (.number, "nan"), (.number, "inf"), (.number, "0x10"),
        (.number, "1 2"), (.number, "1e999"), (.json(fields: []), "{"), (.json(fields: []), "[1]"),
        (.json(fields: []), "{}"), (.json(fields: []), "1e999"), (.json(fields: []), "[1,]"),
        (.json(fields: []), "NaN"),
        (.json(fields: []), "null"), (.json(fields: []), #"{"a":[1]}"#), (.json(fields: ["a"]), #"{"a":{"b":1}}"#),
        (.json(fields: ["a.b.c"]), #"{"a":{"b":1}}"#), (.json(fields: []), #""\ud800""#),
        (.json(fields: ["a"]), #"{"b":1}"#), (.json(fields: ["a"]), "5"),
        (.csv(fields: ["a", "b"], separator: ","), "1"),
    ])
    func refuses(decoding: Decoding, input: String) {
        #expect(throws: DecodingFailure.self) { try decoding.decode(Array(input.utf8)) }
    }

    @Test func failuresQuoteWhatWasFoundShortAndPrintable() {
        #expect(throws: DecodingFailure(expected: "a number", found: #""a\u{07}b""#)) {
            try Decoding.number.decode(Array("a\u{7}b".utf8))
        }
        #expect(throws: DecodingFailure(expected: "UTF-8 text", found: "2 bytes that are not UTF-8")) {
            try Decoding.number.decode([0xFF, 0xFE])
        }
        #expect(
            throws: DecodingFailure(
                expected: "JSON", found: #""{"a":1 2}": a comma or the end of an object is missing, at byte 7"#)
        ) { try Decoding.json(fields: []).decode(Array(#"{"a":1 2}"#.utf8)) }
        // 10,000 levels cost no stack and a short message.
        #expect {
            try Decoding.json(fields: []).decode(Array(repeating: UInt8(ascii: "["), count: 10_000))
        } throws: { error in
            guard let failure = error as? DecodingFailure else { return false }
            return failure.found
                == "\"\(String(repeating: "[", count: 80))…\": arrays and objects are nested more than 32 deep, at byte 32"
        }
    }

    @Test(arguments: ["no group", "(?=a)b", "(a)", "(?:<a>b)"])
    func expressionsNeedANamedGroup(pattern: String) {
        #expect(throws: NamedExpression.Failure.noNamedGroup) { try NamedExpression(pattern) }
    }

    @Test func brokenExpressionsSayWhy() {
        #expect(throws: NamedExpression.Failure.syntax("missing terminating ] for character class, at its byte 7")) {
            try NamedExpression("(?<a>[")
        }
    }

    /// There are more ways to try than anybody has time for.
    @Test func anExpressionThatWouldNeverEndFindsNothing() throws {
        let expression = try NamedExpression(#"(?<v>(a+)+)$"#)
        let line = String(repeating: "a", count: 200) + "!"
        #expect(throws: DecodingFailure.self) { try Decoding.expression(expression).decode(Array(line.utf8)) }
        #expect(try Decoding.expression(expression).decode(Array("aaa".utf8)).map(\.metric) == ["v"])
    }

    @Test func groupsComeInThePatternsOrderWhateverTheirNames() throws {
        let expression = try NamedExpression(#"(?P<z>\w+)=(?<a>ü+)(?<b>x)?"#)
        let samples = try Decoding.expression(expression).decode(Array("é1 k=üü".utf8))
        #expect(samples.map(\.metric) == ["z", "a"])
        #expect(samples.map(\.value) == [.text("k"), .text("üü")])
    }
}
