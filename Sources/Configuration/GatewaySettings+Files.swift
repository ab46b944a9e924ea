import Broker
import Upstream

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
