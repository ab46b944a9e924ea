import Admin
import ArgumentParser
import Gateway

extension Tidegate {
    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what the running gateway is doing.",
            discussion: """
                The link to the upstream broker and when it last confirmed something, what waits per class and how \
                old it is, sensors, and connected devices. Asks the gateway over the socket in its data directory, so \
                it must run as the gateway's user or as root.
                """)

        @OptionGroup var settings: SettingsOptions

        @Flag(help: "Print one JSON object instead, for scripts.")
        var json = false

        @Option(help: ArgumentHelp("The data directory, instead of the one in the settings.", valueName: "folder"))
        var dataDir: String?

        private func dataDirectory() throws(GatewayError) -> String {
            if let dataDir { return dataDir }
            return try SettingsLoader.loadOrFail(settings.path).gateway.dataDirectory
        }

        func run() throws {
            do throws(GatewayError) {
                let directory = try dataDirectory()
                let status = try GatewayProcess.status(dataDirectory: directory)
                print(json ? ControlClient.json(status) : status.text)
            } catch {
                throw exit(with: error)
            }
        }
    }
}
