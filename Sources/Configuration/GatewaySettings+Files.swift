import Broker
import Glibc
package import Upstream

extension GatewaySettings {
    /// Every other file that the settings name, by its path: certificates, keys and the password's, unless that is a
    /// credential of systemd's.
    package var namedFiles: [String] {
        var files: [String] = []
        if let upstream {
            let tls = upstream.configuration.tls
            files += [tls.authorityFile, tls.certificateFile, tls.keyFile].compactMap(\.self)
            if let password = upstream.passwordFile {
                files.append(password.hasPrefix("/") ? password : "\(upstream.settingsDirectory)/\(password)")
            }
        }
        for tls in lan.listeners.compactMap(\.tls) {
            files += [tls.certificateFile, tls.keyFile, tls.clientAuthorityFile].compactMap(\.self)
        }
        return files.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}

// MARK: Secrets that are open, or none

extension GatewaySettings {
    /// The upstream broker that gets the password unencrypted over a network; `nil`: none does.
    package var upstreamWithOpenPassword: UpstreamAddress? {
        guard let upstream, upstream.passwordFile != nil else { return nil }
        return upstream.configuration.addresses.first { $0.transport == .tcp && !$0.isLoopback }
    }

    /// The private keys that every account of this machine can read or change. Looks at the files.
    package var openKeyFiles: [String] {
        let keys = [upstream?.configuration.tls.keyFile] + lan.listeners.map(\.tls?.keyFile)
        var found: [String] = []
        for path in keys.compactMap(\.self) where !found.contains(path) {
            var information = stat()
            if stat(path, &information) == 0, information.st_mode & 0o006 != 0 { found.append(path) }
        }
        return found
    }

    /// Why the upstream's password cannot be used, where its file is on this machine and can be read. Reads the file.
    package var passwordProblem: GatewayError? {
        guard let upstream, let name = upstream.passwordFile else { return nil }
        let path = name.hasPrefix("/") ? name : "\(upstream.settingsDirectory)/\(name)"
        guard SecretFile.credential(name) != nil || access(path, R_OK) == 0 else { return nil }
        do throws(GatewayError) {
            _ = try SecretFile.read(name, settingsDirectory: upstream.settingsDirectory)
            return nil
        } catch {
            return error
        }
    }
}
