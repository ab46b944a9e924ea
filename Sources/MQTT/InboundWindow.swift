/// The QoS 1 publishes of one connection that have not been acknowledged yet, in the order they came.
///
/// Each is settled when its message is safe, in any order; the PUBACKs leave in the order of the PUBLISHes
/// [MQTT-4.6.0-2].
package struct InboundWindow: Sendable {
    private struct Pending: Sendable {
        var packetIdentifier: UInt16
        /// `nil` until settled.
        var reason: ReasonCode?
    }

    private var pending: [Pending] = []
    /// Entries of `pending` before this one are gone; kept so that the front leaves without moving the rest.
    private var head = 0
    private var firstPublication: UInt64 = 0

    package init() {}

    /// Publishes that wait for their acknowledgement.
    package var count: Int { pending.count - head }

    /// Takes one in; returns the number to settle it with.
    package mutating func append(_ packetIdentifier: UInt16) -> UInt64 {
        pending.append(Pending(packetIdentifier: packetIdentifier))
        return firstPublication + UInt64(count) - 1
    }

    /// Marks one as settled and appends the acknowledgement of every publish whose turn it now is. A number that is
    /// not pending is ignored.
    package mutating func settle(
        _ publication: UInt64, reason: ReasonCode = .success, into acknowledgements: inout [Acknowledgement]
    ) {
        guard publication >= firstPublication, publication - firstPublication < UInt64(count) else { return }
        pending[head + Int(publication - firstPublication)].reason = reason
        while head < pending.count, let reason = pending[head].reason {
            acknowledgements.append(
                Acknowledgement(packetIdentifier: pending[head].packetIdentifier, reason: reason))
            head += 1
            firstPublication += 1
        }
        if head == pending.count {
            pending.removeAll(keepingCapacity: pending.capacity <= 128)
            head = 0
        } else if head >= 512, head * 2 > pending.count {
            pending.removeFirst(head)
            head = 0
        }
    }
}
