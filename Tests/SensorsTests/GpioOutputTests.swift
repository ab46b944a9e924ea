import Glibc
import Readings
import Sensors
import TestSupport
import Testing

/// Outputs against the kernel's gpio-sim, which lets a line that nobody holds fall back to its pull.
@Suite(
    .serialized, .timeLimit(.minutes(3)),
    .enabled(if: GpioSimulator.isHere, "no gpio-sim here: run `make test-gpio`"))
struct GpioOutputTests {
    static func rig(_ line: Int, _ more: String, _ directory: TemporaryDirectory) throws -> SensorRig {
        try SensorRig([(GpioOutputSensor.self, "line = 'GPIO\(line)'\n\(more)")], directory: directory.path)
    }

    @Test func itObeysAndReportsWhatItIs() async throws {
        let directory = try TemporaryDirectory()
        GpioSimulator.pull(22, up: false)
        let rig = try Self.rig(22, "initial = 'off'", directory)
        try await rig.run {
            #expect(await eventually { rig.values(of: 0) == [.boolean(false)] })
            #expect(rig.hub.command("cmd/s0", payload: Array("on".utf8)))
            #expect(await eventually { rig.values(of: 0) == [.boolean(false), .boolean(true)] })
            #expect(GpioSimulator.level(22) == true)
            #expect(rig.hub.command("cmd/s0", payload: Array("off for 200ms".utf8)))
            #expect(await eventually { rig.values(of: 0).count == 3 })
            #expect(await eventually { rig.values(of: 0).count == 4 })
            #expect(rig.values(of: 0).suffix(2) == [.boolean(false), .boolean(true)])
            #expect(rig.hub.command("cmd/s0", payload: Array("explode".utf8)))
            #expect(await eventually { rig.hub.snapshot()[0].refusedCommands == 1 })
            #expect(GpioSimulator.level(22) == true)
        }
    }

    @Test func aRestartDoesNotMoveIt() async throws {
        let directory = try TemporaryDirectory()
        GpioSimulator.pull(23, up: false)
        let first = try Self.rig(23, "initial = 'off'", directory)
        try await first.run {
            #expect(await eventually { first.state(of: 0).name == "running" })
            #expect(first.hub.command("cmd/s0", payload: Array("on".utf8)))
            #expect(await eventually { GpioSimulator.level(23) == true })
        }
        // Watched without a pause while it is stopped and started again.
        let watch = GpioSimulator.Watch(23)
        for _ in 0..<5 {
            let again = try Self.rig(23, "initial = 'off'", directory)
            try await again.run { #expect(await eventually { again.values(of: 0) == [.boolean(true)] }) }
        }
        #expect(try await watch.falls() == 0)
        // As an input it can be had all the same: the holder lets go.
        let input = try SensorRig([(GpioSensor.self, "line = 'GPIO23'")], directory: directory.path)
        try await input.run { #expect(await eventually { input.state(of: 0).name == "running" }) }
    }

    @Test func itBecomesSafe() async throws {
        let directory = try TemporaryDirectory()
        GpioSimulator.pull(24, up: true)
        let rig = try Self.rig(24, "initial = 'keep'\ncommand_timeout = '400ms'\non_exit = 'safe'", directory)
        try await rig.run {
            // Kept from the input that it was.
            #expect(await eventually { rig.values(of: 0).first == .boolean(true) })
            #expect(await eventually { rig.values(of: 0).last == .boolean(false) })
            #expect(rig.hub.command("cmd/s0", payload: Array("on".utf8)))
            #expect(await eventually { GpioSimulator.level(24) == true })
        }
        #expect(GpioSimulator.level(24) == false)
    }

    @Test func activeLowIsLowWhenItIsOn() async throws {
        let directory = try TemporaryDirectory()
        GpioSimulator.pull(25, up: true)
        let rig = try Self.rig(25, "initial = 'on'\nactive_low = true", directory)
        try await rig.run {
            #expect(await eventually { rig.values(of: 0) == [.boolean(true)] })
            #expect(GpioSimulator.level(25) == false)
        }
    }
}
