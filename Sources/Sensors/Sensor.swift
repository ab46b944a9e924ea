package import Readings
package import Settings

/// One configured local sensor, ready to run.
package protocol Sensor: Sendable {
    /// Opens the device and delivers what it measures, until the task is cancelled. Throws when the device fails: the
    /// supervisor tells why, waits and runs it again, so it opens everything anew each time.
    ///
    /// Must not block a thread: what waits for a descriptor waits in `context.poller`.
    func run(_ context: SensorContext) async throws(SensorError)
}

/// A kind of sensor: its settings and how they become a ``Sensor``. Each driver is a folder of this room.
package protocol SensorDriver: Sensor {
    /// What `driver = "…"` says.
    static var name: String { get }
    /// What it is for, in one sentence; for the sample file.
    static var summary: String { get }
    /// Its own settings, besides those every sensor has.
    static var keys: [Key] { get }
    /// Takes the settings, telling mistakes between keys; `nil` when they cannot be used. Does no I/O.
    init?(_ reader: TableReader)
}

/// All drivers there are.
package enum SensorDrivers {
    package static let all: [any SensorDriver.Type] = [SimulatedSensor.self, SerialSensor.self, GpioSensor.self]
}

/// What a running sensor may use.
package struct SensorContext: Sendable {
    package let time: any TimeSource
    package let poller: DescriptorPoller
    private let opened: @Sendable () -> Void
    private let emitted: @Sendable (Arrival.Body, Timestamp) -> Void
    private let dropped: @Sendable (UInt64) -> Void

    package init(
        time: any TimeSource, poller: DescriptorPoller, opened: @escaping @Sendable () -> Void,
        emitted: @escaping @Sendable (Arrival.Body, Timestamp) -> Void,
        dropped: @escaping @Sendable (UInt64) -> Void
    ) {
        self.time = time
        self.poller = poller
        self.opened = opened
        self.emitted = emitted
        self.dropped = dropped
    }

    /// The device is open and working.
    package func isOpen() { opened() }

    /// Delivers what was measured at `time`, now unless said otherwise.
    package func emit(_ body: Arrival.Body, at time: Timestamp? = nil) { emitted(body, time ?? self.time.now()) }

    /// Counts what came from the device and cannot be delivered.
    package func drop(_ count: UInt64) { if count > 0 { dropped(count) } }
}
