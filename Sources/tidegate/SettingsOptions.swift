import ArgumentParser
import Gateway

/// Where the settings are: shared by every command that needs them.
struct SettingsOptions: ParsableArguments {
    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: ArgumentHelp(
            "The settings file. Files in conf.d beside it are merged into it, in the order of their names.",
            valueName: "file"))
    var path = SettingsLoader.defaultPath
}
