import ArgumentParser
import Diagnosis

extension Tidegate {
    struct Version: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the version, and those of the libraries in use.")

        func run() throws { print(GatewayVersion.text) }
    }
}
