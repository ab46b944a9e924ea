package import Admin
import Broker
import CLinux
package import Configuration
import Logging
import Settings
import Setup
import Timekeeping
import Upstream

/// What `tidegate run` and `tidegate status` do, from settings to exit.
package enum GatewayProcess {
    /// Runs the gateway until SIGTERM, SIGINT or SIGQUIT.
    /// - Parameters:
    ///   - path: the settings file.
    ///   - isLenient: what of the settings has mistakes is left out, instead of ending here.
    ///   - logLevel: overrides the settings' level; a swift-log level's name.
    package static func run(_ path: String, isLenient: Bool, logLevel: String?) async throws(GatewayError) {
        // First of all: a signal must not end the process without a stop.
        let signals = try ProcessSignals(hangUp: .reload)
        var problems: [String] = []
        var settings: GatewaySettings
        if isLenient {
            let result = SettingsLoader.loadWhatCanBeUsed(path)
            settings = result.settings
            problems = result.diagnostics.filter { $0.severity == .error }.map { "\($0)" }
        } else {
            settings = try SettingsLoader.loadOrFail(path)
        }
        let name = logLevel ?? settings.gateway.logLevel
        guard let level = Logger.Level(rawValue: name) else {
            throw GatewayError(
                .usage, doing: "log at level \"\(name)\"", reason: "there is no such level",
                remedy: "one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        limitArenas()
        do throws(GatewayError) {
            try settings.readPassword()
        } catch {
            guard isLenient else { throw error }
            settings.upstream = nil
            problems.append("\(error)")
        }
        problems += BootReport.read()
        let threshold = LogThreshold(level)
        let logging: @Sendable (String) -> any LogHandler = { LineLogHandler(label: $0, threshold: threshold) }
        let logger = Logger(label: "gateway", factory: logging)
        try signals.start(logger: logger)
        for problem in problems {
            logger.error("a setting is wrong and is ignored", metadata: ["problem": "\(problem)"])
        }
        if let address = settings.upstreamWithOpenPassword {
            logger.warning(
                "the upstream's password goes out unencrypted; others on the way can read it",
                metadata: ["url": "\(address)", "try": "use mqtts:// in upstream.url"])
        }
        for path in settings.openKeyFiles {
            logger.warning(
                "every account of this machine can use a private key",
                metadata: ["file": "\(path)", "try": "chmod o= \(path)"])
        }
        raiseOpenFiles(for: settings.lan, logger: logger)
        let known = ClockFile(dataDirectory: settings.gateway.dataDirectory).read() ?? 0
        let gateway = try Gateway(
            settings: settings, settingsProblems: problems, source: SettingsSource(path: path),
            // A level from the command line goes before the settings'.
            threshold: logLevel == nil ? threshold : nil,
            time: SystemTime(floor: max(known, SystemTime.built)), logging: logging)
        let reloading = Task { await signals.reload(gateway) }
        defer { reloading.cancel() }
        try await gateway.run { await signals.untilStop() }
    }

    /// Asks the gateway that runs on `dataDirectory`.
    package static func status(dataDirectory: String) throws(GatewayError) -> GatewayStatus {
        let doing = "ask the running gateway"
        do {
            return try ControlClient.status(socketPath: ControlSocket.path(in: dataDirectory))
        } catch {
            throw GatewayError(error, doing: doing)
        }
    }

    /// Has the gateway that runs on a settings file, or else on a data directory, read its settings again. What it did not
    /// do is in the answer.
    package static func reload(
        settingsPath: String, dataDirectory: String, isDryRun: Bool
    ) throws(GatewayError) -> ReloadAnswer {
        let path = SettingsSource(path: settingsPath).path
        do throws(ControlClient.Failure) {
            return try ControlClient.reload(
                ReloadRequest(isDryRun: isDryRun, path: path),
                socketPath: ControlSocket.path(settingsPath: path, dataDirectory: dataDirectory))
        } catch {
            throw GatewayError(error, doing: "ask the running gateway")
        }
    }

    /// Each connection takes a descriptor; the usual limit of 1,024 is below what the listener is meant to serve.
    private static func raiseOpenFiles(for lan: BrokerConfiguration, logger: Logger) {
        let wanted = lan.maximumClients + lan.maximumPending + 64
        let limit = clinux_raise_open_files()
        if limit >= 0, limit < wanted {
            logger.warning(
                "fewer connections can be served than the settings allow",
                metadata: ["open_files": "\(limit)", "wanted": "\(wanted)", "try": "LimitNOFILE=\(wanted) in the unit"])
        }
    }

    /// glibc gives every thread a heap of its own, of which each keeps what it once used; two are enough for a
    /// handful of threads and keep an idle gateway small (mallopt(3), `M_ARENA_MAX`).
    static func limitArenas() {
        clinux_limit_arenas(2)
    }
}
