import Glibc
import Linux
package import Upstream

/// Secrets never stand in the settings, only where they are.
package enum SecretFile {
    private static let limit = 4_096

    /// The secret named `name`, without a final line end; `nil` for no name.
    ///
    /// A systemd credential of that name comes first (systemd.exec(5), `LoadCredential=`), then a file, relative to
    /// the settings' directory, that nobody but its owner can read.
    package static func read(_ name: String?, settingsDirectory: String) throws(GatewayError) -> Secret? {
        guard let name else { return nil }
        if let credential = credential(name) { return try read(credential) }
        let path = name.hasPrefix("/") ? name : "\(settingsDirectory)/\(name)"
        var information = stat()
        if stat(path, &information) == 0, information.st_mode & 0o077 != 0 {
            throw GatewayError(
                .configuration, doing: "use the secret in \(path)", reason: "others can read or change it",
                remedy: "chmod 600 \(path)")
        }
        return try read(path)
    }

    /// Where systemd keeps a credential of that name; `nil` when there is none.
    ///
    /// It hands them to the service's own process. Root also sees the service's, and those it will be given
    /// (`LoadCredential=` of tidegate.service), so that what root looks at is what the service uses.
    package static func credential(_ name: String) -> String? {
        guard !name.contains("/") else { return nil }
        let stores = ["/etc/credstore", "/run/credstore", "/usr/lib/credstore"].map { "\($0)/tidegate.\(name)" }
        let own = getenv("CREDENTIALS_DIRECTORY").map { ["\(String(cString: $0))/\(name)"] } ?? []
        let paths = own + ["/run/credentials/tidegate.service/\(name)"] + stores
        return paths.first { access($0, F_OK) == 0 }
    }

    private static func read(_ path: String) throws(GatewayError) -> Secret {
        var bytes: [UInt8]
        do {
            bytes = try SmallFile.read(path, limit: limit)
        } catch {
            throw GatewayError(
                error.code == EACCES ? .permission : .configuration, doing: "read the secret \(path)",
                reason: error.reason,
                remedy: "create it with mode 0600, owned by the gateway's user, holding just the secret")
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        let problem =
            bytes.isEmpty
            ? "it is empty"
            : bytes.contains { [UInt8(ascii: "\n"), UInt8(ascii: "\r")].contains($0) }
                ? "it has more than one line" : bytes.contains(0) ? "it has a NUL in it" : nil
        guard problem == nil, let secret = Secret(bytes) else {
            throw GatewayError(
                .configuration, doing: "use the secret in \(path)", reason: problem ?? "it is no text",
                remedy: "write just the secret into it, as one line: printf %s 'SECRET' > \(path)")
        }
        return secret
    }
}
