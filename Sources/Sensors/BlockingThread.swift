import Glibc
import Synchronization

/// A thread for calls that block, one at a time: a bus that waits for its slave's answer, a file of the kernel's that
/// takes a conversion's time to read. The cooperative pool has as many threads as the board has cores, and none to
/// spare.
package final class BlockingThread: Sendable {
    private let queue: Queue

    /// - Parameter name: what `top -H` shows; at most 15 bytes are kept.
    package init(name: String) throws(SensorError) {
        queue = Queue(name: name)
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, 128 << 10)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        // The thread holds the queue, not this object, whose end is what ends the thread.
        let box = Unmanaged.passRetained(queue)
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Queue>.fromOpaque(argument).takeRetainedValue().serve()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw SensorError(doing: "start the thread \(name)", code: code)
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
    ///
    /// Unchecked: `jobs` and `isClosed` are only touched with `mutex` held (pthread_mutex_lock(3)); the two pthread objects
    /// are allocated once and never move.
    private final class Queue: @unchecked Sendable {
        private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
        private var jobs: [@Sendable () -> Void] = []
        private var isClosed = false
        private let name: String

        init(name: String) {
            self.name = name
            pthread_mutex_init(mutex, nil)
            pthread_cond_init(condition, nil)
        }

        deinit {
            pthread_cond_destroy(condition)
            pthread_mutex_destroy(mutex)
            condition.deallocate()
            mutex.deallocate()
        }

        func put(_ job: @escaping @Sendable () -> Void) {
            pthread_mutex_lock(mutex)
            jobs.append(job)
            pthread_cond_signal(condition)
            pthread_mutex_unlock(mutex)
        }

        func close() {
            pthread_mutex_lock(mutex)
            isClosed = true
            pthread_cond_signal(condition)
            pthread_mutex_unlock(mutex)
        }

        func serve() {
            ThreadName.set(name)
            while true {
                pthread_mutex_lock(mutex)
                while jobs.isEmpty && !isClosed { pthread_cond_wait(condition, mutex) }
                let batch = jobs
                jobs = []
                pthread_mutex_unlock(mutex)
                if batch.isEmpty { return }
                for job in batch { job() }
            }
        }
    }
}
