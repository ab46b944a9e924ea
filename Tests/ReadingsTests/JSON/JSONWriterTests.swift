import Readings
import Testing

@Suite struct JSONWriterTests {
    private func write(_ style: JSONWriter.Style, _ body: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter(style)
        body(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    private func example(_ writer: inout JSONWriter) {
        writer.beginObject()
        writer.name("a")
        writer.write(1)
        writer.name("b")
        writer.beginArray()
        writer.write("x")
        writer.writeNull()
        writer.beginObject()
        writer.endObject()
        writer.write(true)
        writer.endArray()
        writer.name("c")
        writer.beginArray()
        writer.endArray()
        writer.endObject()
    }

    @Test func compactTextHasNoWhiteSpace() {
        #expect(write(.compact, example) == #"{"a":1,"b":["x",null,{},true],"c":[]}"#)
    }

    @Test func prettyTextHasALineForEveryValue() {
        #expect(
            write(.pretty, example) == """
                {
                  "a" : 1,
                  "b" : [
                    "x",
                    null,
                    {},
                    true
                  ],
                  "c" : []
                }
                """)
    }

    @Test func numbersAreWrittenExactly() throws {
        let text = write(.compact) { writer in
            writer.beginArray()
            writer.write(Int64.min)
            writer.write(UInt64.max)
            writer.write(21.4)
            writer.write(-0.0)
            writer.write(1e300)
            writer.write(Double.leastNonzeroMagnitude)
            writer.write(Double.infinity)
            writer.write(Double.nan)
            writer.endArray()
        }
        #expect(text == "[-9223372036854775808,18446744073709551615,21.4,-0.0,1e+300,5e-324,null,null]")
        let read = try JSONValue(reading: Array(text.utf8), JSONLimits(bytes: 1_000))
        #expect(read.elements.map(\.double) == [-0x1p63, 0x1p64, 21.4, -0.0, 1e300, .leastNonzeroMagnitude, nil, nil])
    }

    @Test func everyStringComesBack() throws {
        let texts = [
            "", "a\"b\\c/d", "\u{0}\u{1F}\n\t\u{7F}", "é𝄞\u{FEFF}\u{2028}", String(repeating: "x", count: 1_000) + "\"",
        ]
        for text in texts {
            let bytes = Array(write(.compact) { $0.write(text) }.utf8)
            #expect(try JSONValue(reading: bytes, JSONLimits(bytes: 2_000)).string == text)
        }
        #expect(write(.compact) { $0.write("a\u{1}\u{1F}\"") } == #""a\u0001\u001f\"""#)
    }

    @Test func aValueThatWasReadIsCopiedIntoAnyText() throws {
        let value = try JSONValue(
            reading: Array(#" {"\u0061": [1.50, "x\n", {}], "b": {"c": null}} "#.utf8), JSONLimits(bytes: 100))
        let text = write(.compact) { writer in
            writer.beginArray()
            writer.write(value)
            writer.write(7)
            writer.endArray()
        }
        #expect(text == #"[{"\u0061":[1.50,"x\n",{}],"b":{"c":null}},7]"#)
    }
}
