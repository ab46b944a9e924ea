import Admin
import ArgumentParser
import Configuration
import Diagnosis
import Glibc

extension Tidegate {
    struct DoctorCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "doctor",
            abstract: "Look at everything that the gateway needs, and say what to do about what is not well.",
            discussion: """
                Settings, clock, power, disk, permissions, GPIO and serial ports, sensors, listeners, and the way to the \
                upstream: name, connection, TLS, login, a message there. Needs no internet. Run it as root: others see \
                less. Exits with 69 when something has failed, with 78 when that is the settings, else with 0; warnings \
                do not count.
                """)

        @OptionGroup var settings: SettingsOptions

        @Flag(help: "Print one JSON object instead, for scripts.")
        var json = false

        func run() async throws {
            let report = await Doctor(settings.path).examine()
            print(json ? ControlClient.json(report) : report.text)
            guard report.hasFailed else { return }
            let isSettings = report.findings.contains { $0.check == "settings" && $0.verdict == .fail }
            throw ExitCode((isSettings ? GatewayError.Kind.configuration : .unavailable).rawValue)
        }
    }
}
