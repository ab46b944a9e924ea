import Synchronization
import Testing

@testable import Gateway

/// Parts run beside each other and stop one after the other.
@Suite(.timeLimit(.minutes(1))) struct LifecycleTests {
    final class Log: Sendable {
        let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    @Test func partsStopInReverse() async {
        let log = Log()
        let isRunning = Occasion()
        func part(_ name: String) -> Lifecycle.Part {
            { stop in
                await stop.wait()
                log.add(name)
            }
        }
        await Lifecycle.run(
            [
                part("link"), part("ingest"),
                { stop in
                    isRunning.come()
                    await stop.cancel { try? await Task.sleep(for: .seconds(3_600)) }
                    log.add("sensors")
                },
            ], until: { await isRunning.wait() })
        #expect(log.lines.withLock { $0 } == ["sensors", "ingest", "link"])
    }

    @Test func aPartThatEndsByItselfHoldsNobodyUp() async {
        let log = Log()
        await Lifecycle.run(
            [
                { _ in log.add("short") },
                { stop in
                    await stop.wait()
                    log.add("long")
                },
            ], until: {})
        #expect(Set(log.lines.withLock { $0 }) == ["short", "long"])
    }

    @Test func anOccasionComesOnceForAllAndACancelledWaitEnds() async {
        let occasion = Occasion()
        let waiting = (0..<10).map { _ in Task { await occasion.wait() } }
        let cancelled = Task { await Occasion().wait() }
        cancelled.cancel()
        await cancelled.value
        occasion.come()
        occasion.come()
        for task in waiting { await task.value }
        await occasion.wait()
    }
}
