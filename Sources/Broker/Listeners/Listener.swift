/// One place where clients come in, and what is asked of them there.
package struct Listener: Hashable, Sendable, CustomStringConvertible {
    package enum Endpoint: Hashable, Sendable, CustomStringConvertible {
        case tcp(ListenAddress)
        /// A socket in the file system, for programs on the same machine (unix(7)).
        case unix(path: String)

        /// Reachable from this machine only.
        package var isLocal: Bool {
            switch self {
            case .tcp(let address): address.isLoopback
            case .unix: true
            }
        }

        package var description: String {
            switch self {
            case .tcp(let address): address.description
            case .unix(let path): "unix:\(path)"
            }
        }
    }

    /// Files in PEM. They are read again when they change; connections that are there go on with what they have.
    package struct TLS: Hashable, Sendable {
        package enum ClientCertificate: Hashable, Sendable {
            /// None is asked for.
            case none
            /// One that is given must be good.
            case optional
            case required
        }

        /// The server's certificate, followed by those that lead to its root.
        package var certificateFile: String
        package var keyFile: String
        /// Certificates that clients' certificates must lead to.
        package var clientAuthorityFile: String?
        package var clientCertificate = ClientCertificate.none

        package init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// Where a client's user name comes from.
    package enum UserSource: Hashable, Sendable {
        /// CONNECT, with its password.
        case login
        /// The common name of the client's certificate; CONNECT where it has none.
        case commonName
        /// The first DNS name, e-mail address or URI among the alternative names of the client's certificate; CONNECT
        /// where it has none.
        case alternativeName
    }

    package var endpoint: Endpoint
    /// `nil`: plain.
    package var tls: TLS?
    /// MQTT in WebSocket frames [MQTT-6.0.0-1].
    package var isWebSocket = false
    /// Origins of web pages that may connect over WebSocket, such as "https://panel.example.com", besides those of the host
    /// that the client asks for; `*`: any.
    package var origins: [String] = []
    /// Clients that give no user name are let in.
    package var allowsAnonymous: Bool
    package var userSource = UserSource.login

    /// Plain MQTT, without a user name only where nobody else can reach it.
    package init(_ endpoint: Endpoint) {
        self.endpoint = endpoint
        allowsAnonymous = endpoint.isLocal
    }

    /// Whether `origins` may have this: `*`, or scheme, host and perhaps a port.
    package static func isOrigin(_ text: String) -> Bool { OriginPolicy.isOrigin(text) }

    /// "192.168.1.5:8883 (TLS)", as the settings have it.
    package var description: String { text(at: endpoint) }

    /// The same with another endpoint: the one it really has.
    func text(at endpoint: Endpoint) -> String {
        let layers = [isWebSocket ? "WebSocket" : nil, tls == nil ? nil : "TLS"].compactMap { $0 }
        return "\(endpoint)" + (layers.isEmpty ? "" : " (\(layers.joined(separator: ", ")))")
    }
}
