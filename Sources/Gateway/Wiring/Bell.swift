import Synchronization

/// Ties a knot in the wiring: the outbox must be able to wake the link, which is made after it, from the outbox.
/// Ringing before anything is attached does nothing: whoever attaches looks for work first.
final class Bell: Sendable {
    private let action = Mutex<(@Sendable () -> Void)?>(nil)

    func attach(_ action: @escaping @Sendable () -> Void) {
        self.action.withLock { $0 = action }
    }

    func ring() {
        action.withLock { $0 }?()
    }
}
