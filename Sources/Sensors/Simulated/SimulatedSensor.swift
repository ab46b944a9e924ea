import Readings
package import Settings

/// A sensor that needs no hardware: for trying out and for tests.
package struct SimulatedSensor: SensorDriver {
    package static let name = "simulated"
    package static let summary = "simulated, needs no hardware; the same seed gives the same values."
    package static let keys: [Key] = [
        .choice(
            "waveform", ["sine", "ramp", "random-walk", "square"], default: "sine",
            "What it measures. square is a contact: true and false in turn; the others are numbers."),
        .duration("interval", in: .milliseconds(1)...(.seconds(86_400)), default: "1s", "Time between two samples."),
        .duration("period", in: .milliseconds(2)...(.seconds(86_400)), default: "60s", "Length of one wave."),
        .number("minimum", default: 0, "Lowest value."),
        .number("maximum", default: 1, "Highest value."),
        .integer("seed", in: 0...Int64.max, default: 1, "Where the random walk starts from."),
    ]

    let waveform: Waveform
    let interval: Duration

    package init?(_ reader: TableReader) {
        guard let interval = reader.duration("interval"), let period = reader.duration("period"),
            let minimum = reader.number("minimum"), let maximum = reader.number("maximum"),
            let seed = reader.integer("seed"),
            let shape = reader.choice("waveform").flatMap(Waveform.Shape.init(rawValue:))
        else { return nil }
        guard minimum < maximum else {
            reader.error("minimum: expected a number below maximum", at: reader.has("minimum") ? "minimum" : "maximum")
            return nil
        }
        self.interval = interval
        waveform = Waveform(
            shape, samplesPerPeriod: max(2, Double(period.wholeNanoseconds) / Double(interval.wholeNanoseconds)),
            range: minimum...maximum, seed: UInt64(seed))
    }

    package func run(_ context: SensorContext) async throws(SensorError) {
        var waveform = waveform
        let clock = ContinuousClock()
        var next = clock.now
        context.isOpen()
        while true {
            context.emit(.samples([Sample(value: waveform.next())]))
            // From the last due time, not from now: the samples keep their pace.
            next = max(next + interval, clock.now)
            do { try await clock.sleep(until: next) } catch { return }
        }
    }
}
