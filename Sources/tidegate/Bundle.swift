import ArgumentParser
import Configuration
import Diagnosis

extension Tidegate {
    struct Bundle: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write an archive for somebody who helps from afar.",
            discussion: """
                Settings, state, what doctor finds, logs, and what the machine says of itself. Without passwords, keys, \
                tokens and the upstream account's name, and without the values that devices have sent: only their kind \
                stays, such as "number". Look through it before you send it.
                """)

        @OptionGroup var settings: SettingsOptions

        @Option(name: .shortAndLong, help: ArgumentHelp("Where to write it.", valueName: "file"))
        var output = "tidegate-bundle.tar.gz"

        func run() async throws {
            do throws(GatewayError) {
                try await SupportBundle(settings.path).write(to: output)
                print(output)
            } catch {
                throw exit(with: error)
            }
        }
    }
}
