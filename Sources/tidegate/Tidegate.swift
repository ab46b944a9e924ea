import ArgumentParser
import Configuration
import Diagnosis
import Glibc

/// The command line: thin. Every command parses its words, calls the gateway and turns errors into exit codes
/// (sysexits(3)).
@main
struct Tidegate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tidegate",
        abstract: "An edge gateway: sensors and nearby MQTT devices in, one upstream broker out, nothing lost between.",
        discussion: """
            First steps:
              tidegate demo           see it work on this machine, without hardware or configuration
              tidegate check          look for mistakes in the settings
              tidegate run            run the gateway (systemd does this on a board)
              tidegate reload         have the running gateway take changed settings into use
              tidegate status         what the running gateway is doing
              tidegate doctor         what is not well, and what to do
              tidegate queue          what waits for the upstream
              tidegate sensor         the board's own sensors: list, read, scan
              tidegate device         who may use the LAN listener

            Settings: /etc/tidegate/tidegate.toml and /etc/tidegate/conf.d/*.toml

            Exit codes: 0 done, 64 wrong words on the command line, 69 something needed is not available,
            70 a fault in tidegate itself, 74 reading or writing failed, 77 no permission, 78 wrong settings.
            """,
        version: GatewayVersion.current,
        subcommands: [
            Run.self, Reload.self, Demo.self, Check.self, FirstBootCommand.self, Status.self, DoctorCommand.self,
            Bundle.self,
            Sensor.self, Queue.self, Device.self, Version.self,
        ])
}

extension ParsableCommand {
    /// Ends the command with the error's text on standard error and its exit code.
    func exit(with error: GatewayError) -> ExitCode { ExitCode(saying: error) }
}

extension ExitCode {
    /// The error's exit code, with its text on standard error.
    init(saying error: GatewayError) {
        StandardError.print("tidegate: \(error)")
        self.init(error.kind.rawValue)
    }
}

enum StandardError {
    static func print(_ text: String) {
        let line = text + "\n"
        _ = line.utf8.withContiguousStorageIfAvailable { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
