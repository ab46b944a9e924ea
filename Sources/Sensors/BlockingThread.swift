import Glibc
import Linux
import Synchronization

/// A thread for calls that block, one at a time: a bus that waits for its slave's answer, a file of the kernel's that
/// takes a conversion's time to read. The cooperative pool has as many threads as the board has cores, and none to
/// spare.
package final class BlockingThread: Sendable {
    private let queue = Queue()

    /// - Parameter name: what `top -H` shows; at most 15 bytes are kept.
    package init(name: String) throws(SensorError) {
        // The thread holds the queue, not this object, whose end is what ends the thread.
        do throws(SystemCallError) {
            try PosixThread.startDetached(name, stackBytes: 128 << 10) { [queue] in queue.serve() }
        } catch {
            throw SensorError(error)
        }
    }

    /// The thread ends once its call has returned.
    deinit { queue.close() }

    /// Runs `body` on the thread, after what was handed over before. `nil` when the task is cancelled meanwhile: the call
    /// then goes on by itself, and its result is dropped.
    package func run<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result? {
        let answer = Answer<Result>()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard answer.wait(continuation) else { return }
                queue.put { answer.give(body()) }
            }
        } onCancel: {
            answer.give(nil)
        }
    }

    /// Runs `body` on the thread, after what was handed over before, without waiting for it.
    package func post(_ body: @escaping @Sendable () -> Void) { queue.put(body) }

    /// Whoever comes first, the call or the cancellation, resumes the task.
    private final class Answer<Result: Sendable>: Sendable {
        private enum State: Sendable {
            case fresh
            case waiting(CheckedContinuation<Result?, Never>)
            case given
        }

        private let state = Mutex(State.fresh)

        /// False when it is over already, and the continuation resumed.
        func wait(_ continuation: CheckedContinuation<Result?, Never>) -> Bool {
            let isOver = state.withLock { state in
                if case .given = state { return true }
                state = .waiting(continuation)
                return false
            }
            if isOver { continuation.resume(returning: nil) }
            return !isOver
        }

        func give(_ result: Result?) {
            let continuation = state.withLock { state -> CheckedContinuation<Result?, Never>? in
                defer { state = .given }
                return if case .waiting(let continuation) = state { continuation } else { nil }
            }
            continuation?.resume(returning: result)
        }
    }

    /// What the thread and its users share.
    private final class Queue: Sendable {
        private struct State {
            var jobs: [@Sendable () -> Void] = []
            var isClosed = false
        }

        private let state = Mutex(State())
        /// Counts what was put; any thread may use it (sem_overview(7)), and it never moves.
        private nonisolated(unsafe) let waiting = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

        init() { sem_init(waiting, 0, 0) }

        deinit {
            sem_destroy(waiting)
            waiting.deallocate()
        }

        func put(_ job: @escaping @Sendable () -> Void) {
            state.withLock { $0.jobs.append(job) }
            sem_post(waiting)
        }

        func close() {
            state.withLock { $0.isClosed = true }
            sem_post(waiting)
        }

        /// The thread's body: runs jobs until closed.
        func serve() {
            while true {
                while sem_wait(waiting) != 0 {}
                let (jobs, isClosed) = state.withLock { state in
                    defer { state.jobs = [] }
                    return (state.jobs, state.isClosed)
                }
                for job in jobs { job() }
                if isClosed { return }
            }
        }
    }
}
