import CGpiod
import Glibc
import Readings
package import Settings

/// A meter that gives pulses on a GPIO line. The kernel numbers the edges, so none is lost to a slow reader.
///
/// It uses the kernel's own interface rather than libgpiod, whose version 1 does not know the numbers.
///
/// The total outlives restarts. A process that is killed loses what came since it last looked, a tenth of a second at most,
/// and what comes while nobody counts; a power cut loses `save_every` at most.
package struct GpioCounterSensor: SensorDriver {
    package static let name = "gpio-counter"
    package static let summary =
        "a meter that gives pulses on a GPIO line: their total, kept across restarts, and their rate. It takes the commands reset and \"set 1234.5\"."
    package static let takesCommands = true
    package static let keys: [Key] =
        LineAddress.keys + [
            .choice("edge", ["rising", "falling", "both"], default: "rising", "Which edges count."),
            .duration(
                "debounce", in: .zero...(.seconds(10)), default: "0ms",
                "A pulse counts once the line has been quiet this long; the kernel sees to it."),
        ] + GpioInput.keys + [
            .number("pulses_per_unit", default: 1, "Pulses of one unit: 1000 for a meter of 1000 pulses per kWh."),
            .choice("rate_per", ["second", "minute", "hour"], default: "second", "What the rate is counted in."),
            .string("rate_unit", example: "\"kW\"", "Unit of the rate: kW for kWh per hour."),
            .duration(
                "interval", in: .milliseconds(100)...(.seconds(86_400)), default: "10s", "Time between two reports."),
            .duration(
                "save_every", in: .seconds(1)...(.seconds(86_400)), default: "60s",
                "How often the total is made to survive a power cut; each time writes one page of flash."),
        ]

    /// How often edges are fetched at most: so much can be lost when the process is killed.
    private static let fetchInterval = Duration.milliseconds(100)

    private let address: LineAddress
    private let options: cgpiod_options
    private let pulsesPerUnit: Double
    private let secondsPerRate: Double
    private let rateUnit: Unit?
    private let pace: Duration
    private let saveEvery: Duration

    package init?(_ reader: TableReader) {
        guard let address = LineAddress(reader),
            let edge = reader.choice("edge").flatMap(GpioInput.Edge.init(rawValue:)),
            let quiet = reader.duration("debounce"), let input = GpioInput(reader),
            let pulses = reader.number("pulses_per_unit"), let per = reader.choice("rate_per"),
            let pace = reader.duration("interval"), let saveEvery = reader.duration("save_every")
        else { return nil }
        guard pulses > 0 else {
            reader.error("pulses_per_unit: expected a number above 0", at: "pulses_per_unit")
            return nil
        }
        self.address = address
        options = input.options(edge, debounce: quiet)
        pulsesPerUnit = pulses
        secondsPerRate = per == "hour" ? 3_600 : per == "minute" ? 60 : 1
        rateUnit = reader.string("rate_unit").map { Unit($0) }
        self.pace = pace
        self.saveEvery = saveEvery
    }

    package var interval: Duration? { pace }
    package var claim: SensorClaim? { SensorClaim(resource: "the GPIO line \(address)") }
    package func deviceFiles() -> [String] { address.chipFiles }
    package var commands: [String?] { [nil] }

    package func run(_ context: SensorContext) async throws(SensorError) {
        let path = context.directory.map { "\($0)/counter-\(FileName.escaped(context.id.name))" } ?? "/dev/null"
        var file = try CounterFile(path: path)
        if file.isDamaged { context.count("totals lost to a damaged file", 1) }
        var line = try CountedLine(address, options: options, keeper: OutputKeeper(directory: context.directory))
        var count = EdgeCount(total: file.initial ?? 0)
        var saving = Saving(every: saveEvery)
        context.isOpen()
        _ = count.rate(now: context.time.now().instant)
        emit(&count, context)
        var next = context.time.now().instant + pace
        while true {
            let due = min(next, saving.deadline ?? next)
            let wake = await context.wait(for: line.descriptor, until: due)
            let new = count.advance(to: try line.sequence())
            let now = context.time.now().instant
            if case .cancelled = wake {
                // A stop is no power cut: nothing that was counted is lost.
                saving.save(count.total, to: &file, sync: true, now: now, context)
                return
            }
            if case .command = wake {
                let commands = context.commands.take()
                for command in commands { perform(command, &count, context) }
                saving.save(count.total, to: &file, sync: true, now: now, context)
                context.commands.finish(commands.count)
                emit(&count, context)
            } else if new > 0 || saving.isDue(now) {
                saving.save(count.total, to: &file, sync: saving.isDue(now), now: now, context)
            }
            if now >= next {
                emit(&count, context)
                next = max(next + pace, now)
            } else if new > 0 {
                // Those that come next are fetched together.
                _ = await context.wait(until: min(due, now + Self.fetchInterval))
            }
        }
    }

    /// When the total is written, and when it is synced. While the disk is full, counting goes on.
    private struct Saving {
        let every: Duration
        private(set) var deadline: Instant?
        private var hasFailed = false

        init(every: Duration) { self.every = every }

        func isDue(_ now: Instant) -> Bool { deadline.map { now >= $0 } ?? false }

        mutating func save(
            _ total: UInt64, to file: inout CounterFile, sync: Bool, now: Instant, _ context: SensorContext
        ) {
            do throws(SensorError) {
                try file.write(total, sync: sync)
                deadline = sync ? nil : deadline ?? now + every
                if hasFailed { context.isOpen() }
                hasFailed = false
            } catch {
                deadline = now + every
                hasFailed = true
                context.failing(error)
            }
        }
    }

    private func emit(_ count: inout EdgeCount, _ context: SensorContext) {
        let now = context.time.now()
        let total: Value =
            pulsesPerUnit == 1
            ? .integer(Int64(clamping: count.total)) : .number(Double(count.total) / pulsesPerUnit)
        var samples = [Sample(metric: "total", value: total)]
        if let rate = count.rate(now: now.instant) {
            let value = SignificantDigits.round(rate / pulsesPerUnit * secondsPerRate, to: 6)
            samples.append(Sample(metric: "rate", value: .number(value), unit: rateUnit ?? Unit("")))
        }
        context.emit(.samples(samples), at: now, raw: .text("\(count.total) edges"))
    }

    private func perform(_ command: SensorCommand, _ count: inout EdgeCount, _ context: SensorContext) {
        let words = (command.text ?? "").lowercased().split(whereSeparator: \.isWhitespace)
        if words == ["reset"] { return count.reset(to: 0) }
        guard words.count == 2, words[0] == "set", let value = Double(words[1]), value >= 0,
            let total = UInt64(exactly: (value * pulsesPerUnit).rounded())
        else { return context.refuse(command, "expected reset, or \"set 1234.5\"") }
        count.reset(to: total)
    }

    /// The open line.
    private struct CountedLine: ~Copyable {
        let descriptor: Int32
        private let doing: String
        private var last: UInt32 = 0

        init(_ address: LineAddress, options: cgpiod_options, keeper: OutputKeeper?) throws(SensorError) {
            let doing = "count on the GPIO line \(address)"
            descriptor = try address.find(doing: doing).requestDescriptor(doing: doing, keeper: keeper) { found in
                var options = options
                return cgpiod_counter_open(found.chip, found.offset, "tidegate", &options)
            }
            self.doing = doing
        }

        deinit { close(descriptor) }

        /// The number of the last edge since the line was opened.
        mutating func sequence() throws(SensorError) -> UInt32 {
            while true {
                let taken = cgpiod_counter_read(descriptor, &last)
                guard taken >= 0 else { throw SensorError(doing: doing, code: errno) }
                if taken < 16 { return last }
            }
        }
    }
}
