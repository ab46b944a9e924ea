import Readings

/// Looks for Modbus devices on a port: every speed, parity and address, until somebody answers.
package struct ModbusScan: Sendable {
    package struct Attempt: Hashable, Sendable {
        package var format: SerialPort.Format
        package var slave: Int
    }

    package enum Finding: Hashable, Sendable {
        /// It answers; a refusal is an answer, too.
        case device
        /// Something came, but damaged: the speed may be right and the parity wrong, or two devices have the address.
        case damaged
    }

    package var bauds: [Int]
    package var parities: [SerialPort.Parity]
    package var slaves: ClosedRange<Int>
    /// How long each is waited for, besides the time that the bytes take on the line.
    package var timeout: Duration

    package init(
        bauds: [Int] = [9_600, 19_200, 38_400, 115_200, 4_800, 57_600, 2_400],
        parities: [SerialPort.Parity] = [.none, .even, .odd], slaves: ClosedRange<Int> = 1...247,
        timeout: Duration = .milliseconds(60)
    ) {
        self.bauds = bauds
        self.parities = parities
        self.slaves = slaves
        self.timeout = timeout
    }

    /// Everything that is tried, in its order.
    package var attempts: [Attempt] {
        bauds.flatMap { baud in
            parities.flatMap { parity in
                slaves.map { Attempt(format: SerialPort.Format(baud: baud, parity: parity), slave: $0) }
            }
        }
    }

    /// Tries all; blocks for as long as that takes.
    /// - Parameters:
    ///   - progress: sees each speed and format before it is tried.
    ///   - found: sees each finding at once.
    package func run(
        on identity: SerialIdentity, progress: (SerialPort.Format) -> Void, found: (Attempt, Finding) -> Void
    ) throws(SensorError) {
        var port: ModbusPort?
        var current: SerialPort.Format?
        for attempt in attempts {
            if attempt.format != current {
                progress(attempt.format)
                // Closed before it is opened anew: it has one owner.
                port = nil
                port = try ModbusPort(SerialSettings(identity: identity, format: attempt.format))
                current = attempt.format
            }
            guard let port else { continue }
            // Eight bytes there, and at least seven back.
            let job = ModbusSchedule.Job(
                id: DeviceID("scan"), slave: attempt.slave, operation: .read(.holding, address: 0, count: 1),
                timeout: timeout + attempt.format.characterTime * 20)
            switch try port.perform(job) {
            case .success, .failure(.exception): found(attempt, .device)
            case .failure(.damagedAnswer), .failure(.otherSlave): found(attempt, .damaged)
            case .failure(.noAnswer): break
            }
        }
    }
}
