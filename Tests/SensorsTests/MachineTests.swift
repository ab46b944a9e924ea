import Readings
import Sensors
import TestSupport
import Testing

/// The sensors' value machines: time and chance are parameters.
@Suite struct MachineTests {
    static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func debounceLetsOnlyQuietChangesThrough() {
        var debounce = Debounce(quiet: .milliseconds(20), initial: false)
        #expect(debounce.edge(true, at: Self.at(100)) == [])
        #expect(debounce.edge(false, at: Self.at(105)) == [])
        #expect(debounce.edge(true, at: Self.at(110)) == [])
        #expect(debounce.deadline == Self.at(130))
        #expect(debounce.settled(now: Self.at(129)) == nil)
        #expect(debounce.settled(now: Self.at(130)) == .init(value: true, at: Self.at(100)))
        #expect(debounce.deadline == nil)
        // A spike that ends where it began is no change.
        #expect(debounce.edge(false, at: Self.at(200)) == [])
        #expect(debounce.edge(true, at: Self.at(205)) == [])
        #expect(debounce.settled(now: Self.at(300)) == nil)
        // Edges read late: the quiet between them is seen in their times.
        #expect(debounce.edge(false, at: Self.at(400)) == [])
        #expect(debounce.edge(true, at: Self.at(500)) == [.init(value: false, at: Self.at(400))])
    }

    @Test func withoutDebounceEveryChangeCounts() {
        var debounce = Debounce(quiet: .zero, initial: false)
        #expect(debounce.edge(true, at: Self.at(1)) == [.init(value: true, at: Self.at(1))])
        #expect(debounce.edge(false, at: Self.at(1)) == [.init(value: false, at: Self.at(1))])
        #expect(debounce.edge(false, at: Self.at(2)) == [])
        #expect(!debounce.level)
    }

    @Test(arguments: Waveform.Shape.allCases) func waveformsRepeatAndStayInRange(shape: Waveform.Shape) {
        var first = Waveform(shape, samplesPerPeriod: 20, range: -5...15, seed: 7)
        var second = Waveform(shape, samplesPerPeriod: 20, range: -5...15, seed: 7)
        var values: [Value] = []
        for _ in 0..<1_000 {
            let value = first.next()
            #expect(value == second.next())
            if let number = value.asDouble { #expect((-5...15).contains(number)) }
            values.append(value)
        }
        #expect(Set(values).count > 1)
        if shape == .square { #expect(values[0..<10].allSatisfy { $0 == .boolean(true) }) }
    }
}
