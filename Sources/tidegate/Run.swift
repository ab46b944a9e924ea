import ArgumentParser
import Configuration
import Gateway

extension Tidegate {
    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run the gateway until it is stopped.",
            discussion: """
                Logs go to standard error. SIGTERM or Ctrl-C stops it within 5 seconds: what is on its way upstream is \
                waited for, the rest stays in the data directory for the next start.
                """)

        @OptionGroup var settings: SettingsOptions

        @Flag(
            help: ArgumentHelp(
                "Run with what can be used when the settings have mistakes.",
                discussion: "What a mistake stands in is left out, and told in the log and by tidegate status."))
        var lenient = false

        @Option(help: "How much to log: trace, debug, info, notice, warning or error. Overrides the settings.")
        var logLevel: String?

        func run() async throws {
            do throws(GatewayError) {
                try await GatewayProcess.run(settings.path, isLenient: lenient, logLevel: logLevel)
            } catch {
                throw exit(with: error)
            }
        }
    }
}
