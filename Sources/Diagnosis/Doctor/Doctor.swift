package import Admin
import Configuration
import Glibc
import Logging
import Outbox
import Readings
import Sensors
import Settings
import Timekeeping
import Upstream

/// Looks at everything that a gateway needs, in the order in which one thing needs the other, and says of each what is
/// wrong and what to do. Needs no internet, and changes nothing but a file that it writes and removes.
///
/// Where the gateway runs it is asked; what it would have to be stopped for is not tried.
package struct Doctor: Sendable {
    let settingsPath: String
    let settings: GatewaySettings
    let diagnostics: [Diagnostic]
    /// The gateway's own words; `nil` where none runs.
    let status: GatewayStatus?
    /// The user of the gateway that runs or would run.
    let service: ServiceIdentity
    let time: SystemTime
    private let statusFailure: String?

    /// How long a step of the way upstream, or a sensor, may take.
    static let patience = Duration.seconds(10)

    /// - Parameter path: the settings file.
    package init(_ path: String) {
        settingsPath = path
        (settings, diagnostics) = SettingsLoader.loadWhatCanBeUsed(path)
        let directory = settings.gateway.dataDirectory
        var failure: String?
        do throws(ControlClient.Failure) {
            status = try ControlClient.status(socketPath: ControlSocket.path(in: directory))
        } catch {
            status = nil
            if case .notRunning = error {} else { failure = "\(error)" }
        }
        statusFailure = failure
        service = ServiceIdentity(processID: status?.processID)
        time = SystemTime(floor: max(ClockFile(dataDirectory: directory).read() ?? 0, SystemTime.built))
    }

    package func examine() async -> DoctorReport {
        var report = DoctorReport()
        report.findings += settingsFindings()
        report.findings += [clockFinding(), powerFinding()].compactMap(\.self)
        report.findings += storageFindings()
        report.findings += await sensorFindings()
        report.findings += listenerFindings()
        report.findings += await upstreamFindings()
        report.findings += gatewayFindings()
        return report
    }

    // MARK: Settings

    private func settingsFindings() -> [DoctorReport.Finding] {
        var findings = diagnostics.map { diagnostic in
            var finding = Self.finding("settings", diagnostic.severity == .error ? .fail : .warn, "\(diagnostic)")
            if diagnostic.severity == .error, finding.remedy == nil {
                finding.remedy = "mend it; what it stands in is not in use until then"
            }
            return finding
        }
        if findings.isEmpty { findings.append(.init("settings", .pass, "\(settingsPath): no mistakes")) }
        findings += fileFindings()
        findings += BootReport.read().map { Self.finding("settings", .fail, $0) }
        return findings
    }

    // MARK: Files

    /// Certificates, keys, passwords and sockets that the settings name.
    private func fileFindings() -> [DoctorReport.Finding] {
        // Without a link the password is looked at on the way upstream.
        let isPasswordTold = status?.link.isUp != true
        var findings = settings.fileDiagnostics().filter { !isPasswordTold || !$0.message.hasPrefix("password_file:") }
            .map { Self.finding("files", $0.severity == .error ? .fail : .warn, "\($0)") }
        for file in settings.files where file.role != .socket {
            var information = stat()
            guard stat(file.path, &information) == 0, !service.may(4, information) else { continue }
            findings.append(
                .init(
                    "files", .fail, "the gateway's user \(service.name) may not read \(file.path)",
                    remedy: "chown \(service.name) \(file.path)"))
        }
        if findings.isEmpty, !settings.namedFiles.isEmpty {
            findings.append(.init("files", .pass, "\(settings.namedFiles.count) named in the settings can be used"))
        }
        return findings
    }

    // MARK: The gateway itself

    /// What it says of itself that nothing above has said yet.
    private func gatewayFindings() -> [DoctorReport.Finding] {
        guard let status else {
            if let statusFailure {
                return [
                    .init(
                        "gateway", .warn, "it cannot be asked: \(statusFailure)",
                        remedy: "run this as root or as the gateway's user")
                ]
            }
            return [
                .init("gateway", .warn, "none runs here", remedy: "systemctl start tidegate; journalctl -u tidegate")
            ]
        }
        var findings: [DoctorReport.Finding] = []
        if let problem = status.intake.storeProblem {
            findings.append(Self.finding("queue", .fail, problem))
        }
        for queue in status.queues {
            if queue.setAside > 0 {
                findings.append(
                    .init(
                        "queue", .warn, "\(queue.setAside) messages of \(queue.name) were refused by the upstream",
                        remedy: "tidegate queue peek --refused; once the reason is gone: tidegate queue retry"))
            }
            if let left = queue.secondsLeft, left < 3_600, !status.link.isUp {
                findings.append(
                    .init(
                        "queue", .warn, "\(queue.name) has room for \(Int(left / 60)) more minutes of outage",
                        remedy: "mend the way upstream, or raise max_bytes of [class.\(queue.name)]"))
            }
        }
        if let problem = status.lan.problem { findings.append(Self.finding("lan", .fail, problem)) }
        for denial in (status.lan.denials ?? []).prefix(5) {
            findings.append(
                .init(
                    "access", .warn, "\(denial.text) (\(denial.count) times)",
                    remedy: "tidegate device rules; if it shall: tidegate device allow"))
        }
        if let topics = status.lan.topicsWithoutRule, !topics.isEmpty {
            let names = topics.prefix(5).map { "\(GatewayStatus.visible($0.topic)) (\($0.count))" }
            findings.append(
                .init(
                    "forward", .pass,
                    "no rule takes these topics, which stay on the LAN: \(names.joined(separator: ", "))"))
        }
        if findings.isEmpty {
            findings.append(
                .init("gateway", .pass, "tidegate \(status.version) runs, for \(Int(status.uptimeSeconds)) s"))
        }
        return findings
    }

    /// From a text with its remedy behind "try:".
    static func finding(_ check: String, _ verdict: DoctorReport.Verdict, _ text: String) -> DoctorReport.Finding {
        let lines = text.split(separator: "\n")
        let remedies = lines.compactMap { line -> Substring? in
            let bare = line.drop { $0 == " " }
            return bare.hasPrefix("try: ") ? bare.dropFirst(5) : nil
        }
        let rest = lines.filter { !$0.drop { $0 == " " }.hasPrefix("try: ") }
        return .init(
            check, verdict, rest.joined(separator: "\n"),
            remedy: remedies.isEmpty ? nil : remedies.joined(separator: "; "))
    }
}
