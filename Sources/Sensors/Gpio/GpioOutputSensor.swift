import CGpiod
import Readings
package import Settings

/// A relay, a lamp, a valve: an output on a GPIO line that takes commands and reports what it really is.
///
/// The line is opened through the kernel's own interface rather than libgpiod, which can neither give its descriptor to a
/// process that outlives this one nor take it back: see ``OutputKeeper``.
package struct GpioOutputSensor: SensorDriver {
    package static let name = "gpio-output"
    package static let summary =
        "a relay or another output on a GPIO line. It takes on, off, toggle and \"on for 500ms\", and reports its real state; it stays as it is while the gateway restarts, and a pulse ends at its time also when the gateway is away."
    package static let takesCommands = true
    package static let keys: [Key] =
        LineAddress.keys + [
            .boolean("active_low", default: false, "true: the line is low when the output is on."),
            .choice(
                "drive", ["push-pull", "open-drain", "open-source"], default: "push-pull", "How the line is driven."),
            .choice(
                "initial", ["keep", "on", "off"], default: "keep",
                "What it becomes when the board has started. After a restart of the gateway alone it stays as it is. With keep, a pulse that a power cut fell into is ended."
            ),
            .choice("on_exit", ["keep", "safe"], default: "keep", "What it becomes when the gateway is stopped."),
            .choice("safe", ["off", "on"], default: "off", "The safe value, for on_exit and command_timeout."),
            .duration(
                "command_timeout", in: .milliseconds(100)...(.seconds(86_400)), example: "\"60s\"",
                "After this long without a command it becomes safe, also when the gateway is away meanwhile. Unless set, never."
            ),
            .duration(
                "interval", in: .milliseconds(100)...(.seconds(86_400)), default: "60s",
                "How often its state is reported, besides when it changes."),
        ]

    private let address: LineAddress
    private let activeLow: Bool
    private let drive: Int
    private let initial: String
    private let isSafeOnExit: Bool
    private let safe: Bool
    private let timeout: Duration?
    private let pace: Duration

    package init?(_ reader: TableReader) {
        guard let address = LineAddress(reader), let activeLow = reader.boolean("active_low"),
            let drive = reader.choice("drive"), let initial = reader.choice("initial"),
            let pace = reader.duration("interval")
        else { return nil }
        self.address = address
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
    package var claim: SensorClaim? { SensorClaim(resource: "the GPIO line \(address)") }
    package func deviceFiles() -> [String] { address.chipFiles }
    package var commands: [String?] { [nil] }

    package func run(_ context: SensorContext) async throws(SensorError) {
        var output = try KeptOutput(
            address, activeLow: activeLow, drive: drive, initial: initial == "keep" ? nil : initial == "on", context)
        var control = OutputControl(
            safe: safe, timeout: timeout, now: context.time.now().instant, resuming: output.resumed)
        var shown = try output.value()
        context.isOpen()
        context.emit(.samples([Sample(value: .boolean(shown))]))
        // Also without a command: the commander's silence is counted from here on.
        try output.promise(control.changes)
        if let problem = output.problem { context.failing(problem) }
        var next = context.time.now().instant + pace
        while true {
            switch await context.wait(until: min(next, control.deadline ?? next)) {
            case .cancelled:
                // A pulse that is kept ends all the same: the keeper sees to that.
                if isSafeOnExit { try output.set(safe, then: OutputChanges()) }
                return
            case .command:
                for command in context.commands.take() {
                    try perform(command, control: &control, output: &output, context)
                    context.commands.finish()
                }
            case .ready, .timedOut: break
            }
            let now = context.time.now().instant
            if let value = control.due(now: now) { try output.set(value, then: control.changes) }
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
        _ command: SensorCommand, control: inout OutputControl, output: inout KeptOutput, _ context: SensorContext
    ) throws(SensorError) {
        guard let text = command.text else { return context.refuse(command, "expected text, such as on or off") }
        let current = try output.value()
        let value: Bool
        do throws(OutputControl.Refusal) {
            value = try control.command(text, current: current, now: context.time.now().instant)
        } catch {
            return context.refuse(command, "\(error)")
        }
        let problem = output.problem
        try output.set(value, then: control.changes)
        if let new = output.problem, new != problem { context.failing(new) }
    }
}
