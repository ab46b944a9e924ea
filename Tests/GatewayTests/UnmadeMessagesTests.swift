import Outbox
import Readings
import Testing

@testable import Gateway

/// How often the upstream is told of what could not be made.
@Suite struct UnmadeMessagesTests {
    private func at(_ seconds: Int64) -> Timestamp {
        Timestamp(
            instant: Instant(nanoseconds: seconds * 1_000_000_000), unixNanoseconds: seconds, quality: .synced)
    }

    @Test func theFirstAtOnceAndThenTogether() {
        var unmade = UnmadeMessages()
        #expect(unmade.take(now: at(0).instant).isEmpty && unmade.wait(now: at(0).instant) == nil)
        unmade.add([.events: 1], at: at(1))
        #expect(
            unmade.take(now: at(1).instant) == [Loss(.events, count: 1, from: at(1), to: at(1), reason: .invalid)])
        #expect(unmade.wait(now: at(1).instant) == nil)
        for second in 2...9 as ClosedRange<Int64> {
            unmade.add([.events: 1, .telemetry: 2], at: at(second))
            #expect(unmade.take(now: at(second).instant).isEmpty)
            // One look later is enough.
            #expect(unmade.wait(now: at(second).instant) == (second == 2 ? .seconds(9) : nil))
        }
        let told = unmade.take(now: at(11).instant).sorted { $0.deliveryClass.name < $1.deliveryClass.name }
        #expect(
            told == [
                Loss(.events, count: 8, from: at(2), to: at(9), reason: .invalid),
                Loss(.telemetry, count: 16, from: at(2), to: at(9), reason: .invalid),
            ])
        unmade.add([.events: 1], at: at(12))
        #expect(unmade.wait(now: at(12).instant) == .seconds(9))
        #expect(unmade.takeAll().map(\.count) == [1] && unmade.takeAll().isEmpty)
    }
}
