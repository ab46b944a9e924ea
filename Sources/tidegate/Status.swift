import Admin
import ArgumentParser
import Configuration
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

        @OptionGroup var gateway: GatewayOptions

        @Flag(help: "Print one JSON object instead, for scripts.")
        var json = false

        func run() throws {
            do throws(GatewayError) {
                let status = try GatewayProcess.status(dataDirectory: gateway.dataDirectory)
                print(json ? ControlClient.json(status) : status.text)
            } catch {
                throw exit(with: error)
            }
        }
    }
}
