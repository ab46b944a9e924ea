import ArgumentParser
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

        @Option(help: "How much to log: trace, debug, info, notice, warning or error. Overrides the settings.")
        var logLevel: String?

        func run() async throws {
            do throws(GatewayError) {
                let loaded = try SettingsLoader.loadOrFail(settings.path)
                try await GatewayProcess.run(loaded, logLevel: logLevel)
            } catch {
                throw exit(with: error)
            }
        }
    }
}
