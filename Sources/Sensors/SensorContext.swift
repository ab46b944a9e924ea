package import Readings

/// What a running sensor may use.
package struct SensorContext: Sendable {
    /// What ended a wait.
    package enum Wake: Hashable, Sendable {
        /// The descriptor is readable, or hung up.
        case ready
        /// There is something in ``commands``.
        case command
        case timedOut
        case cancelled
    }

    /// What a sensor tells the hub.
    package enum Event: Sendable {
        case opened
        case emitted(Arrival.Body, Timestamp, RawReading?)
        case dropped(UInt64)
        case failing(SensorError)
        case counted(String, UInt64)
        case refused(SensorCommand, reason: String)
        case offered(utc: Int64, at: Instant)
    }

    package let id: DeviceID
    package let time: any TimeSource
    package let poller: DescriptorPoller
    /// What came for this sensor's command topics.
    package let commands: CommandMailbox
    /// What several sensors use together, as those on one bus do.
    package let shared: SharedResources
    /// Where a sensor may keep small files of its own; `nil` where nothing is kept.
    package let directory: String?
    private let tell: @Sendable (Event) -> Void

    package init(
        id: DeviceID, time: any TimeSource, poller: DescriptorPoller, commands: CommandMailbox,
        shared: SharedResources, directory: String?, tell: @escaping @Sendable (Event) -> Void
    ) {
        self.id = id
        self.time = time
        self.poller = poller
        self.commands = commands
        self.shared = shared
        self.directory = directory
        self.tell = tell
    }

    /// The device is open and working; so it is again after ``failing(_:)``.
    package func isOpen() { tell(.opened) }

    /// The device does not work right now, and the sensor keeps trying by itself: without being restarted it stands as
    /// failed until ``isOpen()``.
    package func failing(_ error: SensorError) { tell(.failing(error)) }

    /// Delivers what was measured at `time`, now unless said otherwise.
    /// - Parameter raw: what came from the device, before it was decoded; for a person who looks for a mistake.
    package func emit(_ body: Arrival.Body, at time: Timestamp? = nil, raw: RawReading? = nil) {
        tell(.emitted(body, time ?? self.time.now(), raw))
    }

    /// Counts what came from the device and cannot be delivered.
    package func drop(_ count: UInt64) { if count > 0 { tell(.dropped(count)) } }

    /// Sets one of the sensor's own counters, for `status`: "checksum errors", 12.
    package func count(_ name: String, _ value: UInt64) { tell(.counted(name, value)) }

    /// A command that cannot be carried out, and why.
    package func refuse(_ command: SensorCommand, _ reason: String) { tell(.refused(command, reason: reason)) }

    /// Offers a time that the device knows, as a GPS does, in nanoseconds since 1970, UTC; true as of now.
    package func offer(utc: Int64) { tell(.offered(utc: utc, at: time.now().instant)) }

    /// Waits until `descriptor` is readable, a command has come, or it is `deadline`.
    /// - Parameter slack: may be so much later, at a time that others with the same slack wake up at, too.
    package func wait(
        for descriptor: Int32? = nil, until deadline: Instant? = nil, slack: Duration = .zero
    ) async -> Wake {
        if !commands.isEmpty { return Task.isCancelled ? .cancelled : .command }
        let limit = deadline.map { max(.zero, $0.rounded(up: slack) - time.now().instant) }
        let descriptors = [commands.descriptor, descriptor].compactMap(\.self)
        switch await poller.firstReadable(of: descriptors, within: limit) {
        case .ready(let ready): return ready == descriptor ? .ready : .command
        case .timedOut: return .timedOut
        case .cancelled: return .cancelled
        }
    }
}

extension Duration {
    /// What a sensor of that interval may be late by without anybody noticing: a twentieth, and 50 ms at most.
    var slack: Duration { min(self / 20, .milliseconds(50)) }
}

extension Instant {
    /// The next whole multiple of `step`.
    fileprivate func rounded(up step: Duration) -> Instant {
        let step = step.wholeNanoseconds
        guard step > 1, nanoseconds > 0, nanoseconds < .max - step else { return self }
        return Instant(nanoseconds: (nanoseconds + step - 1) / step * step)
    }
}

/// What came from a device, before anything was made of it.
package enum RawReading: Hashable, Sendable {
    case bytes([UInt8])
    /// As text that the driver writes, one line a part.
    case text(String)
    /// Modbus registers, by the requests that brought them.
    case registers([RegisterBlock])
}

/// Registers, or bits, that one Modbus request brought.
package struct RegisterBlock: Hashable, Sendable {
    /// "holding", "input", "coil" or "discrete".
    package var table: String
    /// Of the first, as on the wire: from 0.
    package var address: Int
    package var values: [UInt16]

    package init(table: String, address: Int, values: [UInt16]) {
        self.table = table
        self.address = address
        self.values = values
    }
}
