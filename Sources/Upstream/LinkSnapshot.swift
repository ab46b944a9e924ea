package import Readings

/// What the link to the upstream is doing, at one moment.
package struct LinkSnapshot: Sendable {
    package enum State: Hashable, Sendable {
        /// Not started.
        case idle
        /// Waiting to try again.
        case backoff(until: Instant)
        case connecting(deadline: Instant)
        case connected
        /// Waiting for the last acknowledgements.
        case stopping
        case stopped
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
    /// When it entered the state.
    package var since: Instant
    /// When the broker last proved that it is there; `nil` before the first time. Kept across connections.
    package var lastConfirmation: Instant?
    /// The address tried or connected to.
    package var address: UpstreamAddress?
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
    /// Connections made after the first.
    package var reconnects: UInt64 = 0
    /// Messages that came from upstream and were handed on.
    package var received: UInt64 = 0
    /// Messages that came from upstream and were not: larger than allowed, or on no filter of ours.
    package var discarded: UInt64 = 0
    /// Why the link last went or stayed down; kept when it is up again.
    package var lastFault: LinkFault?
    package var lastFaultAt: Instant?
    package var refusedSubscriptions: [SubscriptionRefusal] = []

    package init(since: Instant) { self.since = since }
}
