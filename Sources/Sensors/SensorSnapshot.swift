package import Readings

/// One sensor's state, for `status`.
package struct SensorSnapshot: Sendable {
    package enum State: Sendable {
        case starting
        case running
        /// Until it is run again, or works again by itself.
        case failed(SensorError)

        /// `starting`, `running` or `failed`.
        package var name: String {
            switch self {
            case .starting: "starting"
            case .running: "running"
            case .failed: "failed"
            }
        }

        /// What is wrong and what to do.
        package var problem: String? {
            if case .failed(let error) = self { error.description } else { nil }
        }
    }

    /// One of the driver's own counters.
    package struct Counter: Hashable, Sendable {
        package var name: String
        package var value: UInt64
    }

    /// A time that the device offered: what a clock can be set by, or compared with.
    package struct OfferedTime: Hashable, Sendable {
        /// Nanoseconds since 1970, UTC.
        package var utc: Int64
        package var at: Instant
    }

    package var id: DeviceID
    package var driver: String
    package var state = State.starting
    /// Deliveries since the start.
    package var samples: UInt64 = 0
    /// What the driver received and could not deliver, since the start: lines that were too long.
    package var dropped: UInt64 = 0
    package var restarts: UInt64 = 0
    /// Commands that came, and among them those that could not be carried out.
    package var commands: UInt64 = 0
    package var refusedCommands: UInt64 = 0
    package var lastRefusal: String?
    /// The driver's own counters, in the order in which they were first set.
    package private(set) var counters: [Counter] = []
    /// A delivery as it went to the pipeline.
    package struct Delivery: Sendable {
        package var body: Arrival.Body
        package var time: Timestamp
    }

    package var last: Delivery?
    /// The last time that it offered.
    package var offeredTime: OfferedTime?
    /// What the last delivery was made of.
    package var raw: RawReading?

    init(id: DeviceID, driver: String) {
        self.id = id
        self.driver = driver
    }

    mutating func set(_ name: String, to value: UInt64) {
        if let index = counters.firstIndex(where: { $0.name == name }) {
            counters[index].value = value
        } else {
            counters.append(Counter(name: name, value: value))
        }
    }
}
