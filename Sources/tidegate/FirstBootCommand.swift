import ArgumentParser
import Configuration
import Setup

extension Tidegate {
    struct FirstBootCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "first-boot",
            abstract: "Take the settings from the boot partition, once (systemd does this on a board).",
            discussion: """
                Looks for tidegate.toml in /boot/firmware and /boot, checks it, and moves it with the files that it \
                names to where the gateway reads them, with mode 0600: all of them or, when a step fails, none. Settings \
                with a mistake stay there. Each failure is told on the console, in the log and by tidegate status. Exits \
                with 78 when the settings have a mistake, with 74 when the disk fails.
                """)

        @OptionGroup var settings: SettingsOptions

        @Option(help: ArgumentHelp("Look here instead.", valueName: "folder"))
        var boot: [String] = []

        @Option(help: "The user that the files are given to.")
        var user = "tidegate"

        @Option(help: ArgumentHelp("Where to leave the report that tidegate status shows.", valueName: "file"))
        var report: String?

        func run() throws {
            do throws(GatewayError) {
                let task = FirstBoot(
                    bootDirectories: boot.isEmpty ? FirstBoot.bootDirectories : boot,
                    settingsPath: settings.path, user: user, reportPath: report)
                switch try task.run() {
                case .nothing: print("there are no settings on the boot partition")
                case .taken(let files): print("taken: \(files.joined(separator: ", "))")
                case .refused(let problem):
                    StandardError.print("tidegate: \(problem)")
                    throw GatewayError(
                        .configuration, doing: "take the settings from the boot partition",
                        reason: "they have mistakes",
                        remedy: "mend the file there, with any computer, and start the board again"
                    )
                }
            } catch {
                throw exit(with: error)
            }
        }
    }
}
