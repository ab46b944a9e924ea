import Glibc

/// A pipe whose reading end is readable once somebody rang: what makes a thread or a task that waits for descriptors look
/// up. Closed when it goes.
final class WakePipe: Sendable {
    /// Readable while it rings; non-blocking, to be waited for.
    let descriptor: Int32
    private let writing: Int32

    /// - Parameter doing: what it is for, for the error.
    init(doing: String) throws(SensorError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SensorError(doing: doing, code: errno) }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        descriptor = ends[0]
        writing = ends[1]
    }

    deinit {
        close(descriptor)
        close(writing)
    }

    /// From any thread; does not block.
    func ring() {
        var byte: UInt8 = 0
        // A full pipe is as good as a bell that rings already.
        _ = write(writing, &byte, 1)
    }

    /// It rings no more, however often somebody rang.
    func quiet() {
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        while withUnsafeMutableBytes(of: &bytes, { read(descriptor, $0.baseAddress, $0.count) }) > 0 {}
    }
}
