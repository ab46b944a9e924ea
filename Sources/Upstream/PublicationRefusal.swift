internal import Outbox

/// A message that the upstream will never take. The outbox sets it aside: in the queue it would block its stream for
/// good.
package struct PublicationRefusal: Hashable, Sendable, CustomStringConvertible {
    package enum Cause: Hashable, Sendable, CustomStringConvertible {
        /// Larger than the broker's maximum packet size.
        case tooLarge(bytes: Int, maximum: Int)
        /// Not a topic that can be published to.
        case badTopic
        /// libmosquitto does not accept it; the MOSQ_ERR_ value in words.
        case library(String)
        /// The PUBACK's reason code.
        case broker(reason: UInt8)
        /// Alone on its way it ended the connection again and again, and not for the line's sake.
        case fault(String)

        package var description: String {
            switch self {
            case .tooLarge(let bytes, let maximum): "\(bytes) bytes, and the broker takes at most \(maximum)"
            case .badTopic: "its topic is not valid"
            case .library(let reason): reason
            case .broker(let reason): "the broker refused it: \(ReasonText.of(reason))"
            case .fault(let reason): "every attempt ended the connection: \(reason)"
            }
        }
    }

    package var topic: String
    package var stream: String
    package var sequence: Int64
    package var cause: Cause

    package var description: String {
        "cannot deliver message \(sequence) of \(stream) to \(topic): \(cause)\n  try: \(remedy)"
    }

    private var remedy: String {
        switch cause {
        case .tooLarge: "raise the broker's maximum packet size, or make the device publish less at once"
        case .badTopic, .library: "check the topic that the forward rule makes"
        case .broker(0x87): "allow the gateway's account to publish this topic on the broker"
        case .broker, .fault: "look at the broker's log"
        }
    }
}

/// What to do about a PUBACK that says no.
struct PublicationVerdict: Sendable {
    enum Verdict: Hashable, Sendable {
        /// Never: the message has to go.
        case refused
        /// Not now: deliver it again later.
        case postponed
    }

    /// How often a broker may fail a message for a reason that it does not name before the message has to go.
    static let patience = 5

    private var suspect: MessageID?
    private var failures = 0

    /// MQTT 5.0 §3.4.2.1.
    /// - Parameter reason: 0x80 or above.
    mutating func judge(_ id: MessageID, reason: UInt8) -> Verdict {
        switch reason {
        // Quota exceeded, and codes of other packets by which brokers mean the same.
        case 0x88, 0x89, 0x8B, 0x93, 0x96, 0x97: return .postponed
        // Unspecified and implementation specific: the broker's trouble or the message's, who knows.
        case 0x80, 0x83: return countFailure(of: id)
        default: return .refused
        }
    }

    /// The connection ended while this message alone was on its way. A broken line never counts against the message;
    /// a broken protocol does (libmosquitto 2.0.21 takes a PUBACK with a reason that the standard does not list for
    /// one), and so does a DISCONNECT whose reason speaks of a packet.
    mutating func judge(_ id: MessageID, _ fault: LinkFault) -> Verdict {
        switch fault {
        case .protocol: countFailure(of: id)
        case .disconnected(reason: 0x81), .disconnected(reason: 0x82), .disconnected(reason: 0x90),
            .disconnected(reason: 0x95), .disconnected(reason: 0x99), .disconnected(reason: 0x9A):
            countFailure(of: id)
        default: .postponed
        }
    }

    private mutating func countFailure(of id: MessageID) -> Verdict {
        failures = suspect == id ? failures + 1 : 1
        suspect = id
        return failures < Self.patience ? .postponed : .refused
    }
}
