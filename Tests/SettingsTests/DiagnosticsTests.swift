import Settings
import Testing

@Suite struct DiagnosticsTests {
    @Test func listsByFileAsReadThenByPlace() {
        let diagnostics = Diagnostics()
        let main = TOMLParser.parse("a = 1\nb = 2\n", file: "z.toml", into: diagnostics)
        _ = TOMLParser.parse("x = yes\n", file: "b.toml", into: diagnostics)
        diagnostics.warning("second", at: main["b"]?.position)
        diagnostics.error("first", at: main["a"]?.position)
        diagnostics.error("first", at: main["a"]?.position)
        diagnostics.error("no place")
        #expect(
            diagnostics.list.map { $0.description.prefix(24) } == [
                "error: no place", "z.toml:1:5: error: first", "z.toml:2:5: warning: sec", "b.toml:1:5: error: yes i",
            ])
        #expect(diagnostics.hasErrors)
    }

    @Test func keepsNoMoreThanItsLimitAndCountsTheRest() {
        let diagnostics = Diagnostics()
        for line in 0..<(Diagnostics.limit + 5) {
            diagnostics.warning("w", at: SourcePosition(file: "f", line: line, column: 1))
        }
        #expect(!diagnostics.hasErrors)
        #expect(diagnostics.omitted == 5)
        #expect(diagnostics.list.count == Diagnostics.limit + 1)
        #expect(diagnostics.list.last?.description == "warning: 5 more are not shown")
        diagnostics.error("e")
        #expect(diagnostics.hasErrors)
    }
}
