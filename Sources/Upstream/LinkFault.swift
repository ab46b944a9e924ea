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
    /// The TLS handshake failed. `detail` is OpenSSL's.
    case tls(UpstreamAddress, detail: String)
    /// A certificate or key file cannot be used.
    case file(path: String, code: Int32)
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

    package var description: String { "cannot \(doing): \(reason)\n  try: \(remedy)" }

    private var doing: String {
        switch self {
        case .resolve(let host, _): "find the upstream \(host)"
        case .connect(let address, _), .noAnswer(let address, _), .closedBeforeAnswer(let address),
            .refused(let address, _), .tls(let address, _):
            "connect to the upstream \(address)"
        case .file(let path, _): "use the file \(path) for the upstream's TLS"
        case .broken, .disconnected, .keepAlive, .stalled, .protocol: "keep the link to the upstream"
        case .postponed: "deliver to the upstream"
        case .library(let doing, _): doing
        }
    }

    /// Why, in words.
    package var reason: String {
        switch self {
        case .resolve(_, let reason): reason
        case .connect(_, let code), .file(_, let code): errorText(code)
        case .noAnswer(_, let duration): "no answer within \(duration)"
        case .closedBeforeAnswer: "the broker closed the connection without an answer"
        case .refused(_, let refusal): "the broker refused: \(refusal)"
        case .tls(_, let detail): "TLS failed: \(detail)"
        case .broken(let code): code == 0 ? "the broker closed the connection" : errorText(code)
        case .disconnected(let code): "the broker disconnected us: \(ReasonText.of(code))"
        case .keepAlive(let duration): "no sign of life from the broker for \(duration)"
        case .stalled(let duration): "nothing was acknowledged for \(duration)"
        case .postponed(let code): "the broker cannot take messages now: \(ReasonText.of(code))"
        case .protocol(let detail): "the broker broke the MQTT protocol: \(detail)"
        case .library(_, let reason): reason
        }
    }

    /// What a person can do.
    package var remedy: String {
        switch self {
        case .resolve: "check the host in upstream.url and the gateway's DNS (resolvectl query)"
        case .connect: "check that the broker runs, listens on that port and is not behind a firewall"
        case .noAnswer: "check the route to the broker, and that the port speaks MQTT (mqtts:// where it wants TLS)"
        case .closedBeforeAnswer: "check the port (mqtt:// or mqtts://?) and the broker's log"
        case .refused(_, let refusal): refusal.remedy
        case .tls:
            "check upstream.ca_file, the client certificate, the host name in the broker's certificate and the clock"
        case .file: "check the path and that the service's user may read the file"
        case .broken: "nothing: it is connected again; if it happens often, look at the line and the broker's log"
        case .disconnected: "look at the broker's log; check that no other client uses the same gateway.id"
        case .keepAlive, .stalled: "nothing: it is connected again; if it happens often, look at the line"
        case .postponed: "nothing: it is tried again; if it stays, raise the quota of this account on the broker"
        case .protocol: "check that the port speaks MQTT; look at the broker's log"
        case .library: "report this with the gateway's log"
        }
    }
}
