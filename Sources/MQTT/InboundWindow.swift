import NIOCore

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

    private var pending = CircularBuffer<Pending>(initialCapacity: 1)
    private var firstPublication: UInt64 = 0

    package init() {}

    /// Publishes that wait for their acknowledgement.
    package var count: Int { pending.count }

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
        pending[pending.index(pending.startIndex, offsetBy: Int(publication - firstPublication))].reason = reason
        while let first = pending.first, let reason = first.reason {
            acknowledgements.append(Acknowledgement(packetIdentifier: first.packetIdentifier, reason: reason))
            pending.removeFirst()
            firstPublication += 1
        }
        // A burst's memory is not kept for as long as the connection lives.
        if pending.isEmpty, pending.capacity > 128 { pending = CircularBuffer(initialCapacity: 1) }
    }
}
