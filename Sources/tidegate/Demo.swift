import ArgumentParser
import Configuration
import Gateway

extension Tidegate {
    struct Demo: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "See the gateway work: no hardware, no broker, no configuration needed.",
            discussion: """
                Runs the real gateway with two simulated sensors, a listener for your own devices, and an upstream \
                broker of its own, which it takes away now and then. Nothing is left behind. Ctrl-C ends it.
                """)

        @Flag(help: "One outage, then check that everything arrived exactly as sent. Exits with 0 only if it did.")
        var once = false

        func run() async throws {
            do throws(GatewayError) {
                try await GatewayDemo.run(once: once)
            } catch {
                throw exit(with: error)
            }
        }
    }
}
