internal import Synchronization

/// Something happened: raised from anywhere, awaited by one task. Several raises before the wait are one.
///
/// Unlike a stream it goes on working in a cancelled task, which still has to drain and clean up.
final class Signal: Sendable {
    private enum State: Sendable {
        case quiet
        case raised
        case awaited(CheckedContinuation<Void, Never>)
    }

    private let state = Mutex(State.quiet)

    func raise() {
        let waiter: CheckedContinuation<Void, Never>? = state.withLock {
            switch $0 {
            case .quiet, .raised:
                $0 = .raised
                return nil
            case .awaited(let waiter):
                $0 = .quiet
                return waiter
            }
        }
        waiter?.resume()
    }

    /// Returns at once when raised since the last wait, and where the caller is at home. One task at a time.
    func wait(isolation: isolated (any Actor)? = #isolation) async {
        await withCheckedContinuation { waiter in
            let isRaised = state.withLock {
                switch $0 {
                case .raised:
                    $0 = .quiet
                    return true
                case .quiet:
                    $0 = .awaited(waiter)
                    return false
                case .awaited: preconditionFailure("two tasks wait for one signal")
                }
            }
            if isRaised { waiter.resume() }
        }
    }
}
