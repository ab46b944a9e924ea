import Synchronization

/// Something that happens once, and that any number of tasks wait for.
final class Occasion: Sendable {
    private struct State {
        var hasCome = false
        var nextNumber: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// It has come; those who wait go on.
    func come() {
        let waiters = state.withLock { state in
            state.hasCome = true
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Returns once it has come, or the task is cancelled.
    func wait() async {
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.hasCome || Task.isCancelled { return true }
                    state.waiters[number] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
    }

    /// Runs `body`, which is cancelled when the occasion comes.
    func cancel(_ body: @escaping @Sendable () async -> Void) async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await body() }
            tasks.addTask { await self.wait() }
            await tasks.next()
            tasks.cancelAll()
        }
    }
}

/// The gateway's parts as they run beside each other and stop one after the other.
///
/// Its own, and not swift-service-lifecycle's group: that brings swift-async-algorithms, a megabyte of which stays in the
/// binary, for what is one screen.
enum Lifecycle {
    /// Runs until it is told to stop. Returns once it has.
    typealias Part = @Sendable (_ stop: Occasion) async -> Void

    /// Runs all parts until `stop` returns; then stops them in reverse order, each once the one before it has ended.
    static func run(_ parts: [Part], until stop: @escaping @Sendable () async -> Void) async {
        let running = parts.map { (part: $0, stop: Occasion(), end: Occasion()) }
        await withTaskGroup(of: Void.self) { tasks in
            for entry in running {
                tasks.addTask {
                    await entry.part(entry.stop)
                    entry.end.come()
                }
            }
            await stop()
            for entry in running.reversed() {
                entry.stop.come()
                await entry.end.wait()
            }
        }
    }
}
