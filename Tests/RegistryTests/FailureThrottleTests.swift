import Registry
import TestSupport
import Testing

@Suite struct FailureThrottleTests {
    private let second: Int64 = 1_000_000_000

    @Test func theFifthFailureClosesTheDoorAndEachMoreForTwiceAsLong() {
        var throttle = FailureThrottle()
        var now: Int64 = 0
        for _ in 0..<4 {
            throttle.fail("a", now: now)
            #expect(throttle.delay(of: "a", now: now) == 0)
            now += second
        }
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] as [Int64] {
            throttle.fail("a", now: now)
            #expect(throttle.delay(of: "a", now: now) == expected * second)
            #expect(throttle.delay(of: "b", now: now) == 0)
            now += expected * second
            #expect(throttle.delay(of: "a", now: now - 1) == 1)
            #expect(throttle.delay(of: "a", now: now) == 0)
        }
        now += FailureThrottle.window + 1
        for _ in 0..<4 { throttle.fail("a", now: now) }
        #expect(throttle.delay(of: "a", now: now) == 0, "a quiet minute forgets")
    }

    @Test func slowFailuresNeverCloseTheDoor() {
        var throttle = FailureThrottle()
        for step in 0..<100 as Range<Int64> {
            throttle.fail("a", now: step * 16 * second)
            #expect(throttle.delay(of: "a", now: step * 16 * second) == 0)
        }
    }

    /// Whatever comes, in whatever order of times: the table and the delays stay bounded.
    @Test(arguments: [UInt64](1...10)) func everythingIsBounded(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var throttle = FailureThrottle(capacity: 8)
        var now: Int64 = 0
        for _ in 0..<3000 {
            now += Int64.random(in: -2...20, using: &random) * second
            let address = "\(Int.random(in: 0..<30, using: &random))"
            throttle.fail(address, now: now)
            #expect(throttle.count <= 8)
            #expect((0...FailureThrottle.longestDelay).contains(throttle.delay(of: address, now: now)))
        }
    }

    @Test func theLongestQuietAddressMakesRoom() {
        var throttle = FailureThrottle(capacity: 2)
        for _ in 0..<6 { throttle.fail("bad", now: 0) }
        throttle.fail("x", now: second)
        throttle.fail("y", now: second)
        #expect(throttle.count == 2 && throttle.delay(of: "bad", now: second) > 0)
    }
}
