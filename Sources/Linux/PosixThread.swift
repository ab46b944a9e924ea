internal import CLinux
internal import Glibc

/// A thread of the kernel's (pthreads(7)), for calls that block: the cooperative pool has as many threads as the board
/// has cores.
///
/// No signal that is sent to the process is handled on it. A value that names the thread; exactly one of ``join()`` and
/// ``detach()`` is called, once.
package struct PosixThread: Sendable {
    private let thread: pthread_t

    /// Starts a thread that runs `body` and ends with it.
    /// - Parameters:
    ///   - name: what `top -H` shows; at most 15 bytes are kept.
    ///   - stackBytes: at least 16 KiB; only the touched part is resident.
    /// - Throws: `EAGAIN` when the process may have no more threads.
    package static func start(
        _ name: String, stackBytes: Int, _ body: @escaping @Sendable () -> Void
    ) throws(SystemCallError) -> Self {
        try Self(name, stackBytes: stackBytes, isDetached: false, body)
    }

    /// The same for a thread that is never joined.
    package static func startDetached(
        _ name: String, stackBytes: Int, _ body: @escaping @Sendable () -> Void
    ) throws(SystemCallError) {
        _ = try Self(name, stackBytes: stackBytes, isDetached: true, body)
    }

    private init(
        _ name: String, stackBytes: Int, isDetached: Bool, _ body: @escaping @Sendable () -> Void
    ) throws(SystemCallError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackBytes)
        if isDetached { pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED)) }
        // A new thread has its creator's mask: it is set here, so that no signal finds the thread without it.
        var blocked = sigset_t()
        sigfillset(&blocked)
        // A fault in the thread itself must reach whatever reports crashes.
        for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] { sigdelset(&blocked, fault) }
        var before = sigset_t()
        pthread_sigmask(SIG_BLOCK, &blocked, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(name: name, body: body))
        let code = pthread_create(&thread, &attributes, { Work.run($0) }, work.toOpaque())
        guard code == 0 else {
            work.release()
            throw SystemCallError(
                doing: "start the thread \(name)", code: code,
                remedy: "raise the limit of threads (TasksMax= in the unit) or free memory")
        }
        self.thread = thread
    }

    /// Whether the caller runs on this thread.
    package var isCurrent: Bool { pthread_equal(pthread_self(), thread) != 0 }

    /// Waits for the thread's end. Not from the thread itself.
    package func join() { pthread_join(thread, nil) }

    /// Lets the thread end by itself.
    package func detach() { pthread_detach(thread) }
}

/// What the thread is handed.
private final class Work: Sendable {
    private let name: String
    private let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }

    /// The thread's entry.
    static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let argument else { return nil }
        let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
        clinux_name_thread(work.name)
        work.body()
        return nil
    }
}
