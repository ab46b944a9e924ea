internal import Readings

/// Why the link to the upstream is down, or went down: what was tried, why it failed, what to do.
package enum LinkFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name does not resolve. `reason` is the resolver's.
    case resolve(host: String, reason: String)
    /// The connection attempt failed: `code` is the errno.
    case connect(UpstreamAddress, code: Int32)
    /// No CONNACK in time.
    case noAnswer(UpstreamAddress, within: Duration)
    /// The broker closed the connection before its CONNACK.
    case closedBeforeAnswer(UpstreamAddress)
    /// The broker refused the CONNECT.
    case refused(UpstreamAddress, ConnectRefusal)
    /// The resolver has not answered in time.
    case unresolved(host: String, within: Duration)
    /// The TLS handshake failed.
    case tls(UpstreamAddress, TLSFailure)
    /// A certificate or key file cannot be read.
    case file(path: String, code: Int32)
    /// A certificate or key file holds nothing of use; why, in OpenSSL's words.
    case badFile(String, String)
    /// The link's thread hung in a call, and another took its place.
    case stuck(Duration)
    /// The established connection broke; `code` is the errno, or 0 when the broker closed it.
    case broken(code: Int32)
    /// The broker said DISCONNECT (5.0) with this reason code.
    case disconnected(reason: UInt8)
    /// No answer to our PINGREQ.
    case keepAlive(Duration)
    /// No PUBACK for too long, with something on its way.
    case stalled(Duration)
    /// The broker cannot take a message at the moment (PUBACK with this reason code).
    case postponed(reason: UInt8)
    /// The broker broke the protocol.
    case `protocol`(detail: String)
    /// libmosquitto failed; `reason` is its own text.
    case library(doing: String, reason: String)

    package var description: String { "\(summary)\n  try: \(remedy)" }

    /// What was tried and why it failed, on one line.
    package var summary: String { "cannot \(doing): \(reason)" }

    private var doing: String {
        switch self {
        case .resolve(let host, _), .unresolved(let host, _): "find the upstream \(host)"
        case .connect(let address, _), .noAnswer(let address, _), .closedBeforeAnswer(let address),
            .refused(let address, _), .tls(let address, _):
            "connect to the upstream \(address.withPort)"
        case .file(let path, _), .badFile(let path, _): "use the file \(path) for the upstream's TLS"
        case .broken, .disconnected, .keepAlive, .stalled, .protocol, .stuck: "keep the link to the upstream"
        case .postponed: "deliver to the upstream"
        case .library(let doing, _): doing
        }
    }

    /// Why, in words.
    package var reason: String {
        switch self {
        case .resolve(let host, let reason): "\(host) has no address: \(reason)"
        case .unresolved(let host, let duration): "the resolver has not answered for \(host) within \(duration)"
        case .connect(_, let code), .file(_, let code): errorText(code)
        case .noAnswer(_, let duration): "no answer within \(duration)"
        case .closedBeforeAnswer: "the broker closed the connection without an answer"
        case .refused(_, let refusal): "the broker refused: \(refusal)"
        case .tls(_, let failure): "TLS failed: \(failure.reason)"
        case .badFile(_, let reason): reason
        case .stuck(let duration): "a call did not come back for \(duration)"
        case .broken(let code): code == 0 ? "the broker closed the connection" : errorText(code)
        case .disconnected(let code): "the broker disconnected us: \(ReasonText.of(code))"
        case .keepAlive(let duration): "no sign of life from the broker for \(duration)"
        case .stalled(let duration): "nothing was acknowledged for \(duration)"
        case .postponed(let code): "the broker cannot take messages now: \(ReasonText.of(code))"
        case .protocol(let detail): "the broker broke the MQTT protocol: \(detail)"
        case .library(_, let reason): reason
        }
    }

    /// The file that it is about, where it is about one.
    var path: String? {
        switch self {
        case .file(let path, _), .badFile(let path, _): path
        default: nil
        }
    }

    /// What a person can do.
    package var remedy: String {
        switch self {
        case .resolve, .unresolved: "check the host in upstream.url and the gateway's DNS (resolvectl query)"
        case .connect: "check that the broker runs, listens on that port and is not behind a firewall"
        case .noAnswer: "check the route to the broker, and that the port speaks MQTT (mqtts:// where it wants TLS)"
        case .closedBeforeAnswer: "check the port (mqtt:// or mqtts://?) and the broker's log"
        case .refused(_, let refusal): refusal.remedy
        case .tls(_, let failure): failure.remedy
        case .badFile:
            "put a PEM file there: certificate first, then those that lead to its root; the key without a passphrase"
        case .stuck:
            "look at the storage that the certificates are on if this happens often; the gateway connects again"
        case .file: "check the path and that the service's user may read the file"
        case .broken: "look at the line and the broker's log if this happens often; the gateway connects again"
        case .disconnected: "look at the broker's log; check that no other client uses the same gateway.id"
        case .keepAlive, .stalled: "look at the line and the broker if this happens often; the gateway connects again"
        case .postponed: "raise the quota of this account on the broker if this lasts; the gateway tries again"
        case .protocol: "check that the port speaks MQTT; look at the broker's log"
        case .library: "report this with the gateway's log"
        }
    }
}
