import Testing

@testable import Admin

@Suite struct StatusTextTests {
    @Test(arguments: [
        (0.25, "250 ms"), (-3, "0 ms"), (1, "1 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"),
        (7_200, "2 h 0 min"), (172_800, "2 d 0 h"), (400_000, "4 d 15 h"),
    ])
    func agesReadWell(seconds: Double, expected: String) { #expect(GatewayStatus.age(seconds) == expected) }

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (12_345, "12.3 kB"), (256_000_000, "256.0 MB"),
    ])
    func sizesReadWell(bytes: Int64, expected: String) { #expect(GatewayStatus.size(bytes) == expected) }

    @Test func namesDoNotCommandTheTerminal() {
        #expect(GatewayStatus.visible("pump\u{1B}[2J\n7 é") == "pump\\u{1B}[2J\\n7 é")
    }
}
