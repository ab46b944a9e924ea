import Readings
package import Settings

/// A sensor that needs no hardware: for trying out and for tests.
package struct SimulatedSensor: SensorDriver {
    package static let name = "simulated"
    package static let summary = "simulated, needs no hardware; the same seed gives the same values."
    package static let keys: [Key] = [
        .choice(
            "waveform", ["sine", "ramp", "random-walk", "square", "replay"], default: "sine",
            "What it measures. square is a contact: true and false in turn; replay plays a recording back; the others are numbers."
        ),
        .duration("interval", in: .milliseconds(1)...(.seconds(86_400)), default: "1s", "Time between two samples."),
        .duration("period", in: .milliseconds(2)...(.seconds(86_400)), default: "60s", "Length of one wave."),
        .number("minimum", default: 0, "Lowest value."),
        .number("maximum", default: 1, "Highest value."),
        .integer("seed", in: 0...Int64.max, default: 1, "Where the random walk starts from."),
        .string(
            "file", example: "\"/var/lib/tidegate/recording.csv\"",
            "replay: the recording. JSON lines with the time in milliseconds as ts and the value as v or names of your own; or CSV whose first column is the time."
        ),
        .number("speed", default: 1, "replay: how many times faster than it was recorded."),
        .boolean("loop", default: true, "replay: from the beginning again at its end."),
    ]

    private enum Source: Sendable {
        case waveform(Waveform, interval: Duration)
        case recording(path: String, speed: Double, isLooped: Bool)
    }

    private let source: Source

    package init?(_ reader: TableReader) {
        guard let interval = reader.duration("interval"), let period = reader.duration("period"),
            let minimum = reader.number("minimum"), let maximum = reader.number("maximum"),
            let seed = reader.integer("seed"), let name = reader.choice("waveform"), let speed = reader.number("speed"),
            let isLooped = reader.boolean("loop")
        else { return nil }
        let isReplay = name == "replay"
        let strangers = isReplay ? ["interval", "period", "minimum", "maximum", "seed"] : ["file", "speed", "loop"]
        if let key = strangers.first(where: { reader.has($0) }) {
            reader.error("\(key) has \(isReplay ? "no meaning" : "a meaning only") with waveform = \"replay\"", at: key)
            return nil
        }
        guard let shape = Waveform.Shape(rawValue: name) else {
            guard let path = reader.string("file") else {
                reader.error("waveform = \"replay\" needs the key \"file\"", at: "waveform")
                return nil
            }
            guard speed > 0, speed <= 1e6 else {
                reader.error("speed: expected a number above 0 and up to a million", at: "speed")
                return nil
            }
            source = .recording(path: path, speed: speed, isLooped: isLooped)
            return
        }
        guard minimum < maximum else {
            reader.error("minimum: expected a number below maximum", at: reader.has("minimum") ? "minimum" : "maximum")
            return nil
        }
        source = .waveform(
            Waveform(
                shape, samplesPerPeriod: max(2, Double(period.wholeNanoseconds) / Double(interval.wholeNanoseconds)),
                range: minimum...maximum, seed: UInt64(seed)),
            interval: interval)
    }

    package var interval: Duration? { if case .waveform(_, let interval) = source { interval } else { nil } }

    package func run(_ context: SensorContext) async throws(SensorError) {
        switch source {
        case .waveform(let waveform, let interval): await run(waveform, interval: interval, context)
        case .recording(let path, let speed, let isLooped):
            repeat {
                try await play(path, speed: speed, context)
                // Between the end and the beginning; also what a recording of one moment is not repeated faster than.
                if case .cancelled = await context.wait(until: context.time.now().instant + .milliseconds(10)) {
                    return
                }
            } while isLooped
            // Played to its end: it stays as it is.
            _ = await context.wait()
        }
    }

    private func run(_ initial: Waveform, interval: Duration, _ context: SensorContext) async {
        var waveform = initial
        var next = context.time.now().instant
        context.isOpen()
        while true {
            context.emit(.samples([Sample(value: waveform.next())]))
            // From the last due time, not from now: the samples keep their pace.
            next = max(next + interval, context.time.now().instant + (.zero - interval.slack))
            if case .cancelled = await context.wait(until: next, slack: interval.slack) { return }
        }
    }

    /// Once from the beginning to the end.
    private func play(_ path: String, speed: Double, _ context: SensorContext) async throws(SensorError) {
        let file = try RecordingFile(path: path)
        let thread = try BlockingThread(name: "replay")
        var recording = Recording()
        var start: (time: Int64, at: Instant)?
        var damaged: UInt64 = 0
        context.isOpen()
        while let lines = await thread.run({ file.lines() }), !lines.isEmpty {
            for line in lines {
                guard let entry = recording.take(line) else { continue }
                let now = context.time.now().instant
                let began = start ?? (entry.time, now)
                start = began
                let offset = Double(entry.time - began.time) / speed
                let due = began.at + .nanoseconds(Int64(max(0, min(offset * 1e6, 9e18))))
                if due > now, case .cancelled = await context.wait(until: due) { return }
                context.emit(.samples(entry.samples), raw: .bytes(line))
            }
            context.drop(recording.damaged - damaged)
            damaged = recording.damaged
        }
        guard start != nil || Task.isCancelled else {
            throw SensorError(
                doing: "play the recording \(path)", reason: "it holds no sample",
                remedy: "each line needs a time and a value: {\"ts\": 0, \"v\": 21.5}")
        }
    }
}
