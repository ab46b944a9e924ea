/// The one error a person sees: what was tried, why it failed, what to do. Rooms throw narrow typed errors; the
/// gateway turns them into this.
package struct GatewayError: Error, CustomStringConvertible {
    /// Exit codes by sysexits(3), so that the unit file can tell a bad setting from a bad moment.
    package enum Kind: Int32, Hashable, Sendable {
        case usage = 64
        case unavailable = 69
        case internalFault = 70
        case io = 74
        case permission = 77
        case configuration = 78
    }

    package let kind: Kind
    /// "listen on 127.0.0.1:1883"
    package let doing: String
    /// "the port is in use (EADDRINUSE)"
    package let reason: String
    /// "stop the other broker, or choose another port in [lan] listen"
    package var remedy: String?

    package init(_ kind: Kind, doing: String, reason: String, remedy: String? = nil) {
        self.kind = kind
        self.doing = doing
        self.reason = reason
        self.remedy = remedy
    }

    package var description: String {
        "cannot \(doing): \(reason)" + (remedy.map { "\n  try: \($0)" } ?? "")
    }
}
