import Readings
import Testing

@Suite struct GrowingPauseTests {
    @Test func doublesUpToItsLimit() {
        var pause = GrowingPause(.milliseconds(100)...(.milliseconds(500)))
        #expect((0..<5).map { _ in pause.next() } == [100, 200, 400, 500, 500].map { .milliseconds($0) })
    }

    @Test func nothingGrowsOutOfTheRange() {
        #expect(GrowingPause.length(after: 1_000_000, .seconds(1)...(.seconds(1))) == .seconds(1))
        let longest = Duration.nanoseconds(Int64.max)
        #expect(GrowingPause.length(after: 200, .nanoseconds(1)...longest) == longest)
        #expect(GrowingPause.length(after: 9, .zero...(.seconds(1))) == .zero)
    }
}
