package import Settings

/// A file that the settings name, and what for.
package struct NamedFile: Hashable, Sendable {
    package enum Role: Hashable, Sendable {
        /// Certificates to trust.
        case authorities
        case certificate
        /// The private key of a certificate.
        case key
        /// A password, unless a systemd credential has it.
        case password
        /// A socket that a listener makes.
        case socket
    }

    /// With its folder; relative only where the settings file's own path is.
    package var path: String
    package var role: Role
    /// Where the settings name it; `nil` for none that a person could mend.
    package var position: SourcePosition?

    package init(path: String, role: Role, position: SourcePosition?) {
        self.path = path
        self.role = role
        self.position = position
    }
}

extension GatewaySettings {
    /// The paths of the files that the settings name to be read, each once.
    package var namedFiles: [String] {
        files.filter { $0.role != .socket }.map(\.path).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}

/// Collects the files that are named while settings are read. Not Sendable: one reader fills it.
final class NamedFiles {
    private(set) var list: [NamedFile] = []

    /// - Parameter path: `nil` where the settings name none.
    func note(_ path: String?, _ role: NamedFile.Role, at position: SourcePosition?) {
        guard let path else { return }
        let file = NamedFile(path: path, role: role, position: position)
        if !list.contains(file) { list.append(file) }
    }
}
