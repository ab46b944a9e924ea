import Readings
import Testing

@Suite struct TopCountsTests {
    @Test func countsAreExactWhileThereIsRoom() {
        var counts = TopCounts<String>(capacity: 3)
        for key in ["b", "a", "b", "c", "b", "a"] { counts.note(key) }
        #expect(counts.top(2).map(\.key) == ["b", "a"] && counts.top(9).map(\.count) == [3, 2, 1])
        #expect(counts.top(9).allSatisfy { $0.error == 0 } && counts.total == 6)
    }

    /// A peer that invents keys can neither grow the table nor push out what occurs more often than 1 in `capacity`.
    @Test func inventedKeysNeitherGrowTheTableNorHideWhatIsFrequent() {
        var counts = TopCounts<Int>(capacity: 8)
        for number in 1...4_000 {
            counts.note(-1)
            counts.note(number)
        }
        let top = counts.top(100)
        #expect(top.count == 8 && counts.total == 8_000)
        #expect(top[0].key == -1 && top[0].count - top[0].error <= 4_000 && top[0].count >= 4_000)
        #expect(top.allSatisfy { $0.count >= $0.error + 1 })
    }
}
