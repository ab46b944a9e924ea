import Glibc

/// The calling thread's name, as `top -H` shows it.
enum ThreadName {
    /// pthread_setname_np(3) stands behind `_GNU_SOURCE`, so Swift does not see it; the file does the same
    /// (proc_pid_comm(5)). A thread without a name works as well: failures are ignored.
    static func set(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        var name = String(decoding: name.utf8.prefix(15), as: UTF8.self)
        name.withUTF8 { _ = write(file, $0.baseAddress, $0.count) }
        close(file)
    }
}
