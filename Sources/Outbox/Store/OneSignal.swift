internal import Synchronization

/// Lets one task wait until something is to be done, or some time has passed.
final class OneSignal: Sendable {
    private struct State {
        var isRaised = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// The wait ends, or the next one does not begin.
    func raise() {
        state.withLock { state in
            state.isRaised = true
            return state.waiter.take()
        }?.resume()
    }

    /// Returns once the signal was raised since the last wait, `limit` has passed, or the task is cancelled.
    func wait(atMost limit: Duration?) async {
        let timer = limit.map { limit in
            Task {
                guard (try? await Task.sleep(for: limit)) != nil else { return }
                raise()
            }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isRaised || Task.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            raise()
        }
        timer?.cancel()
        state.withLock { $0.isRaised = false }
    }
}
