import ArgumentParser
import Configuration

/// Where the settings are: shared by every command that needs them.
struct SettingsOptions: ParsableArguments {
    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: ArgumentHelp(
            "The settings file. Files in conf.d beside it are merged into it, in the order of their names.",
            valueName: "file"))
    var path = SettingsLoader.defaultPath
}

/// Which gateway a command is about: that of the settings, or of a data directory.
struct GatewayOptions: ParsableArguments {
    @OptionGroup var settings: SettingsOptions

    @Option(help: ArgumentHelp("The data directory, instead of the one in the settings.", valueName: "folder"))
    var dataDir: String?

    /// The data directory; the settings are read only when it is not given. A mistake elsewhere in them does not matter.
    var dataDirectory: String {
        dataDir ?? SettingsLoader.loadWhatCanBeUsed(settings.path).settings.gateway.dataDirectory
    }

    /// The settings file or the data directory stands on the command line.
    var isNamed: Bool { dataDir != nil || settings.path != SettingsLoader.defaultPath }

    /// Users may come by certificates, as far as the settings can be read.
    var hasCertificateUsers: Bool {
        SettingsLoader.loadWhatCanBeUsed(settings.path).settings.hasCertificateUsers
    }

    /// - Throws: when there is a mistake in the settings.
    func load() throws(GatewayError) -> (settings: GatewaySettings, dataDirectory: String) {
        let loaded = try SettingsLoader.loadOrFail(settings.path)
        return (loaded, dataDir ?? loaded.gateway.dataDirectory)
    }
}
