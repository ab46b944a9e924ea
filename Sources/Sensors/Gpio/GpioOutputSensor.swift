import CGpiod
import Glibc
import Readings
package import Settings

/// A relay, a lamp, a valve: an output on a GPIO line that takes commands and reports what it really is.
///
/// The line is opened through the kernel's own interface rather than libgpiod, which can neither give its descriptor to a
/// process that outlives this one nor take it back: see ``LineHolder``.
package struct GpioOutputSensor: SensorDriver {
    package static let name = "gpio-output"
    package static let summary =
        "a relay or another output on a GPIO line. It takes on, off, toggle and \"on for 500ms\", and reports its real state; it stays as it is while the gateway restarts."
    package static let takesCommands = true
    package static let keys: [Key] =
        GpioPlace.keys + [
            .boolean("active_low", default: false, "true: the line is low when the output is on."),
            .choice(
                "drive", ["push-pull", "open-drain", "open-source"], default: "push-pull", "How the line is driven."),
            .choice(
                "initial", ["keep", "on", "off"], default: "keep",
                "What it becomes when the board has started. After a restart of the gateway alone it stays as it is."),
            .choice("on_exit", ["keep", "safe"], default: "keep", "What it becomes when the gateway is stopped."),
            .choice("safe", ["off", "on"], default: "off", "The safe value, for on_exit and command_timeout."),
            .duration(
                "command_timeout", in: .milliseconds(100)...(.seconds(86_400)), example: "\"60s\"",
                "After this long without a command it becomes safe. Unless set, never."),
            .duration(
                "interval", in: .milliseconds(100)...(.seconds(86_400)), default: "60s",
                "How often its state is reported, besides when it changes."),
        ]

    private let place: GpioPlace
    private let activeLow: Bool
    private let drive: Int
    private let initial: String
    private let isSafeOnExit: Bool
    private let safe: Bool
    private let timeout: Duration?
    private let pace: Duration

    package init?(_ reader: TableReader) {
        guard let place = GpioPlace(reader), let activeLow = reader.boolean("active_low"),
            let drive = reader.choice("drive"), let initial = reader.choice("initial"),
            let pace = reader.duration("interval")
        else { return nil }
        self.place = place
        self.activeLow = activeLow
        self.drive =
            drive == "open-drain" ? CGPIOD_OPEN_DRAIN : drive == "open-source" ? CGPIOD_OPEN_SOURCE : CGPIOD_PUSH_PULL
        self.initial = initial
        isSafeOnExit = reader.choice("on_exit") == "safe"
        safe = reader.choice("safe") == "on"
        timeout = reader.duration("command_timeout")
        self.pace = pace
    }

    package var interval: Duration? { pace }
    package var claim: SensorClaim? { SensorClaim(resource: "the GPIO line \(place)") }
    package func deviceFiles() -> [String] { place.chipFiles }
    package var commands: [String?] { [nil] }

    package func run(_ context: SensorContext) async throws(SensorError) {
        let output = try Output(
            place, activeLow: activeLow, drive: drive,
            initial: initial == "keep" ? nil : initial == "on", holder: LineHolder(directory: context.directory))
        var control = OutputControl(safe: safe, timeout: timeout, now: context.time.now().instant)
        var shown = try output.value()
        context.isOpen()
        context.emit(.samples([Sample(value: .boolean(shown))]))
        if let code = output.holderProblem {
            context.failing(
                SensorError(
                    doing: "keep the output as it is while the gateway restarts", code: code,
                    remedies: [ENAMETOOLONG: "choose a shorter data_dir"]))
        }
        var next = context.time.now().instant + pace
        while true {
            switch await context.wait(until: min(next, control.deadline ?? next)) {
            case .cancelled:
                if isSafeOnExit { try output.set(safe) }
                return
            case .command:
                for command in context.commands.take() {
                    try perform(command, control: &control, output: output, context)
                    context.commands.finish()
                }
            case .ready, .timedOut: break
            }
            let now = context.time.now().instant
            if let value = control.due(now: now) { try output.set(value) }
            // What it is, not what it was told.
            let value = try output.value()
            if value != shown || now >= next {
                shown = value
                context.emit(.samples([Sample(value: .boolean(value))]))
                next = now + pace
            }
        }
    }

    private func perform(
        _ command: SensorCommand, control: inout OutputControl, output: borrowing Output, _ context: SensorContext
    ) throws(SensorError) {
        guard let text = command.text else { return context.refuse(command, "expected text, such as on or off") }
        let current = try output.value()
        let value: Bool
        do throws(OutputControl.Refusal) {
            value = try control.command(text, current: current, now: context.time.now().instant)
        } catch {
            return context.refuse(command, "\(error)")
        }
        try output.set(value)
    }

    /// The open line. A copy of its descriptor is with the holder, so closing it changes nothing outside.
    private struct Output: ~Copyable {
        private let descriptor: Int32
        private let doing: String
        /// Why the line will not be kept while the gateway is away; `nil`: it will.
        let holderProblem: Int32?

        init(
            _ place: GpioPlace, activeLow: Bool, drive: Int, initial: Bool?, holder: LineHolder?
        ) throws(SensorError) {
            let doing = "drive the GPIO line \(place)"
            let found = try place.find(doing: doing)
            let variant = LineHolder.Variant(identity: found.identity, activeLow: activeLow, drive: drive)
            if let held = holder?.held(variant) {
                if cgpiod_value(held) >= 0 {
                    descriptor = held
                    self.doing = doing
                    holderProblem = nil
                    return
                }
                // The chip was unplugged meanwhile.
                close(held)
                _ = holder?.letGo(found.identity)
            }
            let value = initial.map { $0 ? 1 : 0 } ?? CGPIOD_KEEP
            let opened = try found.requestDescriptor(doing: doing, keeper: holder) { found in
                cgpiod_output_open(found.chip, found.offset, "tidegate", activeLow, Int32(drive), Int32(value))
            }
            descriptor = opened
            self.doing = doing
            holderProblem = holder?.hold(opened, as: variant)
        }

        deinit { close(descriptor) }

        func value() throws(SensorError) -> Bool {
            let value = cgpiod_value(descriptor)
            guard value >= 0 else { throw SensorError(doing: doing, code: errno) }
            return value == 1
        }

        func set(_ value: Bool) throws(SensorError) {
            guard cgpiod_set(descriptor, value) == 0 else { throw SensorError(doing: doing, code: errno) }
        }
    }
}
