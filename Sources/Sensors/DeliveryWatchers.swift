import Readings
import Synchronization

/// Tasks that wait for a sensor's next delivery.
final class DeliveryWatchers: Sendable {
    private struct Watcher: Sendable {
        var id: DeviceID
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State: Sendable {
        var nextNumber: UInt64 = 0
        var watchers: [UInt64: Watcher] = [:]
    }

    private let state = Mutex(State())

    /// Returns at the next delivery of that sensor, or when the task is cancelled.
    func next(of id: DeviceID) async {
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if Task.isCancelled { return true }
                    state.watchers[number] = Watcher(id: id, continuation: continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.watchers.removeValue(forKey: number) }?.continuation.resume()
        }
    }

    /// Cheap while no task waits.
    func wake(_ isMeant: (DeviceID) -> Bool) {
        let woken = state.withLock { state -> [Watcher] in
            guard !state.watchers.isEmpty else { return [] }
            let woken = state.watchers.filter { isMeant($0.value.id) }
            for number in woken.keys { state.watchers[number] = nil }
            return Array(woken.values)
        }
        for watcher in woken { watcher.continuation.resume() }
    }
}
