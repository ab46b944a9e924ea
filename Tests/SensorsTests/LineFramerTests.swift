import Sensors
import TestSupport
import Testing

@Suite struct LineFramerTests {
    static func lines(_ framer: inout LineFramer, _ text: String) -> [String] {
        framer.push(Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func cutsAtTheDelimiterWhereverTheReadsEnd() {
        var framer = LineFramer(delimiter: [0x0A], maximumLength: 10, skipsFirst: false)
        #expect(Self.lines(&framer, "ab") == [])
        #expect(Self.lines(&framer, "c\r\nd\n\n\r\nef") == ["abc", "d"])
        #expect(Self.lines(&framer, "\n") == ["ef"])
    }

    @Test func dropsAndCountsWhatIsTooLong() {
        var framer = LineFramer(delimiter: Array("##".utf8), maximumLength: 4, skipsFirst: false)
        #expect(
            Self.lines(&framer, "1234##12345##" + String(repeating: "x", count: 10_000) + "##ok##") == ["1234", "ok"])
        #expect(framer.overlong == 2)
    }

    @Test func skipsTheFirstPartialLine() {
        var framer = LineFramer(delimiter: [0x0A], maximumLength: 10, skipsFirst: true)
        #expect(Self.lines(&framer, "lf\nwhole\n") == ["whole"])
    }

    @Test(arguments: [UInt64](1...20)) func chunkingChangesNothing(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let text = (0..<200).map { _ in String(repeating: "y", count: Int.random(in: 0...12, using: &random)) }
            .joined(separator: "\n")
        var whole = LineFramer(delimiter: [0x0A], maximumLength: 8, skipsFirst: false)
        let expected = Self.lines(&whole, text)
        var parts = LineFramer(delimiter: [0x0A], maximumLength: 8, skipsFirst: false)
        var found: [String] = []
        var rest = text[...]
        while !rest.isEmpty {
            let count = Int.random(in: 1...7, using: &random)
            found += Self.lines(&parts, String(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        #expect(found == expected, "seed \(seed)")
        #expect(parts.overlong == whole.overlong, "seed \(seed)")
    }
}
