import Broker
import Testing

@Suite struct RefusalBurstsTests {
    private static func key(_ address: String) -> RefusalBursts.Key {
        RefusalBursts.Key(kind: .login, address: address, reason: "wrong")
    }

    @Test func aBurstIsOneLineAndThenItsCount() {
        var bursts = RefusalBursts()
        #expect(bursts.deadline == nil)
        let isTold1 = bursts.note(Self.key("a"), now: 0)
        #expect(isTold1)
        var told = 0
        for _ in 0..<100 where bursts.note(Self.key("a"), now: 1) { told += 1 }
        #expect(told == 0)
        // Another address, and another reason, are lines of their own.
        let isTold2 = bursts.note(Self.key("b"), now: 5)
        #expect(isTold2)
        let isTold3 = bursts.note(RefusalBursts.Key(kind: .breach, address: "a", reason: "wrong"), now: 5)
        #expect(isTold3)
        #expect(bursts.deadline == RefusalBursts.window)
        let early = bursts.summaries(now: RefusalBursts.window - 1)
        let first = bursts.summaries(now: RefusalBursts.window + 5)
        #expect(early.isEmpty && first == [RefusalBursts.Summary(key: Self.key("a"), count: 100)])
        // It goes on: counted for another minute, and forgotten when that brings nothing.
        let isTold4 = bursts.note(Self.key("a"), now: RefusalBursts.window + 6)
        #expect(!isTold4)
        let second = bursts.summaries(now: 2 * RefusalBursts.window + 6)
        let last = bursts.summaries(now: 4 * RefusalBursts.window)
        #expect(second.map(\.count) == [1] && last.isEmpty)
        #expect(bursts.deadline == nil)
        let isTold5 = bursts.note(Self.key("a"), now: 5 * RefusalBursts.window)
        #expect(isTold5)
    }

    @Test func inventedAddressesAreCountedTogether() {
        var bursts = RefusalBursts(capacity: 4)
        var told = 0
        for number in 0..<1_000 where bursts.note(Self.key("\(number)"), now: Int64(number)) { told += 1 }
        #expect(told == 4)
        let summaries = bursts.summaries(now: RefusalBursts.window + 1_000)
        #expect(summaries == [RefusalBursts.Summary(key: nil, count: 996)])
        #expect(bursts.deadline == nil)
    }
}
