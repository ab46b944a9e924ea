internal import Synchronization

/// Confirms that the gateway has taken over messages from upstream: LAN subscribers have them in their queues, what has
/// to outlast a crash is on disk, and outputs have their commands.
///
/// The link holds the broker's acknowledgement back until then. A crash before it makes the broker deliver them again.
package final class ArrivalReceipt: Sendable {
    private let state = Atomic(false)
    private let confirmed: @Sendable () -> Void

    /// - Parameter confirmed: called once, on the thread that confirms. Must not block.
    package init(confirmed: @escaping @Sendable () -> Void) { self.confirmed = confirmed }

    /// Cheap, from any thread. Further calls do nothing.
    package func confirm() {
        if !state.exchange(true, ordering: .acquiringAndReleasing) { confirmed() }
    }

    var isConfirmed: Bool { state.load(ordering: .acquiring) }
}
