import Glibc
import Readings
import Sensors
import TestSupport
import Testing

/// Counters against the kernel's gpio-sim.
@Suite(
    .serialized, .timeLimit(.minutes(3)),
    .enabled(if: GpioSimulator.isHere, "no gpio-sim here: run `make test-gpio`"))
struct GpioCounterTests {
    static func total(_ rig: SensorRig) -> Double? {
        rig.samples(of: 0).last { $0.metric == "total" }?.value.asDouble
    }

    @Test func everyEdgeIsCountedHoweverFast() async throws {
        let directory = try TemporaryDirectory()
        GpioSimulator.pull(20, up: false)
        let rig = try SensorRig(
            [(GpioCounterSensor.self, "line = 'GPIO20'\ninterval = '100ms'")], directory: directory.path)
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            try await onOwnThread { GpioSimulator.toggle(20, (1...100_000).lazy.map { $0 % 2 == 1 }) }
            #expect(await eventually { Self.total(rig) == 50_000 }, "\(Self.total(rig) ?? -1)")
            #expect(rig.samples(of: 0).contains { $0.metric == "rate" && $0.value.asDouble ?? 0 > 100 })
        }
        // Both edges, from where it was, by another sensor on the same line.
        let second = try SensorRig(
            [(GpioCounterSensor.self, "line = 'GPIO20'\nedge = 'both'\ninterval = '100ms'\npulses_per_unit = 1000")],
            directory: directory.path)
        try await second.run {
            #expect(await eventually { Self.total(second) == 50 })
            GpioSimulator.toggle(20, [true, false, true, false])
            #expect(await eventually { Self.total(second) == 50.004 })
            #expect(second.hub.command("cmd/s0", payload: Array("set 7.5".utf8)))
            #expect(await eventually { Self.total(second) == 7.5 })
            #expect(second.hub.command("cmd/s0", payload: Array("reset".utf8)))
            #expect(await eventually { Self.total(second) == 0 })
            #expect(second.hub.command("cmd/s0", payload: Array("double".utf8)))
            #expect(await eventually { second.hub.snapshot()[0].refusedCommands == 1 })
        }
        let third = try SensorRig([(GpioCounterSensor.self, "line = 'GPIO20'")], directory: directory.path)
        try await third.run { #expect(await eventually { Self.total(third) == 0 }) }
    }

    @Test func theKernelDebouncesThroughAnyLibrary() async throws {
        let directory = try TemporaryDirectory()
        GpioSimulator.pull(21, up: false)
        let rig = try SensorRig(
            [(GpioCounterSensor.self, "line = 'GPIO21'\ndebounce = '50ms'\ninterval = '100ms'")],
            directory: directory.path)
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            GpioSimulator.toggle(21, (1...21).map { $0 % 2 == 1 })
            #expect(await eventually { Self.total(rig) == 1 })
        }
    }
}
