import Glibc
import Linux
package import Upstream

/// Secrets never stand in the settings, only where they are.
package enum SecretFile {
    /// Why a secret cannot be used.
    package enum Problem: Error, Hashable, Sendable {
        /// Its file cannot be read: an errno.
        case unreadable(path: String, code: Int32)
        /// The file's mode lets other users read or change it.
        case open(path: String)
        /// Bytes that are no secret: empty, more than one line, a NUL.
        case unusable(path: String, reason: String)

        package var path: String {
            switch self {
            case .unreadable(let path, _), .open(let path), .unusable(let path, _): path
            }
        }

        package var reason: String {
            switch self {
            case .unreadable(_, let code): ErrnoText.text(code)
            case .open: "others can read or change it"
            case .unusable(_, let reason): reason
            }
        }

        package var remedy: String {
            switch self {
            case .unreadable(let path, _):
                "create \(path) with mode 0600, owned by the gateway's user, holding just the secret"
            case .open(let path): "chmod 600 \(path)"
            case .unusable(let path, _):
                "write just the secret into it, as one line: printf %s 'SECRET' > \(path)"
            }
        }
    }

    /// Bytes of the longest secret, with its line end.
    package static let limit = 4_096

    /// The secret named `name`, without its line end; `nil` for no name.
    ///
    /// A systemd credential of that name comes first (systemd.exec(5), `LoadCredential=`), then a file, relative to
    /// the settings' directory, that nobody but its owner can read. Blocks.
    package static func read(_ name: String?, settingsDirectory: String) throws(GatewayError) -> Secret? {
        guard let name else { return nil }
        do throws(Problem) {
            return try secret(name, settingsDirectory: settingsDirectory)
        } catch {
            var kind = GatewayError.Kind.configuration
            if case .unreadable(_, EACCES) = error { kind = .permission }
            throw GatewayError(
                kind, doing: "use the secret in \(error.path)", reason: error.reason, remedy: error.remedy)
        }
    }

    /// As ``read(_:settingsDirectory:)``, with the problem as a value.
    package static func secret(_ name: String, settingsDirectory: String) throws(Problem) -> Secret {
        if let credential = credential(name) { return try contents(of: credential) }
        let path = name.hasPrefix("/") ? name : "\(settingsDirectory)/\(name)"
        var information = stat()
        if stat(path, &information) == 0, information.st_mode & 0o077 != 0 { throw .open(path: path) }
        return try contents(of: path)
    }

    /// Where systemd keeps a credential of that name; `nil` when there is none.
    ///
    /// systemd hands credentials to the service's own process. Root also sees the service's, and those that the service
    /// will be given (`LoadCredential=` of tidegate.service), so that root looks at the secret that the service uses.
    package static func credential(_ name: String) -> String? {
        guard !name.contains("/") else { return nil }
        let stores = ["/etc/credstore", "/run/credstore", "/usr/lib/credstore"].map { "\($0)/tidegate.\(name)" }
        let own = getenv("CREDENTIALS_DIRECTORY").map { ["\(String(cString: $0))/\(name)"] } ?? []
        let paths = own + ["/run/credentials/tidegate.service/\(name)"] + stores
        return paths.first { access($0, F_OK) == 0 }
    }

    private static func contents(of path: String) throws(Problem) -> Secret {
        var bytes: [UInt8]
        do throws(SystemCallError) {
            bytes = try SmallFile.read(path, limit: limit)
        } catch {
            guard error.code == EFBIG else { throw .unreadable(path: path, code: error.code) }
            throw .unusable(path: path, reason: "it is larger than \(limit) bytes")
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        if bytes.isEmpty { throw .unusable(path: path, reason: "it is empty") }
        if bytes.contains(where: { "\r\n".utf8.contains($0) }) {
            throw .unusable(path: path, reason: "it has more than one line")
        }
        guard let secret = Secret(bytes) else { throw .unusable(path: path, reason: "it has a NUL in it") }
        return secret
    }
}
