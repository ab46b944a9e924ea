import Testing

@testable import Gateway

@Suite(.timeLimit(.minutes(1))) struct OneShotEventTests {
    @Test func anEventHappensOnceForAllAndACancelledWaitEnds() async {
        let event = OneShotEvent()
        let waiting = (0..<10).map { _ in Task { await event.wait() } }
        let cancelled = Task { await OneShotEvent().wait() }
        cancelled.cancel()
        await cancelled.value
        event.signal()
        event.signal()
        for task in waiting { await task.value }
        await event.wait()
        #expect(event.hasHappened)
    }

    @Test func aWaitWithALimitSaysWhetherTheEventHasHappened() async {
        let event = OneShotEvent()
        #expect(await event.wait(atMost: .milliseconds(10)) == false)
        event.signal()
        #expect(await event.wait(atMost: .seconds(3_600)))
    }

    @Test func theEventCancelsWhatRunsUntilIt() async {
        let event = OneShotEvent()
        async let body: Void = event.cancel { try? await Task.sleep(for: .seconds(3_600)) }
        event.signal()
        await body
    }
}
