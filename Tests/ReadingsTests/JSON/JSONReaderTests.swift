import Readings
import TestSupport
import Testing

@Suite struct JSONReaderTests {
    static let limits = JSONLimits(bytes: 1 << 20)

    static func read(_ text: String) throws(JSONError) -> JSONValue { try JSONValue(reading: Array(text.utf8), limits) }

    /// A text that is refused, the place of the mistake, and why.
    struct Refusal: CustomTestStringConvertible, Sendable {
        var bytes: [UInt8]
        var offset: Int
        var reason: JSONError.Reason
        var testDescription: String { String(decoding: bytes, as: UTF8.self) }

        init(_ text: String, _ offset: Int, _ reason: JSONError.Reason) {
            self.init(Array(text.utf8), offset, reason)
        }

        init(_ bytes: [UInt8], _ offset: Int, _ reason: JSONError.Reason) {
            (self.bytes, self.offset, self.reason) = (bytes, offset, reason)
        }
    }

    /// The kinds of mistakes of JSONTestSuite (github.com/nst/JSONTestSuite), its n_… files, and ours.
    static let refusals: [Refusal] = [
        Refusal("", 0, .empty), Refusal(" \n", 2, .empty), Refusal([0xEF, 0xBB, 0xBF], 3, .empty),
        Refusal("[1,]", 3, .commaBeforeEnd(of: "an array")), Refusal("[,1]", 1, .noValue),
        Refusal("[1,,2]", 3, .noValue), Refusal("[1 2]", 3, .noCommaOrEnd(of: "an array")),
        Refusal("[1}", 2, .noCommaOrEnd(of: "an array")), Refusal("[1]]", 3, .textAfterValue),
        Refusal("]", 0, .noValue), Refusal("}", 0, .noValue), Refusal("[", 1, .endsInside("an array")),
        Refusal("[[1],", 5, .endsInside("an array")), Refusal("{", 1, .endsInside("an object")),
        Refusal(#"{"a":1,}"#, 7, .commaBeforeEnd(of: "an object")), Refusal(#"{,"a":1}"#, 1, .noMemberName),
        Refusal(#"{"a" 1}"#, 5, .noColon), Refusal(#"{"a"}"#, 4, .noColon), Refusal(#"{"a":}"#, 5, .noValue),
        Refusal(#"{"a"::1}"#, 5, .noValue), Refusal(#"{"a":1 "b":2}"#, 7, .noCommaOrEnd(of: "an object")),
        Refusal("{a:1}", 1, .noMemberName), Refusal("{1:1}", 1, .noMemberName), Refusal("{'a':1}", 1, .noMemberName),
        Refusal(#"{"a":1]"#, 6, .noCommaOrEnd(of: "an object")),
        Refusal(#"{"a":[1}"#, 7, .noCommaOrEnd(of: "an array")),
        Refusal(#"{"a":1}}"#, 7, .textAfterValue), Refusal(#"{"a":1} x"#, 8, .textAfterValue),
        Refusal("1 1", 2, .textAfterValue), Refusal("\"a\"b", 3, .textAfterValue),
        Refusal("/* */1", 0, .noValue), Refusal("1//", 1, .textAfterValue),
        Refusal("True", 0, .noValue), Refusal("tru", 3, .endsInside("\"true\"")), Refusal("[nul]", 1, .noValue),
        Refusal("[truth]", 1, .noValue), Refusal("truex", 4, .textAfterValue),
        Refusal("NaN", 0, .noValue), Refusal("Infinity", 0, .noValue),
        Refusal("-Infinity", 1, .noDigit(after: "the sign")),
        Refusal("nan", 0, .noValue), Refusal("[\u{FF11}]", 1, .noValue),
        Refusal("+1", 0, .noValue), Refusal(".5", 0, .noValue), Refusal("-", 1, .endsInside("a number")),
        Refusal("-a", 1, .noDigit(after: "the sign")), Refusal("01", 0, .leadingZero),
        Refusal("[-01]", 2, .leadingZero),
        Refusal("00", 0, .leadingZero), Refusal("1.", 2, .endsInside("a number")),
        Refusal("[1.]", 3, .noDigit(after: "the point")), Refusal("1.e3", 2, .noDigit(after: "the point")),
        Refusal("1e", 2, .endsInside("a number")), Refusal("[1e+]", 4, .noDigit(after: "the exponent")),
        Refusal("1e5.2", 3, .textAfterValue), Refusal("0x10", 1, .textAfterValue), Refusal("1_000", 1, .textAfterValue),
        Refusal("1e999", 0, .numberTooLarge), Refusal("[-1E+309]", 1, .numberTooLarge),
        Refusal("1e99999999999999999999", 0, .numberTooLarge), Refusal("1.8e308", 0, .numberTooLarge),
        Refusal(String(repeating: "9", count: 400), 0, .numberTooLarge),
        Refusal("\"", 1, .endsInside("a string")), Refusal("\"a", 2, .endsInside("a string")),
        Refusal(#""\"#, 2, .endsInside("a string")), Refusal(#""\u12"#, 5, .endsInside("a string")),
        Refusal("'a'", 0, .noValue), Refusal("\"a\tb\"", 2, .controlCharacter(9)),
        Refusal("\"\u{0}\"", 1, .controlCharacter(0)), Refusal("\"123456789\n\"", 10, .controlCharacter(10)),
        Refusal(#""\x41""#, 1, .unknownEscape), Refusal(#""\'""#, 1, .unknownEscape),
        Refusal(#""\ ""#, 1, .unknownEscape),
        Refusal(#""\U0041""#, 1, .unknownEscape), Refusal(#""\u00g0""#, 1, .noHexadecimalDigit),
        Refusal(#""\u004""#, 1, .noHexadecimalDigit), Refusal(#""\u+041""#, 1, .noHexadecimalDigit),
        Refusal(#""\ud800""#, 1, .loneSurrogate), Refusal(#""\udc00""#, 1, .loneSurrogate),
        Refusal(#""\ud800x""#, 1, .loneSurrogate), Refusal(#""\ud800\n""#, 1, .loneSurrogate),
        Refusal(#""\ud800\ud800""#, 1, .loneSurrogate), Refusal(#""\udc00\ud800""#, 1, .loneSurrogate),
        Refusal([0x22, 0x80, 0x22], 1, .notUTF8), Refusal([0x22, 0xC0, 0x80, 0x22], 1, .notUTF8),
        Refusal([0x22, 0xE0, 0x80, 0x80, 0x22], 1, .notUTF8), Refusal([0x22, 0xED, 0xA0, 0x80, 0x22], 1, .notUTF8),
        Refusal([0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], 1, .notUTF8), Refusal([0x22, 0xF5, 0x22], 1, .notUTF8),
        Refusal([0x22, 0xE2, 0x82, 0x22], 1, .notUTF8), Refusal([0x22, 0x61, 0xC3, 0x28, 0x22], 2, .notUTF8),
        Refusal([0x22, 0xFF, 0x22], 1, .notUTF8), Refusal([0xFF, 0xFE, 0x31, 0x00], 0, .noValue),
        Refusal([0x00, 0x31], 0, .noValue), Refusal([0x31, 0x00], 1, .textAfterValue),
        Refusal("\u{A0}1", 0, .noValue), Refusal("\u{C}1", 0, .noValue), Refusal("\u{FEFF}\u{FEFF}1", 3, .noValue),
    ]

    @Test(arguments: refusals)
    func refusesWithPlaceAndReason(_ refusal: Refusal) {
        #expect(throws: JSONError(offset: refusal.offset, reason: refusal.reason)) {
            try JSONValue(reading: refusal.bytes, Self.limits)
        }
    }

    /// A text and the same in compact form.
    static let accepted: [(text: String, compact: String)] = [
        ("null", "null"), (" true ", "true"), ("false\n", "false"), ("0", "0"), ("-0", "-0"), ("[ ]", "[]"),
        ("{ }", "{}"), ("\u{FEFF}[1]", "[1]"), ("[1 , 2\t,\r\n3]", "[1,2,3]"),
        (#"{"a" : {"b":[]} }"#, #"{"a":{"b":[]}}"#),
        ("1E-2", "1E-2"), ("-1.50e+3", "-1.50e+3"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e-999", "1e-999"), (#""\u0041\/\ud834\udd1e""#, #""\u0041\/\ud834\udd1e""#),
        ("\"\u{7F}é𝄞\"", "\"\u{7F}é𝄞\""),
        (#"{"a":1,"a":2,"":[{},[null]]}"#, #"{"a":1,"a":2,"":[{},[null]]}"#),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
        (#"[["x","y"],{"k":"v","l":["w"]},"z"]"#, #"[["x","y"],{"k":"v","l":["w"]},"z"]"#),
    ]

    @Test(arguments: accepted)
    func aValueIsWrittenAsItWasRead(text: String, compact: String) throws {
        #expect(try Self.read(text).description == compact)
    }

    @Test func numbersKeepTheirExactValue() throws {
        let integers: [(String, Int64)] = [
            ("0", 0), ("-0", 0), ("-1", -1), ("9007199254740993", 9_007_199_254_740_993), ("9223372036854775807", .max),
            ("-9223372036854775808", .min), ("1000000000000000000", 1_000_000_000_000_000_000),
        ]
        for (text, value) in integers {
            let read = try Self.read(text)
            #expect(read.kind == .integer && read.integer == value && read.double == Double(value), "\(text)")
            #expect(read.numberText == text)
        }
        let numbers: [(String, Double)] = [
            ("1.0", 1), ("1e3", 1_000), ("-0.0", -0.0), ("0.1", 0.1),
            ("9223372036854775808", 0x1p63),
            ("18446744073709551615", 0x1p64), ("9007199254740993.0", 9_007_199_254_740_992),
            ("1e22", 1e22), ("1e23", 1e23), ("123456789012345678e-30", 123456789012345678e-30),
            ("5e-324", .leastNonzeroMagnitude),
            ("1e-400", 0), ("2.2250738585072014e-308", .leastNormalMagnitude), ("0e999", 0), ("0.000001e310", 1e304),
            ("8.41e21", 8.41e21), ("2.2222222222222222222222222222222222222", 2.2222222222222222222222222222222222222),
        ]
        for (text, value) in numbers {
            let read = try Self.read(text)
            #expect(read.kind == .number && read.integer == nil && read.double == value, "\(text)")
            #expect(read.double?.sign == value.sign && read.numberText == text, "\(text)")
        }
    }

    @Test func stringsAreUnescaped() throws {
        let value = try Self.read(#""a\"\\\/\b\f\n\r\t\u00e9\u0000\ud834\udd1e\uFFFFz""#)
        #expect(value.string == "a\"\\/\u{8}\u{C}\n\r\té\u{0}𝄞\u{FFFF}z")
        #expect(value.isString("a\"\\/\u{8}\u{C}\n\r\té\u{0}𝄞\u{FFFF}z"))
        #expect(!value.isString("a\"\\/\u{8}\u{C}\n\r\té\u{0}𝄞\u{FFFF}"))
        #expect(!value.isString("a\"\\/\u{8}\u{C}\n\r\té\u{0}𝄞\u{FFFF}zz"))
        // Composed and decomposed are equal Strings, and not the same name.
        #expect(try !Self.read("\"e\u{301}\"").isString("é") && Self.read("\"é\"").isString("é"))
    }

    @Test func membersAndElementsAreFound() throws {
        let value = try Self.read(#"{"a":[1,[2,3],{"x":4}],"b":{"a":true},"\u0063":"d","b":null}"#)
        #expect(value.members.map(\.name) == ["a", "b", "c", "b"])
        #expect(value["c"]?.string == "d" && value["a"]?[1]?[1]?.integer == 3 && value["a"]?[2]?["x"]?.integer == 4)
        #expect(value["b"]?.isNull == true, "the last of a name counts")
        #expect(
            value["d"] == nil && value["a"]?[3] == nil && value["a"]?[-1] == nil && value[0] == nil
                && value["c"]?["d"] == nil)
        #expect(value["a"]?.elements.map(\.kind) == [.integer, .array, .object])
        #expect(value["c"]?.elements.map(\.kind) == [] && value["a"]?.members.map(\.name) == [])
        #expect(value.boolean == nil && value["a"]?[0]?.boolean == nil && value.string == nil && value.double == nil)
        #expect(value.members.first { $0.isNamed("b") }?.value["a"]?.boolean == true)
    }

    @Test(arguments: [("[", "]"), (#"{"a":"#, "}"), (#"[{"a":"#, "}]")])
    func depthIsBoundedWithoutRecursion(open: String, close: String) throws {
        let levels = open.utf8.count(where: { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "{") })
        func nested(_ times: Int) -> String {
            String(repeating: open, count: times) + "1" + String(repeating: close, count: times)
        }
        #expect(try Self.read(nested(32 / levels)).description == nested(32 / levels))
        for times in [33, 200, 10_000] {
            #expect {
                try Self.read(nested(times))
            } throws: {
                ($0 as? JSONError)?.reason == .tooDeep(limit: 32)
            }
        }
        // Read, written and freed without recursion, the depth is one of the caller's limits.
        let deep = try JSONValue(reading: Array(nested(10_000).utf8), JSONLimits(bytes: 1 << 20, depth: 20_000))
        #expect(deep.description == nested(10_000))
        #expect(throws: JSONError(offset: 0, reason: .tooDeep(limit: 0))) {
            try JSONValue(reading: Array("[]".utf8), JSONLimits(bytes: 10, depth: 0))
        }
    }

    @Test func bytesAndValuesAreBounded() throws {
        let text = Array("[1,2,3]".utf8)
        #expect(try JSONValue(reading: text, JSONLimits(bytes: 7, values: 4)).elements.map(\.integer) == [1, 2, 3])
        #expect(throws: JSONError(offset: 6, reason: .tooLong(limit: 6))) {
            try JSONValue(reading: text, JSONLimits(bytes: 6))
        }
        #expect(throws: JSONError(offset: 5, reason: .tooManyValues(limit: 3))) {
            try JSONValue(reading: text, JSONLimits(bytes: 7, values: 3))
        }
    }

    /// Every beginning of a text is refused: no end of the bytes is taken for an end of the value.
    @Test func everyTruncatedTextIsRefusedAtItsEnd() throws {
        let text = #"{"a":[-1.5e+3,true,null,{"b\u00e9\ud834\udd1e\n":"é𝄞"},false],"c":""}"#
        let bytes = Array(text.utf8)
        _ = try Self.read(text)
        for length in 0..<bytes.count {
            #expect(throws: JSONError.self, "\(length) bytes") {
                try JSONValue(reading: Array(bytes[..<length]), Self.limits)
            }
        }
    }

    @Test func aPayloadOf256KibibytesIsRead() throws {
        let long = String(repeating: "é\u{7F}abcdefg", count: 27_000)
        let text = "{\"t\":\"\(long)\",\"v\":[\(String(repeating: "0,", count: 2_000))1]}"
        #expect(text.utf8.count > 256 << 10)
        let value = try Self.read(text)
        #expect(value["t"]?.string == long && value["v"]?.elements.reduce(0) { $0 + ($1.integer ?? 9) } == 1)
        #expect(value.description == text)
    }

    @Test func everyReasonIsPlainText() {
        for refusal in Self.refusals {
            let text = JSONError(offset: refusal.offset, reason: refusal.reason).description
            #expect(text.hasSuffix(", at byte \(refusal.offset)") && !text.contains("("), "\(text)")
        }
    }
}
