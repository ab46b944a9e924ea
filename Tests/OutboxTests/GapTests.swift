import Testing

@testable import Outbox

@Suite struct GapTests {
    @Test func aRecordComesBackAsItWasStored() {
        let gap = Gap(count: 7, first: 1, last: 1 << 47, from: .min, to: .max, reason: [.overflow, .expired])
        #expect(Gap(stored: gap.stored) == gap)
        #expect(gap.stored.count == Gap.storedByteCount)
        #expect(Gap(stored: []) == nil)
        #expect(Gap(stored: Array(gap.stored.dropLast())) == nil)
    }
}
