package import Settings

/// One configured local sensor, ready to run.
package protocol Sensor: Sendable {
    /// How often it delivers by itself; `nil` when only events make it.
    var interval: Duration? { get }

    /// Which of its values can be commanded, by metric; `nil` stands for the sensor itself. Empty: it only measures.
    var commands: [String?] { get }

    /// What of the board it takes; `nil`: nothing that anybody else could want.
    var claim: SensorClaim? { get }

    /// The device files that it opens, as far as they are there now; none where it opens none. May read the file system.
    func deviceFiles() -> [String]

    /// Opens the device and delivers what it measures, until the task is cancelled. Throws when the device fails: it is
    /// told why, and run again after a while, so it opens everything anew each time.
    ///
    /// Must not block a thread of the cooperative pool: what waits for a descriptor waits in ``SensorContext/wait(for:until:)``,
    /// and a call that blocks is made on a ``BlockingThread``.
    func run(_ context: SensorContext) async throws(SensorError)
}

extension Sensor {
    package var interval: Duration? { nil }
    package var commands: [String?] { [] }
    package var claim: SensorClaim? { nil }
    package func deviceFiles() -> [String] { [] }
}

/// A part of the board that a sensor takes, so that two of them wanting it is a mistake in the settings.
package struct SensorClaim: Hashable, Sendable {
    /// For a person: "the port /dev/ttyUSB0".
    package var resource: String
    /// Sensors with the same may share it; `nil`: it cannot be shared.
    package var sharing: String?

    package init(resource: String, sharing: String? = nil) {
        self.resource = resource
        self.sharing = sharing
    }
}

/// A kind of sensor: its settings and how they become a ``Sensor``. Each driver is a folder of this room.
package protocol SensorDriver: Sensor {
    /// What `driver = "…"` says.
    static var name: String { get }
    /// What it is for, in one sentence; for the sample file.
    static var summary: String { get }
    /// Its own settings, besides those every sensor has.
    static var keys: [Key] { get }
    /// Whether its sensors can take commands; false unless said.
    static var takesCommands: Bool { get }
    /// Takes the settings, telling mistakes between keys; `nil` when they cannot be used. Does no I/O.
    init?(_ reader: TableReader)
}

extension SensorDriver {
    package static var takesCommands: Bool { false }
}

/// All drivers there are.
package enum SensorDrivers {
    package static let all: [any SensorDriver.Type] = [
        SimulatedSensor.self, SerialSensor.self, ModbusSensor.self, GpioSensor.self, GpioCounterSensor.self,
        GpioOutputSensor.self, SysfsSensor.self,
    ]
}
