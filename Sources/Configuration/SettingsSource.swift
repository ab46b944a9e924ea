import Glibc
import Upstream

/// The settings files that a gateway was started with, for reading them again.
package struct SettingsSource: Sendable {
    /// The main file. Absolute, so that it stays the same file wherever the process goes.
    package let path: String

    package init(path: String) { self.path = path.hasPrefix("/") ? path : Self.absolute(path) }

    /// Reads and checks the files, and the upstream's password. Blocks for that.
    /// - Returns: the settings, and what there is to say of them.
    /// - Throws: when they have a mistake; the error lists all of them.
    package func load() throws(GatewayError) -> (settings: GatewaySettings, warnings: [String]) {
        let result = SettingsLoader.load(path)
        guard var settings = result.settings else { throw SettingsLoader.failure(result, path: path) }
        try settings.readPassword()
        return (settings, result.diagnostics.map { "\($0)" })
    }

    private static func absolute(_ path: String) -> String {
        guard let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return "\(String(cString: folder))/\(path)"
    }
}

extension GatewaySettings {
    /// Reads the upstream's password from its credential or file.
    package mutating func readPassword() throws(GatewayError) {
        guard let upstream else { return }
        self.upstream?.configuration.password = try SecretFile.read(
            upstream.passwordFile, settingsDirectory: upstream.settingsDirectory)
    }
}
