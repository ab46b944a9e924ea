import Glibc
import Logging
import Readings
import Sensors
import Synchronization
import TestSupport
import Testing

/// The hub with sensors that fail on purpose.
@Suite(.timeLimit(.minutes(1))) struct SensorHubTests {
    /// Fails the first `failures` times, then delivers one sample and waits for the end. Answers each command with a
    /// sample that holds it.
    final class Failing: Sensor {
        private let left: Mutex<Int>
        private let number: Int64
        let commands: [String?]

        init(failures: Int, number: Int64 = 1, takesCommands: Bool = false) {
            left = Mutex(failures)
            self.number = number
            commands = takesCommands ? [nil, "level"] : []
        }

        func run(_ context: SensorContext) async throws(SensorError) {
            let fails = left.withLock { left in
                defer { left -= 1 }
                return left > 0
            }
            if fails {
                throw SensorError(doing: "measure", reason: "the probe is wet", remedy: "dry it", isAbsent: true)
            }
            context.isOpen()
            context.emit(.samples([Sample(value: .integer(number))]))
            while true {
                switch await context.wait() {
                case .command:
                    for command in context.commands.take() {
                        context.emit(.samples([Sample(value: .text(command.text ?? ""))]))
                    }
                case .cancelled: return
                case .ready, .timedOut: break
                }
            }
        }
    }

    /// Says that it does not work, and that it does again, without ending.
    final class Healing: Sensor {
        func run(_ context: SensorContext) async throws(SensorError) {
            let error = SensorError(doing: "read device 7", reason: "it does not answer", remedy: "check its power")
            context.isOpen()
            context.failing(error)
            context.failing(error)
            context.isOpen()
            _ = await context.wait()
        }

        var claim: SensorClaim? { SensorClaim(resource: "the port /dev/x") }
    }

    static func entry(_ number: Int, _ sensor: any Sensor) -> SensorHub.Entry {
        .init(id: DeviceID("s\(number)"), driver: "test", topic: "t/\(number)", sensor: sensor)
    }

    static func hub(
        _ sensors: [any Sensor], logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        deliver: @escaping @Sendable (Arrival) -> Void
    ) -> SensorHub {
        SensorHub(
            sensors.enumerated().map { entry($0.offset, $0.element) }, time: KernelTime(), logger: logger,
            deliver: deliver)
    }

    @Test func aFailingSensorIsRunAgainAloneAndSaysWhy() async throws {
        let arrivals = Mutex<[Arrival]>([])
        let failures = Mutex<[Arrival]>([])
        let hub = Self.hub([Failing(failures: .max), Failing(failures: 2), Failing(failures: 0)]) { arrival in
            if case .unavailable = arrival.body { return failures.withLock { $0.append(arrival) } }
            arrivals.withLock { $0.append(arrival) }
        }
        let task = Task { await hub.runTrial() }
        #expect(await eventually { arrivals.withLock { $0.count } == 2 })
        #expect(await eventually { hub.snapshot()[0].restarts >= 2 })
        let states = hub.snapshot()
        #expect(states.map(\.id.name) == ["s0", "s1", "s2"])
        #expect(states.map(\.state.name) == ["failed", "running", "running"])
        #expect(states[0].state.problem == "cannot measure: the probe is wet\n  try: dry it")
        #expect(hub.problem(of: DeviceID("s0"))?.remedy == "dry it" && hub.problem(of: DeviceID("s2")) == nil)
        #expect(states.map(\.samples) == [0, 1, 1])
        #expect(states[1].restarts == 2 && states[2].restarts == 0)
        #expect(arrivals.withLock { $0.map(\.topic) }.sorted() == ["t/1", "t/2"])
        // However often it fails for the same reason, that is told once.
        #expect(failures.withLock { $0.map(\.topic) }.sorted() == ["t/0", "t/1"])
        task.cancel()
        await task.value
        hub.close()
    }

    final class Opened: Sendable {
        private let number = Mutex(0)
        var count: Int { number.withLock { $0 } }
        func note() { number.withLock { $0 += 1 } }
    }

    @Test func anAttemptTellsWhenItWorksAndThrowsWhenItDoesNot() async throws {
        let hub = Self.hub([Failing(failures: 1)]) { _ in }
        let opened = Opened()
        let id = DeviceID("s0")
        var failure: SensorError?
        do throws(SensorError) { try await hub.run(id, opened: { opened.note() }) } catch { failure = error }
        #expect(failure?.isAbsent == true && opened.count == 0)
        let task = Task { try? await hub.run(id, opened: { opened.note() }) }
        #expect(await eventually { opened.count == 1 })
        task.cancel()
        await task.value
        // There is no such sensor: nothing is done.
        try await hub.run(DeviceID("s7"))
        hub.close()
    }

    @Test func sensorsComeAndGoWhileOthersRun() async throws {
        let arrivals = Mutex<[Arrival]>([])
        let hub = Self.hub([Failing(failures: 0, takesCommands: true)]) { arrival in
            arrivals.withLock { $0.append(arrival) }
        }
        let first = Task { await hub.runTrial() }
        #expect(await eventually { hub.snapshot().map(\.samples) == [1] })

        hub.add(Self.entry(1, Failing(failures: 0, number: 2, takesCommands: true)))
        #expect(hub.snapshot().map(\.id.name) == ["s0", "s1"])
        let id = DeviceID("s1")
        var second = Task { await hub.runTrial(of: [id]) }
        #expect(await eventually { hub.snapshot(of: id)?.samples == 1 })
        #expect(hub.command("cmd/s1", payload: Array("on".utf8)))
        #expect(await eventually { hub.snapshot(of: id)?.samples == 2 })

        // Replaced: what was counted, and a command that came in between, are the new one's.
        second.cancel()
        await second.value
        #expect(hub.command("cmd/s1/level", payload: Array("late".utf8)))
        var other = Self.entry(1, Failing(failures: 0, number: 3, takesCommands: true))
        other.topic = "t/other"
        other.commandTopic = "do/s1"
        hub.add(other)
        #expect(!hub.command("cmd/s1", payload: Array("on".utf8)))
        second = Task { await hub.runTrial(of: [id]) }
        #expect(await eventually { hub.snapshot(of: id)?.samples == 4 })
        #expect(hub.snapshot(of: id)?.commands == 2)
        let values = arrivals.withLock { $0.filter { $0.topic == "t/other" } }.map(\.body)
        #expect(values == [.samples([Sample(value: .integer(3))]), .samples([Sample(value: .text("late"))])])

        second.cancel()
        await second.value
        hub.remove(id)
        #expect(hub.snapshot(of: id) == nil && !hub.command("do/s1", payload: [0x31]))
        // The first has run all the time, and was run once.
        #expect(hub.snapshot().map(\.samples) == [1] && hub.snapshot()[0].restarts == 0)
        #expect(hub.command("cmd/s0", payload: Array("off".utf8)))
        #expect(await eventually { hub.snapshot()[0].samples == 2 })
        first.cancel()
        await first.value
        hub.close()
    }

    @Test func aClosedHubEndsItsSensorsAndStartsNone() async throws {
        let hub = Self.hub([Failing(failures: 0)]) { _ in }
        let task = Task { try? await hub.run(DeviceID("s0")) }
        #expect(await eventually { hub.snapshot()[0].state.name == "running" })
        hub.close()
        await task.value
        let samples = hub.snapshot()[0].samples
        try await hub.run(DeviceID("s0"))
        #expect(hub.snapshot()[0].samples == samples)
    }

    @Test func whoeverWaitsForARemovedSensorGoesOn() async throws {
        let hub = Self.hub([Failing(failures: .max)]) { _ in }
        let waiting = Task { await hub.nextDelivery(of: DeviceID("s0")) }
        let cancelled = Task { await hub.nextDelivery(of: DeviceID("s0")) }
        cancelled.cancel()
        await cancelled.value
        // It may not wait yet when the sensor goes: then the next removal ends its wait.
        let isOver = Mutex(false)
        let watch = Task {
            await waiting.value
            isOver.withLock { $0 = true }
        }
        #expect(
            await eventually {
                hub.remove(DeviceID("s0"))
                return isOver.withLock { $0 }
            })
        await watch.value
    }

    final class Lines: LogHandler, @unchecked Sendable {
        private let list = Mutex<[String]>([])
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.notice
        var all: [String] { list.withLock { $0 } }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { nil }
            set {}
        }

        func log(event: LogEvent) {
            let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let line = (["\(event.level)", event.message.description] + metadata).joined(separator: " ")
            list.withLock { $0.append(line) }
        }
    }

    /// At the default level: once when it stops working, once when it works again, with its port and what to do.
    @Test func aSensorThatHealsItselfSaysBoth() async throws {
        let lines = Lines()
        let hub = Self.hub([Healing()], logger: Logger(label: "sensors") { _ in lines }) { _ in }
        let task = Task { await hub.runTrial() }
        #expect(await eventually { lines.all.count == 2 })
        #expect(
            lines.all.first
                == "warning a sensor does not work error=cannot read device 7: it does not answer\n  try: check its power sensor=s0"
        )
        let second = lines.all.last ?? ""
        #expect(
            second.hasPrefix("notice a sensor works again away=")
                && second.hasSuffix(" s on=the port /dev/x sensor=s0"), "\(second)")
        task.cancel()
        await task.value
        hub.close()
    }
}
