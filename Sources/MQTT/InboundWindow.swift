import DequeModule

/// The QoS 1 and 2 publishes of one connection whose PUBACK or PUBREC is still owed, in the order they came.
///
/// Each is settled when its message is safe, in any order; the acknowledgements leave in the order of the PUBLISHes
/// [MQTT-4.6.0-2] [MQTT-4.6.0-3].
package struct InboundWindow: Sendable {
    /// An acknowledgement whose turn it is.
    package struct Settled: Hashable, Sendable {
        package var acknowledgement: Acknowledgement
        /// PUBREC for `.exactlyOnce`, else PUBACK.
        package var qos: QoS
    }

    private struct Pending: Sendable {
        var packetIdentifier: UInt16
        var qos: QoS
        /// What still has to say that the message is safe.
        var outstanding: UInt8 = 1
        var reason = ReasonCode.success
    }

    private var pending = Deque<Pending>()
    private var wasLong = false
    private var firstPublication: UInt64 = 0

    package init() {}

    /// Publishes that wait for their acknowledgement.
    package var count: Int { pending.count }

    /// Whether a PUBACK is owed under that packet identifier. Cost: a look at everything that is owed.
    package func owesPuback(_ packetIdentifier: UInt16) -> Bool {
        pending.contains { $0.packetIdentifier == packetIdentifier && $0.qos == .atLeastOnce }
    }

    /// Takes one in; returns the number to settle it with.
    package mutating func append(_ packetIdentifier: UInt16, qos: QoS = .atLeastOnce) -> UInt64 {
        pending.append(Pending(packetIdentifier: packetIdentifier, qos: qos))
        if pending.count > 128 { wasLong = true }
        return firstPublication + UInt64(count) - 1
    }

    /// One more settlement is needed before the acknowledgement may leave.
    package mutating func require(_ publication: UInt64) {
        guard let index = index(of: publication) else { return }
        pending[index].outstanding += 1
    }

    /// Marks one as settled and appends the acknowledgement of every publish whose turn it now is. A number that is
    /// not pending is ignored. The first error among several settlements is the one told.
    package mutating func settle(
        _ publication: UInt64, reason: ReasonCode = .success, into acknowledgements: inout [Settled]
    ) {
        guard let index = index(of: publication), pending[index].outstanding > 0 else { return }
        pending[index].outstanding -= 1
        if !pending[index].reason.isError { pending[index].reason = reason }
        while let first = pending.first, first.outstanding == 0 {
            acknowledgements.append(
                Settled(
                    acknowledgement: Acknowledgement(packetIdentifier: first.packetIdentifier, reason: first.reason),
                    qos: first.qos))
            pending.removeFirst()
            firstPublication += 1
        }
        // A burst's memory is not kept for as long as the connection lives.
        if pending.isEmpty, wasLong {
            pending = Deque()
            wasLong = false
        }
    }

    private func index(of publication: UInt64) -> Int? {
        guard publication >= firstPublication, publication - firstPublication < UInt64(count) else { return nil }
        return Int(publication - firstPublication)
    }
}
