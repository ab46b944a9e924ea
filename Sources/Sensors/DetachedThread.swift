import Glibc

/// A thread that nobody joins, with a name and a small stack.
enum DetachedThread {
    /// Runs `body` on a thread of its own; the thread ends with it.
    /// - Parameters:
    ///   - name: what `top -H` shows; at most 15 bytes are kept.
    ///   - stackBytes: of which only the touched part is resident.
    static func start(
        _ name: String, stackBytes: Int, _ body: @escaping @Sendable () -> Void
    ) throws(SensorError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackBytes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(name: name, body: body))
        let code = pthread_create(&thread, &attributes, { Work.run($0) }, work.toOpaque())
        guard code == 0 else {
            work.release()
            throw SensorError(doing: "start the thread \(name)", code: code)
        }
    }
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
        setName(work.name)
        work.body()
        return nil
    }

    /// pthread_setname_np(3) stands behind `_GNU_SOURCE`, so Swift does not see it; the file does the same
    /// (proc_pid_comm(5)). A thread without a name works as well: failures are ignored.
    private static func setName(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        var name = String(decoding: name.utf8.prefix(15), as: UTF8.self)
        name.withUTF8 { _ = write(file, $0.baseAddress, $0.count) }
        close(file)
    }
}
