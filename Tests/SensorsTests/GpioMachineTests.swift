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

    @Test func outputControlTellsWhatIsToCome() throws {
        var control = OutputControl(safe: false, timeout: .seconds(10), now: Self.at(0))
        #expect(control.changes == .init(safe: .init(at: Self.at(10_000), value: false)))
        _ = try control.command("on for 2s", current: false, now: Self.at(1_000))
        #expect(
            control.changes
                == .init(
                    pulseEnd: .init(at: Self.at(3_000), value: false), safe: .init(at: Self.at(11_000), value: false)))
        #expect(control.due(now: Self.at(3_000)) == false)
        #expect(control.changes == .init(safe: .init(at: Self.at(11_000), value: false)))
        // The safe value calls a pulse off.
        _ = try control.command("off for 60s", current: true, now: Self.at(4_000))
        #expect(control.due(now: Self.at(14_000)) == false)
        #expect(control.changes.isEmpty && control.deadline == nil)
    }

    @Test func outputControlResumesWhatWasToCome() throws {
        let pulse = OutputChanges(pulseEnd: .init(at: Self.at(2_000), value: false))
        // Before its time, and after it.
        var early = OutputControl(safe: false, timeout: nil, now: Self.at(1_000), resuming: pulse)
        #expect(
            early.changes == pulse && early.due(now: Self.at(1_999)) == nil && early.due(now: Self.at(2_000)) == false)
        var late = OutputControl(safe: false, timeout: nil, now: Self.at(9_000), resuming: pulse)
        #expect(late.due(now: Self.at(9_000)) == false && late.changes.isEmpty)
        // A new command takes its place.
        var replaced = OutputControl(safe: false, timeout: nil, now: Self.at(1_000), resuming: pulse)
        _ = try replaced.command("on", current: true, now: Self.at(1_500))
        #expect(replaced.changes.isEmpty && replaced.due(now: Self.at(2_000)) == nil)
        // A silence goes on across a restart, and is not begun anew.
        let silent = OutputChanges(safe: .init(at: Self.at(3_000), value: true))
        let resumed = OutputControl(safe: true, timeout: .seconds(10), now: Self.at(1_000), resuming: silent)
        #expect(resumed.deadline == Self.at(3_000))
        // Without a timeout in the settings any more, it is over.
        #expect(OutputControl(safe: true, timeout: nil, now: Self.at(1_000), resuming: silent).changes.isEmpty)
    }

    @Test func anOutputRecordOutlivesItsProcessAndKnowsItsBoot() throws {
        let directory = try TemporaryDirectory()
        let record = OutputRecord(directory: directory.path, name: "../a:b 17", boot: "this")
        // No name leaves the folder, or reads as a host.
        #expect(record.path == directory["output-%2e%2e%2fa%3ab%2017"])
        #expect(record.read() == .none)
        let pulse = OutputChanges(pulseEnd: .init(at: Self.at(2_000), value: true))
        let both = OutputChanges(pulseEnd: pulse.pulseEnd, safe: .init(at: Instant(nanoseconds: .max), value: false))
        for changes in [both, pulse] {
            try record.write(changes)
            #expect(record.read() == .ofThisBoot(changes))
        }
        let other = OutputRecord(directory: directory.path, name: "../a:b 17", boot: "other")
        #expect(other.read() == .ofAnotherBoot(pulse))
        record.sync()
        record.remove()
        #expect(other.read() == .none)
        record.sync()
    }

    /// Whatever a power cut leaves of the file, it is read as it was or not at all.
    @Test func aTornOutputRecordSaysNothing() throws {
        let directory = try TemporaryDirectory()
        let record = OutputRecord(directory: directory.path, name: "r", boot: "this")
        let changes = OutputChanges(pulseEnd: .init(at: Self.at(2_000), value: true))
        try record.write(changes)
        let whole = contents(record.path)
        for length in 0..<(whole.count - 1) {
            try write(Array(whole[..<length]), to: record.path)
            #expect(record.read() == .none, "\(length)")
        }
        try write([UInt8](repeating: 0, count: 4_096), to: record.path)
        #expect(record.read() == .none)
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
