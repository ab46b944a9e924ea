import Broker
import Glibc
import Linux
package import Settings
import Upstream

/// What the files that the settings name will do to a gateway that runs with them.
///
/// A mistake is an error where it cannot mend itself: contents that are no certificate, or a key of another one. A file that
/// may still come, or that this user may not read while the gateway's may, is a warning.
extension GatewaySettings {
    /// Looks at the files. Needs no hardware and no network; blocks for the disk.
    package func fileDiagnostics() -> [Diagnostic] {
        let diagnostics = Diagnostics()
        for file in files {
            switch file.role {
            case .password: checkPassword(file, diagnostics)
            case .socket: Self.checkSocket(file, diagnostics)
            case .authorities, .certificate, .key: Self.checkReadable(file, diagnostics)
            }
        }
        for listener in lan.listeners { checkListener(listener, diagnostics) }
        checkUpstream(diagnostics)
        return diagnostics.list
    }

    private func checkPassword(_ file: NamedFile, _ diagnostics: Diagnostics) {
        guard let upstream, let name = upstream.passwordFile else { return }
        do throws(SecretFile.Problem) {
            _ = try SecretFile.secret(name, settingsDirectory: upstream.settingsDirectory)
        } catch {
            let text = "password_file: \(error.path) cannot be used: \(error.reason)\n  try: \(error.remedy)"
            if case .unreadable = error {
                diagnostics.warning(text, at: file.position)
            } else {
                diagnostics.error(text, at: file.position)
            }
        }
    }

    private static func checkReadable(_ file: NamedFile, _ diagnostics: Diagnostics) {
        if let code = unreadableCode(file.path) {
            let remedy =
                code == EACCES
                ? "let the gateway's user read it, and run this as root or as that user"
                : "put a PEM file there"
            diagnostics.warning(
                "\(file.path) cannot be read: \(ErrnoText.text(code)); the connections that need it fail until it can\n  try: \(remedy)",
                at: file.position)
        }
        var information = stat()
        if file.role == .key, stat(file.path, &information) == 0, information.st_mode & 0o007 != 0 {
            diagnostics.warning(
                "every user of this machine can read or change the private key \(file.path)\n  try: chmod o= \(file.path)",
                at: file.position)
        }
    }

    private static func checkSocket(_ file: NamedFile, _ diagnostics: Diagnostics) {
        let folder = file.path.lastIndex(of: "/").map { String(file.path[..<$0]) } ?? "."
        var information = stat()
        if lstat(file.path, &information) == 0, information.st_mode & S_IFMT != S_IFSOCK {
            diagnostics.error(
                "listen: \(file.path) is there already, and is no socket\n  try: remove it, or choose another path",
                at: file.position)
        } else if stat(folder.isEmpty ? "/" : folder, &information) != 0 {
            diagnostics.warning(
                "listen: the folder of \(file.path) cannot be used: \(ErrnoText.last); the listener stays closed until it can\n  try: make the folder \(folder), which the gateway's user must be able to write to; /run/tidegate is made with the service",
                at: file.position)
        } else if information.st_mode & S_IFMT != S_IFDIR {
            diagnostics.error(
                "listen: \(folder) is no folder, so that \(file.path) cannot be made\n  try: choose another path",
                at: file.position)
        }
    }

    /// What is in the files, once all of them can be read.
    private func checkListener(_ listener: Listener, _ diagnostics: Diagnostics) {
        guard let tls = listener.tls else { return }
        let paths = [tls.certificateFile, tls.keyFile, tls.clientAuthorityFile].compactMap(\.self)
        guard paths.allSatisfy({ Self.unreadableCode($0) == nil }) else { return }
        do throws(BrokerError) {
            try listener.checkTLS()
        } catch {
            let path = paths.first { error.doing.contains($0) } ?? tls.certificateFile
            diagnostics.error("\(error)", at: position(of: path))
        }
    }

    private func checkUpstream(_ diagnostics: Diagnostics) {
        guard let tls = upstream?.configuration.tls else { return }
        let paths = [tls.authorityFile, tls.certificateFile, tls.keyFile].compactMap(\.self)
        guard !paths.isEmpty, paths.allSatisfy({ Self.unreadableCode($0) == nil }) else { return }
        do throws(LinkFault) {
            try tls.check()
        } catch {
            let path = paths.first { "\(error)".contains($0) } ?? paths[0]
            diagnostics.error("\(error)", at: position(of: path))
        }
    }

    private func position(of path: String) -> SourcePosition? { files.first { $0.path == path }?.position }

    /// The errno with which a file cannot be opened; EISDIR for a folder, `nil` for none.
    private static func unreadableCode(_ path: String) -> Int32? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return errno }
        return information.st_mode & S_IFMT == S_IFDIR ? EISDIR : nil
    }
}
