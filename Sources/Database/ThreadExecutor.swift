internal import Glibc
internal import Linux
internal import Synchronization

/// Why a thread could not be started.
package struct ThreadStartError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried, why it failed, what to do.
    package let description: String
}

/// A serial executor with a thread of its own, for an actor whose work blocks: SQLite's reads and syncs would
/// otherwise hold a thread of the cooperative pool, of which a small board has as many as it has cores.
///
/// A task that works with such an actor all the time can be at home on its thread
/// (`withTaskExecutorPreference`): then neither its calls nor what wakes it up costs a change of threads.
///
/// Jobs run one at a time in the order in which they were enqueued. The thread ends, and is joined, when the executor
/// goes; since an actor keeps its executor and a waiting job keeps its actor, nothing is ever left in the queue then.
package final class ThreadExecutor: SerialExecutor, TaskExecutor {
    private let mailbox: Mailbox
    private let thread: PosixThread

    /// - Parameters:
    ///   - name: what `top -H` shows; at most 15 bytes are kept.
    ///   - stackBytes: the thread's stack, of which only the touched part is resident.
    package init(name: String, stackBytes: Int = 512 << 10) throws(ThreadStartError) {
        let mailbox = Mailbox()
        self.mailbox = mailbox
        // The thread holds the mailbox, not the executor: it must not be what keeps the executor alive.
        do throws(SystemCallError) {
            thread = try PosixThread.start(name, stackBytes: stackBytes) { mailbox.serve() }
        } catch {
            throw ThreadStartError(description: error.description)
        }
    }

    deinit {
        mailbox.close()
        // The last reference may have gone with a job, on the thread itself, which cannot join itself.
        if thread.isCurrent { thread.detach() } else { thread.join() }
    }

    /// Runs `body` here and now, on the calling thread, in the place of a job, when no job is running: a change of
    /// threads is spared. It must not block. Jobs wait for it meanwhile, and jobs that are queued come after it.
    /// - Returns: `nil` when a job is running, or another thread is at this; `body` was not called then.
    package func runIfIdle<R>(_ body: () throws -> R) rethrows -> R? {
        guard mailbox.tryEnter() else { return nil }
        defer { mailbox.leave() }
        return try body()
    }

    /// Whether the calling thread is running a job, or at ``runIfIdle(_:)``.
    package func isIsolatingCurrentContext() -> Bool? { mailbox.isInside }

    package func checkIsolated() { precondition(mailbox.isInside, "not on the thread of this executor") }

    package func enqueue(_ job: consuming ExecutorJob) {
        // Once the job is in, it may run to its end and let the last reference to this executor go, all before `put`
        // returns: the mailbox is kept until then.
        let mailbox = Unmanaged.passRetained(mailbox)
        mailbox.takeUnretainedValue().put(
            Mailbox.Job(job: UnownedJob(job), actor: asUnownedSerialExecutor(), task: asUnownedTaskExecutor()))
        mailbox.release()
    }
}

/// What the executor and its thread share.
///
/// Unchecked: every access to `jobs` and `isClosed` is made with `mutex` held (pthread_mutex_lock(3)); the three
/// pthread objects are allocated once and never move.
private final class Mailbox: @unchecked Sendable {
    struct Job {
        let job: UnownedJob
        let actor: UnownedSerialExecutor
        let task: UnownedTaskExecutor
    }

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Held by whoever runs a job.
    private let turn = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    /// The thread that holds `turn`; 0 for none.
    private let inside = Atomic<UInt>(0)
    private var jobs: [Job] = []
    private var isClosed = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        pthread_mutex_init(turn, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        pthread_mutex_destroy(turn)
        turn.deallocate()
        condition.deallocate()
        mutex.deallocate()
    }

    var isInside: Bool { inside.load(ordering: .relaxed) == pthread_self() }

    func tryEnter() -> Bool {
        guard pthread_mutex_trylock(turn) == 0 else { return false }
        inside.store(pthread_self(), ordering: .relaxed)
        return true
    }

    private func enter() {
        pthread_mutex_lock(turn)
        inside.store(pthread_self(), ordering: .relaxed)
    }

    func leave() {
        inside.store(0, ordering: .relaxed)
        pthread_mutex_unlock(turn)
    }

    func put(_ job: Job) {
        pthread_mutex_lock(mutex)
        let mustWake = jobs.isEmpty
        jobs.append(job)
        pthread_mutex_unlock(mutex)
        // After unlocking: the woken thread would only run into the lock. The thread sleeps on an empty queue only.
        if mustWake { pthread_cond_signal(condition) }
    }

    func close() {
        pthread_mutex_lock(mutex)
        isClosed = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// The thread's body: runs jobs until closed.
    func serve() {
        var batch: [Job] = []
        while true {
            pthread_mutex_lock(mutex)
            while jobs.isEmpty && !isClosed { pthread_cond_wait(condition, mutex) }
            swap(&batch, &jobs)
            pthread_mutex_unlock(mutex)
            if batch.isEmpty { return }
            for job in batch {
                enter()
                job.job.runSynchronously(isolatedTo: job.actor, taskExecutor: job.task)
                leave()
            }
            batch.removeAll(keepingCapacity: true)
        }
    }
}
