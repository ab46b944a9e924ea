internal import CMosquitto
internal import Glibc

/// A thread of the link's that nobody joins.
enum LinkThread {
    /// - Parameter name: what `top -H` shows; at most 15 bytes are kept.
    /// - Throws: when the process may have no more threads.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(LinkFault) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, 512 << 10)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(name: name, body: body))
        let code = pthread_create(&thread, &attributes, { Work.run($0) }, work.toOpaque())
        guard code == 0 else {
            work.release()
            throw .library(doing: "start a thread for the upstream", reason: errorText(code))
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

        static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
            guard let argument else { return nil }
            // None of the process' signals is for this thread to take.
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
            cmosquitto_name_thread(work.name)
            work.body()
            return nil
        }
    }
}
