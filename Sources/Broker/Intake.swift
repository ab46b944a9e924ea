package import Readings

/// Whether the intake has room for more.
package enum IntakeVerdict: Hashable, Sendable {
    case accepted
    /// The batch was taken, but the broker is to stop reading from the clients that publish until `resume`.
    case congested
}

/// Where the publishes of LAN devices go on their way upstream. The broker has delivered them to LAN subscribers by
/// then.
package protocol Intake: Sendable {
    /// Whether messages of this topic go anywhere but to LAN subscribers. Those that do not are safe once those are
    /// served, and are not handed over; called on the event loop for every publish, and must not block.
    func wants(_ topic: String) -> Bool

    /// Takes a batch, one per read of a connection; called on the event loop, and must not block. Arrivals without a
    /// settle token may be dropped; those with one are settled later through ``BrokerServer/settle(_:)``.
    func accept(_ batch: [Arrival]) -> IntakeVerdict
}

extension Intake {
    package func wants(_ topic: String) -> Bool { true }
}
