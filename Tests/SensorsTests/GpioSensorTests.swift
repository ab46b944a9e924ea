import Glibc
import Readings
import Sensors
import Synchronization
import TestSupport
import Testing

/// The GPIO driver against the kernel's gpio-sim. `Tests/VM/test-gpio` runs these in a virtual machine that has it; the
/// variable `GPIO_SIM` names the simulator's directory there.
@Suite(
    .serialized, .timeLimit(.minutes(2)),
    .enabled(if: GpioSimulator.isHere, "no gpio-sim here: run `make test-gpio`"))
struct GpioSensorTests {

    static func rig(_ text: String) throws -> SensorRig { try SensorRig([(GpioSensor.self, text)]) }

    @Test func edgesArriveInOrderWithKernelTimes() async throws {
        GpioSimulator.pull(17, up: false)
        let rig = try Self.rig("line = 'GPIO17'")
        try await rig.run {
            #expect(await eventually { rig.values(of: 0) == [.boolean(false)] })
            for round in 1...50 {
                GpioSimulator.pull(17, up: round % 2 == 1)
                #expect(await eventually { rig.values(of: 0).count == round + 1 })
            }
            #expect(rig.values(of: 0) == (0...50).map { .boolean($0 % 2 == 1) })
            let times = rig.arrivals.map(\.time.instant)
            #expect(times == times.sorted())
            #expect(KernelTime().now().instant - times[50] < .seconds(10))
        }
    }

    @Test func activeLowTurnsTheValueAround() async throws {
        GpioSimulator.pull(3, up: true)
        let rig = try Self.rig("line = 'GPIO3'\nactive_low = true")
        try await rig.run {
            #expect(await eventually { rig.values(of: 0) == [.boolean(false)] })
            GpioSimulator.pull(3, up: false)
            #expect(await eventually { rig.values(of: 0) == [.boolean(false), .boolean(true)] })
        }
    }

    @Test func aBouncingContactIsOneChange() async throws {
        GpioSimulator.pull(4, up: false)
        let rig = try Self.rig("line = 'GPIO4'\ndebounce = '200ms'")
        try await rig.run {
            #expect(await eventually { rig.values(of: 0).count == 1 })
            for round in 0..<9 { GpioSimulator.pull(4, up: round % 2 == 0) }
            #expect(
                await eventually { rig.values(of: 0) == [.boolean(false), .boolean(true)] }, "\(rig.values(of: 0))")
        }
    }

    @Test func onlyTheChosenEdgeIsReportedDebouncedOrNot() async throws {
        GpioSimulator.pull(7, up: false)
        let rig = try SensorRig([
            (GpioSensor.self, "line = 'GPIO7'\nedge = 'falling'"), (GpioSensor.self, "line = 'GPIO8'\nedge = 'rising'"),
            (GpioSensor.self, "line = 'GPIO9'\nedge = 'rising'\ndebounce = '20ms'"),
        ])
        for line in 7...9 { GpioSimulator.pull(line, up: false) }
        try await rig.run {
            for index in 0...2 { #expect(await eventually { rig.values(of: index) == [.boolean(false)] }) }
            for round in 1...3 {
                for line in 7...9 { GpioSimulator.pull(line, up: true) }
                #expect(await eventually { rig.values(of: 1).count == round + 1 })
                if round == 1 { #expect(await eventually { rig.values(of: 2).count == 2 }) }
                for line in 7...9 { GpioSimulator.pull(line, up: false) }
                #expect(await eventually { rig.values(of: 0).count == round + 1 })
            }
            #expect(rig.values(of: 0) == [false, false, false, false].map(Value.boolean))
            #expect(rig.values(of: 1) == [false, true, true, true].map(Value.boolean))
            // How many it saw depends on how quick the rounds were; a fall is never among them.
            #expect(rig.values(of: 2).dropFirst().allSatisfy { $0 == .boolean(true) })
        }
    }

    @Test func biasHoldsAnOpenLine() async throws {
        GpioSimulator.pull(10, up: false)
        let rig = try Self.rig("line = 'GPIO10'\nbias = 'pull-up'")
        try await rig.run { #expect(await eventually { rig.values(of: 0) == [.boolean(true)] }) }
    }

    /// More edges than the kernel's queue holds while nobody reads: some are lost, but not where the line ended up.
    @Test(arguments: [40, 41]) func afterABurstTheStateIsRight(edges: Int) async throws {
        GpioSimulator.pull(11, up: false)
        let sensor = try #require(SensorRig.sensor(GpioSensor.self, "line = 'GPIO11'").sensor)
        let poller = try DescriptorPoller()
        defer { poller.stop() }
        let values = Mutex<[Value]>([])
        let context = try SensorRig.context(poller: poller) { event in
            guard case .emitted(.samples(let samples), _, _) = event else { return }
            let count = values.withLock { values in
                values += samples.map(\.value)
                return values.count
            }
            // On the sensor's own task: it cannot read meanwhile.
            if count == 1 { for edge in 1...edges { GpioSimulator.pull(11, up: edge % 2 == 1) } }
        }
        let task = Task { try await sensor.run(context) }
        #expect(await eventually { values.withLock { $0.count } >= 16 })
        #expect(
            await eventually { values.withLock { $0.last } == .boolean(edges % 2 == 1) },
            "\(values.withLock { $0 })")
        task.cancel()
        _ = await task.result
        // Never the same twice in a row.
        let seen = values.withLock { $0 }
        #expect(zip(seen, seen.dropFirst()).allSatisfy { $0 != $1 }, "\(seen)")
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

    @Test(arguments: ["pin = 11", "chip = 'pinctrl-sim'\nchip_offset = 17", "chip = '/dev/gpiochip0'\nline = 'GPIO17'"])
    func aLineIsFoundByItsPinOrItsPlace(text: String) async throws {
        GpioSimulator.pull(17, up: true)
        let rig = try Self.rig(text)
        try await rig.run { #expect(await eventually { rig.values(of: 0) == [.boolean(true)] }) }
    }

    @Test func itIsReadAgainFromTimeToTime() async throws {
        GpioSimulator.pull(18, up: true)
        let rig = try Self.rig("line = 'GPIO18'\ninterval = '20ms'")
        try await rig.run { #expect(await eventually { rig.values(of: 0).count > 5 }) }
        #expect(Set(rig.values(of: 0)) == [.boolean(true)])
    }
}
