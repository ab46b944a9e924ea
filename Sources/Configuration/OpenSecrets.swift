import Glibc
package import Upstream

/// Secrets that others can read.
extension GatewaySettings {
    /// The upstream broker that gets the password unencrypted over a network; `nil`: none does.
    package var upstreamWithOpenPassword: UpstreamAddress? {
        guard let upstream, upstream.passwordFile != nil else { return nil }
        return upstream.configuration.addresses.first { $0.transport == .tcp && !$0.isThisMachine }
    }

    /// The private keys that every account of this machine can read or change. Looks at the files.
    package var openKeyFiles: [String] {
        files.filter { $0.role == .key }.map(\.path).filter { path in
            var information = stat()
            return stat(path, &information) == 0 && information.st_mode & 0o006 != 0
        }
    }
}
