package import Readings

/// What the link to the upstream is doing, at one moment.
package struct LinkSnapshot: Sendable {
    package enum State: Hashable, Sendable {
        /// Not started.
        case idle
        /// Waiting to try again.
        case down(until: Instant)
        /// Looking up the broker's name.
        case resolving(deadline: Instant)
        case connecting(deadline: Instant)
        /// The broker has let us in, and acknowledged nothing yet.
        case authenticated
        /// The broker acknowledges what it gets: ``LinkSnapshot/lastConfirmation`` says when it last did.
        case confirmed
        /// Something is on its way, and the broker has been silent for too long.
        case suspect
        /// Waiting for the last acknowledgements.
        case stopping
        case stopped

        /// The broker has let us in, and the link is not about to end.
        package var isUp: Bool {
            switch self {
            case .authenticated, .confirmed, .suspect: true
            case .idle, .down, .resolving, .connecting, .stopping, .stopped: false
            }
        }
    }

    /// A filter that the broker did not accept, with the SUBACK's reason code.
    package struct SubscriptionRefusal: Hashable, Sendable, CustomStringConvertible {
        package var filter: String
        package var reason: UInt8

        package var description: String {
            "cannot subscribe to \(filter): \(ReasonText.of(reason))\n"
                + "  try: allow the gateway's account to subscribe to it on the broker"
        }
    }

    package var state = State.idle
    /// Since when it is in the state; of an up link, since when it is up.
    package var since: Instant
    /// When the broker last proved that it is there; `nil` before the first time. Kept across connections.
    package var lastConfirmation: Instant?
    /// The URL tried or connected to.
    package var address: UpstreamAddress?
    /// Of its host, the address that was last connected to.
    package var peer: String?
    /// The MQTT version tried or spoken.
    package var version: WireVersion?
    /// Messages on their way.
    package var inFlight = 0
    /// Messages handed to the network, repetitions included.
    package var published: UInt64 = 0
    /// Messages that the broker acknowledged.
    package var acknowledged: UInt64 = 0
    /// Messages that can never be delivered and left the outbox.
    package var refused: UInt64 = 0
    package var lastRefusal: PublicationRefusal?
    /// How often the broker has let us in.
    package var connections: UInt64 = 0
    /// Connections made after the first.
    package var reconnects: UInt64 { connections == 0 ? 0 : connections - 1 }
    /// Messages that came from upstream and were handed on.
    package var received: UInt64 = 0
    /// Messages that came from upstream and were not: larger than allowed, or on no filter of ours.
    package var discarded: UInt64 = 0
    /// Messages from upstream that had been at this gateway before, and went no further.
    package var looped: UInt64 = 0
    /// Why the link last went or stayed down; kept when it is up again.
    package var lastFault: LinkFault?
    package var lastFaultAt: Instant?
    package var refusedSubscriptions: [SubscriptionRefusal] = []
    /// When the certificates of the present or last connection end, Unix seconds: ours, and the broker's.
    package var certificateExpiry: Int64?
    package var brokerCertificateExpiry: Int64?
    /// Why the certificates in the files are not the ones in use; `nil` when they are.
    package var certificateProblem: LinkFault?

    package init(since: Instant) { self.since = since }

    /// Of a link that takes another's place: what was counted goes on, and the last fault stays known.
    init(continuing previous: LinkSnapshot?, since: Instant) {
        self = previous ?? LinkSnapshot(since: since)
        (state, self.since, inFlight) = (.idle, since, 0)
        (address, peer, version) = (nil, nil, nil)
        (refusedSubscriptions, certificateExpiry, brokerCertificateExpiry) = ([], nil, nil)
        certificateProblem = nil
    }
}
