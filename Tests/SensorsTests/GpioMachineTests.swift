import Glibc
import Readings
import Sensors
import TestSupport
import Testing

/// What needs no line: an output's commands, a counter's total and its file, the settings of both.
@Suite struct GpioMachineTests {
    static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func anOutputObeys() throws {
        var control = OutputControl(safe: false, timeout: nil, now: Self.at(0))
        #expect(try control.command("on", current: false, now: Self.at(1)))
        #expect(try !control.command("OFF", current: true, now: Self.at(2)))
        #expect(try control.command("toggle", current: false, now: Self.at(3)))
        #expect(try !control.command("0", current: true, now: Self.at(4)))
        #expect(control.deadline == nil)
        #expect(control.due(now: Self.at(1_000_000)) == nil)
    }

    @Test func aPulseEnds() throws {
        var control = OutputControl(safe: false, timeout: nil, now: Self.at(0))
        #expect(try control.command("on for 500ms", current: false, now: Self.at(100)))
        #expect(control.deadline == Self.at(600))
        #expect(control.due(now: Self.at(599)) == nil)
        #expect(control.due(now: Self.at(600)) == false)
        #expect(control.deadline == nil)
        // Another command ends it.
        #expect(try !control.command("off for 2s", current: true, now: Self.at(1_000)))
        #expect(try !control.command("off", current: false, now: Self.at(1_500)))
        #expect(control.due(now: Self.at(9_000)) == nil)
    }

    @Test func aSilentCommanderLeavesItSafe() throws {
        var control = OutputControl(safe: false, timeout: .seconds(10), now: Self.at(0))
        #expect(control.due(now: Self.at(9_999)) == nil)
        #expect(control.due(now: Self.at(10_000)) == false)
        // Once: who set it by hand afterwards meant it.
        #expect(control.due(now: Self.at(10_001)) == nil)
        #expect(try control.command("on for 1m", current: false, now: Self.at(20_000)))
        #expect(control.deadline == Self.at(30_000))
        #expect(control.due(now: Self.at(30_000)) == false)
        #expect(control.deadline == nil)
    }

    @Test(arguments: ["", "maybe", "on for", "on for ever", "on for 0s", "on for 25h", "on 5s", "on for 5s please"])
    func whatIsNoCommandIsRefused(text: String) {
        var control = OutputControl(safe: false, timeout: .seconds(10), now: Self.at(0))
        #expect(throws: OutputControl.Refusal.self) { try control.command(text, current: false, now: Self.at(9_000)) }
        // And does not count as a word of the commander's.
        #expect(control.deadline == Self.at(10_000))
    }

    @Test func edgesAreCountedByTheirNumbers() {
        var count = EdgeCount(total: 100)
        #expect(count.rate(now: Self.at(0)) == nil)
        #expect(count.advance(to: 3) == 3)
        #expect(count.advance(to: 3) == 0)
        #expect(count.advance(to: 1_003) == 1_000)
        #expect(count.total == 1_103)
        #expect(count.rate(now: Self.at(500)) == 2_006)
        // The kernel's numbers have 32 bits.
        count = EdgeCount(total: 0)
        count.advance(to: .max - 1)
        count.advance(to: 4)
        #expect(count.total == UInt64(UInt32.max) + 5)
        count.reset(to: 7)
        #expect(count.total == 7)
        #expect(count.rate(now: Self.at(1_000)) == nil)
    }

    @Test func aTotalOutlivesItsProcess() throws {
        let directory = try TemporaryDirectory()
        let path = directory["deep/counter"]
        var file = try CounterFile(path: path)
        #expect(file.initial == nil && !file.isDamaged)
        for total in 1...100 { try file.write(UInt64(total), sync: total % 10 == 0) }
        try file.write(101, sync: false)
        #expect(try CounterFile(path: path).initial == 101)
    }

    /// Whatever a power cut leaves of the place that was not synced, the other one holds the last synced total.
    @Test func aTornPlaceCostsWhatWasNotSynced() throws {
        let directory = try TemporaryDirectory()
        var random = SplitMix64(seed: 11)
        for round in 0..<200 {
            let path = directory["counter\(round)"]
            var file = try CounterFile(path: path)
            let synced = UInt64.random(in: 0...UInt64.max, using: &random)
            try file.write(synced, sync: true)
            let before = contents(path)
            try file.write(synced &+ 5, sync: false)
            var after = contents(path)
            let isSecond = zip(before, after).prefix(4_096).elementsEqual(
                before.prefix(4_096).map { ($0, $0) }, by: { $0.0 == $1.0 && $0.1 == $1.1 })
            let start = isSecond ? 4_096 : 0
            let byte = start + Int.random(in: 0..<32, using: &random)
            after[byte] ^= UInt8.random(in: 1...255, using: &random)
            try write(after, to: path)
            let again = try CounterFile(path: path)
            #expect(again.initial == synced && !again.isDamaged, "round \(round)")
        }
    }

    @Test func whatIsDamagedInBothPlacesIsSaid() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(String(repeating: "x", count: 9_000), to: "counter")
        let file = try CounterFile(path: path)
        #expect(file.initial == nil && file.isDamaged)
    }

    private func contents(_ path: String) -> [UInt8] {
        let file = open(path, O_RDONLY)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 16_384)
        let count = read(file, &bytes, bytes.count)
        return Array(bytes[..<max(0, count)])
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        let file = open(path, O_WRONLY | O_TRUNC)
        defer { close(file) }
        try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
    }

    @Test(arguments: [
        (GpioSensor.self as any SensorDriver.Type, "", "needs the key \"line\" or \"pin\""),
        (GpioSensor.self, "pin = 1", "no GPIO line but power or ground"),
        (GpioSensor.self, "chip_offset = 4", "needs the chip"),
        (GpioSensor.self, "line = 'GPIO4'\npin = 7", "only one of line, pin and chip_offset"),
        (GpioSensor.self, "line = ''", "label of 1 to 63 bytes"),
        (GpioCounterSensor.self, "line = 'GPIO4'\npulses_per_unit = 0", "a number above 0"),
        (GpioOutputSensor.self, "line = 'GPIO4'\nsafe = 'maybe'", "is not one of"),
    ])
    func mistakesAreTold(driver: any SensorDriver.Type, text: String, expected: String) {
        let (_, errors) = SensorRig.sensor(driver, text)
        #expect(errors.count == 1 && errors[0].contains(expected), "\(errors)")
    }
}
