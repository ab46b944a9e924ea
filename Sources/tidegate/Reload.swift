import Admin
import ArgumentParser
import Configuration
import Gateway

extension Tidegate {
    struct Reload: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the running gateway take changed settings into use.",
            discussion: """
                The settings are checked first. Then only what changed is stopped and started: the queue, sessions of \
                other listeners, counters and outputs stay as they are. What does not come up within 30 seconds puts \
                the earlier settings back, and the command says why. `tidegate check --diff` says what would change. \
                SIGHUP does the same.
                """)

        @OptionGroup var gateway: GatewayOptions

        func run() throws {
            try gateway.reload(isDryRun: false)
        }
    }
}

extension GatewayOptions {
    /// Asks the running gateway to reload, or what a reload would do, and prints the answer: changes to standard output,
    /// warnings and the failure to standard error.
    func reload(isDryRun: Bool) throws {
        let answer: ReloadAnswer
        do throws(GatewayError) {
            answer = try GatewayProcess.reload(
                settingsPath: settings.path, dataDirectory: dataDirectory, isDryRun: isDryRun)
        } catch {
            throw ExitCode(saying: error)
        }
        for line in answer.diagnostics { StandardError.print(line) }
        for line in answer.changes { print(line) }
        if let failure = answer.failure {
            StandardError.print("tidegate: \(failure.text)")
            throw ExitCode(failure.exitCode)
        }
        if answer.changes.isEmpty { print("nothing changes") }
    }
}
