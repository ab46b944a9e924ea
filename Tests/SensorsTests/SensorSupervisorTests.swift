import Glibc
import Logging
import Readings
import Sensors
import Synchronization
import TestSupport
import Testing

/// Supervision with sensors that fail on purpose.
@Suite(.timeLimit(.minutes(1))) struct SensorSupervisorTests {
    /// Fails the first `failures` times, then delivers one sample and waits for the end.
    final class Failing: Sensor {
        private let left: Mutex<Int>

        init(failures: Int) { left = Mutex(failures) }

        func run(_ context: SensorContext) async throws(SensorError) {
            let fails = left.withLock { left in
                defer { left -= 1 }
                return left > 0
            }
            if fails {
                throw SensorError(doing: "measure", reason: "the probe is wet", remedy: "dry it", isAbsent: true)
            }
            context.isOpen()
            context.emit(.samples([Sample(value: .integer(1))]))
            _ = try? await Task.sleep(for: .seconds(3_600))
        }
    }

    static func supervisor(_ sensors: [any Sensor], deliver: @escaping @Sendable (Arrival) -> Void) -> SensorSupervisor
    {
        SensorSupervisor(
            sensors.enumerated().map {
                .init(id: DeviceID("s\($0.offset)"), driver: "test", topic: "t/\($0.offset)", sensor: $0.element)
            }, time: KernelTime(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, deliver: deliver)
    }

    @Test func aFailingSensorRestartsAloneAndSaysWhy() async throws {
        let arrivals = Mutex<[Arrival]>([])
        let failures = Mutex<[Arrival]>([])
        let supervisor = Self.supervisor([Failing(failures: .max), Failing(failures: 2), Failing(failures: 0)]) {
            arrival in
            if case .unavailable = arrival.body { return failures.withLock { $0.append(arrival) } }
            arrivals.withLock { $0.append(arrival) }
        }
        let task = Task { await supervisor.run() }
        #expect(await eventually { arrivals.withLock { $0.count } == 2 })
        #expect(await eventually { supervisor.snapshot()[0].restarts >= 2 })
        let states = supervisor.snapshot()
        #expect(states.map(\.id.name) == ["s0", "s1", "s2"])
        #expect(states.map(\.state.name) == ["failed", "running", "running"])
        #expect(states[0].state.problem == "cannot measure: the probe is wet\n  try: dry it")
        #expect(states.map(\.samples) == [0, 1, 1])
        #expect(states[1].restarts == 2 && states[2].restarts == 0)
        #expect(arrivals.withLock { $0.map(\.topic) }.sorted() == ["t/1", "t/2"])
        // However often it fails for the same reason, that is told once.
        #expect(failures.withLock { $0.map(\.topic) }.sorted() == ["t/0", "t/1"])
        supervisor.stop()
        await task.value
    }

    @Test func cancellingEndsEverySensor() async throws {
        let supervisor = Self.supervisor([Failing(failures: 0), Failing(failures: .max)]) { _ in }
        let task = Task { await supervisor.run() }
        #expect(await eventually { supervisor.snapshot()[0].state.name == "running" })
        task.cancel()
        await task.value
    }

    @Test func stoppedBeforeItRunsItDoesNotRun() async throws {
        let supervisor = Self.supervisor([Failing(failures: 0)]) { _ in Issue.record("a sensor ran") }
        supervisor.stop()
        let task = Task { await supervisor.run() }
        let isOver = Mutex(false)
        let watch = Task {
            await task.value
            isOver.withLock { $0 = true }
        }
        #expect(await eventually(within: .seconds(5)) { isOver.withLock { $0 } })
        task.cancel()
        await watch.value
    }
}
