internal import Glibc
internal import Outbox
internal import Readings

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

/// What to do about a PUBACK that says no, or a connection that ends instead of one. Pure: time is a parameter.
struct PoisonMessagePolicy: Sendable {
    enum Verdict: Hashable, Sendable {
        /// Never: the message has to go.
        case refused
        /// Not now: deliver it again later.
        case postponed
    }

    /// How often a broker may fail a message for a reason that it does not name before the message has to go.
    static let patience = 5

    /// A connection that ends sooner after a message may have ended over it.
    private static let soon = Duration.seconds(2)
    /// So many messages are suspected at once; of each stream's one is usually the first on its way.
    private static let suspectLimit = 16

    /// How often the connection was closed over one message.
    private struct Closings: Sendable {
        var count = 0
        var first: Instant
        /// Something else has been acknowledged since.
        var isBrokerWell = false
    }

    private let closePatience: UpstreamConfiguration.ClosePatience
    private var suspect: MessageID?
    private var failures = 0
    private var closings: [MessageID: Closings] = [:]

    init(closePatience: UpstreamConfiguration.ClosePatience = .init()) { self.closePatience = closePatience }

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
    ///
    /// A connection that is merely closed, as 3.1.1 has it, right after the message was sent, needs much more of that:
    /// often, for long, and each time with something else acknowledged before, so that it is not the broker that is ill.
    /// - Parameter sent: when the message was sent.
    mutating func judge(_ id: MessageID, _ fault: LinkFault, sent: Instant, now: Instant) -> Verdict {
        let isSoon = now - sent <= Self.soon
        return switch fault {
        case .protocol: countFailure(of: id)
        // "Not authorized", and what brokers say that have no better word.
        case .disconnected(reason: 0x87), .disconnected(reason: 0x80), .disconnected(reason: 0x83):
            isSoon ? countFailure(of: id) : .postponed
        case .disconnected(reason: 0x81), .disconnected(reason: 0x82), .disconnected(reason: 0x90),
            .disconnected(reason: 0x95), .disconnected(reason: 0x99), .disconnected(reason: 0x9A):
            countFailure(of: id)
        case .broken(let code) where isSoon && Self.isClosedByPeer(code): countClosing(over: id, now: now)
        default: .postponed
        }
    }

    /// Something was acknowledged: a message, or the canary.
    mutating func acknowledged(_ id: MessageID? = nil) {
        guard !closings.isEmpty else { return }
        if let id { closings[id] = nil }
        for suspect in closings.keys { closings[suspect]?.isBrokerWell = true }
    }

    /// Whether something else should be acknowledged before this message is sent again: else what happens then would not
    /// count.
    func needsProof(_ id: MessageID) -> Bool { closings[id].map { !$0.isBrokerWell } ?? false }

    /// Closed, or reset; TLS that ends without a word is told as a protocol error.
    private static func isClosedByPeer(_ code: Int32) -> Bool { [0, ECONNRESET, EPIPE, EPROTO].contains(code) }

    private mutating func countClosing(over id: MessageID, now: Instant) -> Verdict {
        guard !needsProof(id) else { return .postponed }
        if closings[id] == nil, closings.count >= Self.suspectLimit,
            let oldest = closings.min(by: { $0.value.first < $1.value.first })
        {
            closings[oldest.key] = nil
        }
        var closing = closings[id] ?? Closings(first: now)
        closing.count += 1
        closing.isBrokerWell = false
        let isOver = closing.count >= closePatience.count && now - closing.first >= closePatience.time
        closings[id] = isOver ? nil : closing
        return isOver ? .refused : .postponed
    }

    private mutating func countFailure(of id: MessageID) -> Verdict {
        failures = suspect == id ? failures + 1 : 1
        suspect = id
        return failures < Self.patience ? .postponed : .refused
    }
}
