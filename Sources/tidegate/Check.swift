import ArgumentParser
import Configuration
import Settings

extension Tidegate {
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Look for mistakes in the settings, all at once.",
            discussion: """
                Needs no hardware and no network, so it can be run anywhere. Looks into the certificates, keys and \
                password files that the settings name, where they are here. Each mistake is printed as \
                file:line:column, with what was expected. Exits with 78 when there is one, else with 0; warnings \
                do not count.
                """)

        @OptionGroup var gateway: GatewayOptions

        @Flag(
            help: ArgumentHelp(
                "Say what `tidegate reload` would change in the running gateway, and change nothing.",
                discussion: "Asks the gateway that runs on these settings."))
        var diff = false

        @Flag(name: .shortAndLong, help: "Say nothing when there is nothing wrong.")
        var quiet = false

        @Flag(help: "Print a settings file with every key, its default and unit, and check nothing.")
        var sample = false

        func run() throws {
            if sample {
                print(SampleSettings.text, terminator: "")
                return
            }
            let result = SettingsLoader.check(gateway.settings.path)
            for diagnostic in result.diagnostics { StandardError.print("\(diagnostic)") }
            guard result.settings != nil else {
                let count = result.diagnostics.count { $0.severity == .error }
                StandardError.print("\(count) \(count == 1 ? "mistake" : "mistakes") in the settings")
                throw ExitCode(GatewayError.Kind.configuration.rawValue)
            }
            if diff { return try gateway.reload(isDryRun: true) }
            guard !quiet else { return }
            let count = result.diagnostics.count
            let warnings = count == 0 ? "" : " but for \(count) \(count == 1 ? "warning" : "warnings")"
            print("settings are fine\(warnings): \(result.files.joined(separator: ", "))")
        }
    }
}
