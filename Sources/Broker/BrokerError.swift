/// Why the listener does not listen.
package struct BrokerError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        case addressInUse
        case permission
        case addressNotAvailable
        /// Certificates or keys are not usable.
        case certificate
        case other
    }

    package let kind: Kind
    package let doing: String
    package let reason: String
    package let remedy: String?

    package init(_ kind: Kind, doing: String, reason: String, remedy: String? = nil) {
        self.kind = kind
        self.doing = doing
        self.reason = reason
        self.remedy = remedy
    }

    package var description: String { "cannot \(doing): \(reason)" + (remedy.map { "\n  try: \($0)" } ?? "") }
}
