import Glibc
import Readings
import Sensors
import TestSupport
import Testing

/// The GPIO driver against the kernel's gpio-sim. `Tests/VM/test-gpio` runs these in a virtual machine that has it; the
/// variable `GPIO_SIM` names the simulator's directory there.
@Suite(
    .serialized, .timeLimit(.minutes(2)),
    .enabled(if: getenv("GPIO_SIM") != nil, "no gpio-sim here: run `make test-gpio`"))
struct GpioSensorTests {
    static let simulator = getenv("GPIO_SIM").map { String(cString: $0) } ?? ""

    static func pull(_ line: Int, up: Bool) {
        guard let file = fopen("\(simulator)/sim_gpio\(line)/pull", "w") else {
            Issue.record("no simulated line \(line)")
            return
        }
        fputs(up ? "pull-up" : "pull-down", file)
        fclose(file)
    }

    static func rig(_ text: String) throws -> SensorRig { try SensorRig([(GpioSensor.self, text)]) }

    @Test func edgesArriveInOrderWithKernelTimes() async throws {
        Self.pull(17, up: false)
        let rig = try Self.rig("line = 'GPIO17'")
        try await rig.run {
            #expect(await eventually { rig.values(of: 0) == [.boolean(false)] })
            for round in 1...50 {
                Self.pull(17, up: round % 2 == 1)
                #expect(await eventually { rig.values(of: 0).count == round + 1 })
            }
            #expect(rig.values(of: 0) == (0...50).map { .boolean($0 % 2 == 1) })
            let times = rig.arrivals.map(\.time.instant)
            #expect(times == times.sorted())
            #expect(KernelTime().now().instant - times[50] < .seconds(10))
        }
    }

    @Test func activeLowTurnsTheValueAround() async throws {
        Self.pull(3, up: true)
        let rig = try Self.rig("line = 'GPIO3'\nactive_low = true")
        try await rig.run {
            #expect(await eventually { rig.values(of: 0) == [.boolean(false)] })
            Self.pull(3, up: false)
            #expect(await eventually { rig.values(of: 0) == [.boolean(false), .boolean(true)] })
        }
    }

    @Test func aBouncingContactIsOneChange() async throws {
        Self.pull(4, up: false)
        let rig = try Self.rig("line = 'GPIO4'\ndebounce = '200ms'")
        try await rig.run {
            #expect(await eventually { rig.values(of: 0).count == 1 })
            for round in 0..<9 { Self.pull(4, up: round % 2 == 0) }
            #expect(
                await eventually { rig.values(of: 0) == [.boolean(false), .boolean(true)] }, "\(rig.values(of: 0))")
        }
    }

    @Test func aLineInUseNamesItsHolder() async throws {
        let first = try Self.rig("line = 'GPIO5'")
        let second = try Self.rig("line = 'GPIO5'")
        try await first.run {
            #expect(await eventually { first.state(of: 0).name == "running" })
            try await second.run {
                #expect(await eventually { second.state(of: 0).problem?.contains("\"tidegate\"") == true })
            }
        }
        // Given back: it can be had again.
        let third = try Self.rig("line = 'GPIO5'")
        try await third.run { #expect(await eventually { third.state(of: 0).name == "running" }) }
    }

    @Test func aLineThatIsNotThereNamesOneThatIs() async throws {
        let rig = try Self.rig("line = 'GPOI17'")
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).problem?.contains("did you mean \"GPIO17\"") == true })
        }
    }
}
