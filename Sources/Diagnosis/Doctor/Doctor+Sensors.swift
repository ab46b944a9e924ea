import Admin
import Configuration
import Glibc
import Logging
import Readings
import Sensors

/// What is wired to the board.
extension Doctor {
    func sensorFindings() async -> [DoctorReport.Finding] {
        var findings = accessFindings()
        let held = portFindings()
        findings += held
        guard !settings.sensors.isEmpty else {
            return findings + [.init("sensors", .skip, "none are configured")]
        }
        if let status {
            findings += status.sensors.map(Self.finding)
        } else if held.isEmpty {
            findings += await trialFindings()
        } else {
            findings.append(.init("sensors", .skip, "they are not tried while others hold their ports"))
        }
        return findings
    }

    /// What the gateway's user may not open: as root nothing of that shows.
    private func accessFindings() -> [DoctorReport.Finding] {
        var findings: [DoctorReport.Finding] = []
        for file in Set(settings.sensors.flatMap { $0.sensor.deviceFiles() }).sorted() {
            var information = stat()
            guard stat(file, &information) == 0, !service.may(6, information) else { continue }
            let group = ServiceIdentity.groupName(information.st_gid)
            let hasGroup = information.st_gid != 0 && information.st_mode & 0o060 == 0o060
            findings.append(
                .init(
                    "permission", .fail, "the gateway's user \(service.name) may not open \(file)",
                    remedy: hasGroup
                        ? "usermod -aG \(group) \(service.name), and restart the gateway"
                        : "give it to a group: install Tidegate's udev rules (udevadm control --reload; udevadm trigger)"
                ))
        }
        return findings
    }

    /// Ports that somebody else has.
    private func portFindings() -> [DoctorReport.Finding] {
        let serial = settings.sensors.filter { ["serial", "modbus"].contains($0.driver) }
        return Set(serial.flatMap { $0.sensor.deviceFiles() }).sorted().compactMap { file in
            guard let real = realpath(file, nil) else { return nil }
            let target = String(cString: real)
            free(real)
            let others = ProcessHolders.find { $0 == target }.filter {
                $0.processID != status?.processID && $0.processID != Int(getpid())
            }
            guard let other = others.first else { return nil }
            return .init("serial port", .fail, "\(file) is held by \(other)", remedy: "stop it, or use another port")
        }
    }

    private static func finding(_ sensor: GatewayStatus.Sensor) -> DoctorReport.Finding {
        let check = "sensor \(sensor.id)"
        if let problem = sensor.problem { return finding(check, .fail, problem) }
        if let reading = sensor.readings.first(where: { $0.quality != "good" }) {
            let reason = reading.why.map { ": \($0)" } ?? ""
            return .init(
                check, .warn, "\(reading.metric ?? "its value") is \(reading.quality)\(reason)",
                remedy: "check its wiring and power; tidegate sensor read \(sensor.id)")
        }
        return .init(check, .pass, "\(sensor.state), \(sensor.samples) samples")
    }

    /// Without a gateway each sensor is run for a while. An output would move: it is left alone.
    private func trialFindings() async -> [DoctorReport.Finding] {
        let entries = settings.sensors.filter { $0.driver != GpioOutputSensor.name }
        let hub = SensorHub(
            entries.map { .init(id: $0.id, driver: $0.driver, topic: $0.topic, sensor: $0.sensor) }, time: time,
            logger: Logger(label: "doctor") { _ in SwiftLogNoOpLogHandler() }
        ) { _ in }
        let running = Task { await hub.runTrial() }
        let clock = ContinuousClock()
        let deadline = clock.now + Self.patience
        while clock.now < deadline, !hub.snapshot().allSatisfy(Self.hasShown) {
            guard (try? await Task.sleep(for: .milliseconds(100))) != nil else { break }
        }
        let snapshots = hub.snapshot()
        running.cancel()
        await running.value
        hub.close()
        return snapshots.map { sensor in
            let check = "sensor \(sensor.id)"
            if let problem = sensor.state.problem { return Self.finding(check, .fail, problem) }
            guard sensor.samples == 0 else { return .init(check, .pass, "it measures") }
            return .init(
                check, .warn, "it is open, and nothing has come of it in \(Self.patience.components.seconds) s",
                remedy: "wait for it with: tidegate sensor read \(sensor.id) --wait 25")
        }
    }

    /// Whether waiting for longer would tell nothing new.
    private static func hasShown(_ sensor: SensorSnapshot) -> Bool {
        if case .failed = sensor.state { return true }
        return sensor.samples > 0
    }
}
