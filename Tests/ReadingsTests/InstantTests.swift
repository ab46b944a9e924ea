import Readings
import Testing

@Suite struct InstantTests {
    @Test func addsAndSubtractsDurations() {
        let start = Instant(nanoseconds: 5_000_000_000)
        let later = start + .milliseconds(1_500)
        #expect(later.nanoseconds == 6_500_000_000)
        #expect(later - start == .milliseconds(1_500))
        #expect(start - later == .milliseconds(-1_500))
        #expect(start < later)
    }

    @Test(arguments: [Duration.seconds(Int64.max), .seconds(300 * 366 * 86_400)])
    func saturatesInsteadOfTrapping(duration: Duration) {
        #expect(Instant(nanoseconds: .max - 1) + duration == Instant(nanoseconds: .max))
        #expect(Instant(nanoseconds: .min + 1) + (.zero - duration) == Instant(nanoseconds: .min))
    }

    /// What is due since ever is not due in 292 years.
    @Test func differencesSaturateToo() {
        #expect(Instant(nanoseconds: .min) - Instant(nanoseconds: 5) == .nanoseconds(Int64.min))
        #expect(Instant(nanoseconds: 5) - Instant(nanoseconds: .min) == .nanoseconds(Int64.max))
    }

    @Test func wholeNanosecondsCutsWhatIsSmaller() {
        #expect(Duration(secondsComponent: 1, attosecondsComponent: 1_999_999_999).wholeNanoseconds == 1_000_000_001)
        #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
    }
}
