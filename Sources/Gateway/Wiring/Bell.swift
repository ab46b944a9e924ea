import Synchronization

/// Ties a knot in the wiring: the outbox must be able to wake the link, which is made after it, from the outbox.
/// Ringing before anything is attached does nothing: whoever attaches looks for work first.
package final class Bell: Sendable {
    /// The closure stands in a struct of its own. Stored as the mutex's value itself, each look at it would wrap it in
    /// one more conversion thunk and store that back, and the chain would overflow the stack after some ten thousand
    /// rings (Swift 6.3.1).
    private struct Action: Sendable {
        let body: @Sendable () -> Void
    }

    private let action = Mutex<Action?>(nil)

    package init() {}

    package func attach(_ body: @escaping @Sendable () -> Void) {
        action.withLock { $0 = Action(body: body) }
    }

    /// Cheap, from any thread.
    package func ring() {
        action.withLock { $0 }?.body()
    }
}
