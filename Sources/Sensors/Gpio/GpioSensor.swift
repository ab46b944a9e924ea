import CGpiod
import Linux
import Readings
package import Settings

/// A contact or another digital input on a GPIO line: true and false, with the kernel's own times.
package struct GpioSensor: SensorDriver {
    package static let name = "gpio"
    package static let summary =
        "a contact on a GPIO line, found by its label: chip numbers differ between boards and kernels."
    package static let keys: [Key] =
        LineAddress.keys + [
            .choice("edge", ["both", "rising", "falling"], default: "both", "Which changes are reported."),
            .duration(
                "debounce", in: .zero...(.seconds(10)), default: "0ms",
                "A change counts once the line has been quiet this long."),
        ] + GpioInput.keys + [
            .duration(
                "interval", in: .milliseconds(10)...(.seconds(86_400)), example: "\"60s\"",
                "How often its state is reported besides its changes. Unless set, never.")
        ]

    /// libgpiod's version, "1.6.3".
    package static var libraryVersion: String { String(cString: cgpiod_version()) }

    private let address: LineAddress
    /// Which changes are reported.
    private let edge: GpioInput.Edge
    private let quiet: Duration
    private let input: GpioInput
    package let interval: Duration?
    package var claim: SensorClaim? { SensorClaim(resource: "the GPIO line \(address)") }
    package func deviceFiles() -> [String] { address.chipFiles }

    package init?(_ reader: TableReader) {
        guard let address = LineAddress(reader),
            let edge = reader.choice("edge").flatMap(GpioInput.Edge.init(rawValue:)),
            let quiet = reader.duration("debounce"), let input = GpioInput(reader)
        else { return nil }
        self.address = address
        self.edge = edge
        self.quiet = quiet
        self.input = input
        interval = reader.duration("interval")
    }

    package func run(_ context: SensorContext) async throws(SensorError) {
        let isOurs = quiet > .zero && !GpioLine.isDebouncedByKernel
        // Who debounces must see both edges, whichever are reported.
        let watchesBoth = edge == .both || isOurs
        let line = try GpioLine(
            address,
            options: input.options(watchesBoth ? .both : edge, debounce: isOurs ? .zero : quiet),
            keeper: OutputKeeper(directory: context.directory))
        let initial = try line.value()
        var debounce = Debounce(quiet: isOurs ? quiet : .zero, initial: initial)
        context.isOpen()
        context.emit(.samples([Sample(value: .boolean(initial))]))
        var next = interval.map { context.time.now().instant + $0 }
        while true {
            let now = context.time.now().instant
            if let due = next, let interval, now >= due {
                // Read anew: an edge may have been lost, and a value that is repeated is known to be true.
                let value = try line.value()
                if quiet == .zero || value == debounce.level, debounce.deadline == nil {
                    for change in debounce.edge(value, at: now) { emit(change, context) }
                    context.emit(.samples([Sample(value: .boolean(value))]))
                }
                next = max(due + interval, now)
            }
            let limit = [debounce.deadline, next].compactMap(\.self).min().map { max(.zero, $0 - now) }
            switch await context.poller.readable(line.descriptor, within: limit) {
            case .cancelled: return
            case .timedOut: break
            case .ready:
                let edges = try line.edges()
                for edge in edges {
                    let instant = Self.bootInstant(edge.monotonicNanoseconds)
                    if watchesBoth {
                        for change in debounce.edge(edge.rising, at: instant) { emit(change, context) }
                    } else {
                        emit(Debounce.Change(value: edge.rising, at: instant), context)
                    }
                }
                // Edges that came while the kernel's queue was full are lost; where the line ended up must not be.
                if watchesBoth, edges.count == GpioLine.fullBatch,
                    await context.poller.readable(line.descriptor, within: .zero) == .timedOut
                {
                    let value = try line.value()
                    if value != debounce.level {
                        for change in debounce.edge(value, at: context.time.now().instant) { emit(change, context) }
                    }
                }
            }
            if let change = debounce.settled(now: context.time.now().instant) { emit(change, context) }
        }
    }

    private func emit(_ change: Debounce.Change, _ context: SensorContext) {
        guard edge == .both || change.value == (edge == .rising) else { return }
        let now = context.time.now()
        let age = (now.instant - change.at).wholeNanoseconds
        let time = Timestamp(
            instant: change.at, unixNanoseconds: now.unixNanoseconds - age, quality: now.quality)
        context.emit(.samples([Sample(value: .boolean(change.value))]), at: time)
    }

    /// The kernel stamps edges with the monotonic clock, which stands still in suspend; the gateway's instants count
    /// that too.
    private static func bootInstant(_ monotonicNanoseconds: Int64) -> Instant {
        Instant(nanoseconds: monotonicNanoseconds + KernelClock.boot - KernelClock.monotonic)
    }
}
