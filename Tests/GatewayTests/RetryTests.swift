import Readings
import Testing

@testable import Gateway

@Suite struct RetryTests {
    @Test func oneWaitAtATimeEachLongerThanTheLast() {
        var retry = Ingest.Retry()
        var now = Instant(nanoseconds: 0)
        var pauses: [Duration] = []
        // Something new comes every 10 ms.
        for _ in 0..<10_000 {
            if let pause = retry.pause(isNeeded: true, now: now) { pauses.append(pause) }
            now = now + .milliseconds(10)
        }
        #expect(
            pauses.prefix(8)
                == [
                    .milliseconds(100), .milliseconds(200), .milliseconds(400), .milliseconds(800),
                    .milliseconds(1_600),
                    .milliseconds(3_200), .milliseconds(6_400), .seconds(10),
                ])
        #expect(pauses.count == 16)
        let none = retry.pause(isNeeded: false, now: now)
        #expect(none == nil)
        let first = retry.pause(isNeeded: true, now: now)
        #expect(first == .milliseconds(100))
    }
}
