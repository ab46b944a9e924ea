import Glibc
import NIOCore

/// Why a listener is not open, or why something is wrong with one that is. Names the listener in `doing`.
package struct BrokerError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        /// Another program has the port or the socket's path.
        case addressInUse
        case permission
        /// This machine does not have the address, or not yet.
        case addressNotAvailable
        /// No address is known for the host name.
        case name
        /// The folder of a Unix socket is missing, or something else has the socket's path.
        case path
        /// Certificates or keys are not usable.
        case certificate
        /// An open listener lost its socket.
        case lost
        /// Stored sessions cannot be read.
        case sessions
        /// The server stops.
        case stopping
        case other
    }

    package let kind: Kind
    /// "listen on 0.0.0.0:8883 (TLS)"
    package let doing: String
    /// "another program listens there (EADDRINUSE)"
    package let reason: String
    /// "stop it, or choose another port"
    package let remedy: String

    package init(_ kind: Kind, doing: String, reason: String, remedy: String) {
        self.kind = kind
        self.doing = doing
        self.reason = reason
        self.remedy = remedy
    }

    package var description: String { "cannot \(doing): \(reason)\n  try: \(remedy)" }
}

extension BrokerError {
    /// A socket could not be made or bound for `listener`.
    init(binding listener: Listener, code: Int32) {
        let doing = "listen on \(listener)"
        switch code {
        case EADDRINUSE:
            var remedy = "stop it (for Debian's broker: systemctl disable --now mosquitto), or choose another port"
            if case .tcp(let address) = listener.endpoint, address.isForAllFamilies {
                remedy += "; \(address) takes IPv4 too, so it cannot stand beside 0.0.0.0 with the same port"
            }
            self.init(.addressInUse, doing: doing, reason: "another program listens there (EADDRINUSE)", remedy: remedy)
        case EACCES, EPERM:
            self.init(
                .permission, doing: doing, reason: "no permission (\(code == EACCES ? "EACCES" : "EPERM"))",
                remedy: "choose a port of 1024 or above, or a folder that the gateway's user may write in")
        case EADDRNOTAVAIL:
            self.init(
                .addressNotAvailable, doing: doing, reason: "this machine has no such address (EADDRNOTAVAIL)",
                remedy: "compare with the addresses it has (ip address); \"*\" means all of them")
        case EAFNOSUPPORT:
            self.init(
                .addressNotAvailable, doing: doing, reason: "this machine has no IPv6 (EAFNOSUPPORT)",
                remedy: "use an IPv4 address, or \"*\" for all addresses that there are")
        case EMFILE, ENFILE:
            self.init(
                .other, doing: doing, reason: String(cString: strerror(code)),
                remedy: "raise LimitNOFILE= in the unit, or lower max_connections in [lan]")
        default:
            self.init(
                .other, doing: doing, reason: String(cString: strerror(code)),
                remedy: "check the address (tidegate doctor, ip address)")
        }
    }

    /// `error` came while a socket was made or bound for `listener`.
    init(binding listener: Listener, _ error: any Error) {
        if let error = error as? BrokerError {
            self = error
        } else if let code = (error as? IOError)?.errnoCode {
            self.init(binding: listener, code: code)
        } else {
            self.init(
                .other, doing: "listen on \(listener)", reason: "\(error)",
                remedy: "check the address (tidegate doctor, ip address)")
        }
    }
}
