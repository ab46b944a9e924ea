import Broker
import Glibc
package import Upstream

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
}
