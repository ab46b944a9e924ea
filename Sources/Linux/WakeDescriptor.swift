internal import CLinux
internal import Glibc

/// A descriptor that becomes readable when any thread wants it to (eventfd(2)): what makes a thread that waits in poll(2)
/// look up. Closed when the object goes.
package final class WakeDescriptor: Sendable {
    /// Readable from ``wake()`` to ``clear()``; non-blocking, for poll(2) only.
    package let descriptor: Int32

    /// - Parameter purpose: continues "cannot", for the error: "wait for sensors".
    /// - Throws: `EMFILE` and the like.
    package init(_ purpose: String) throws(SystemCallError) {
        descriptor = clinux_eventfd()
        guard descriptor >= 0 else { throw SystemCallError(doing: purpose, code: errno) }
    }

    deinit { close(descriptor) }

    /// From any thread; does not block. Cost: one system call.
    package func wake() {
        var one: UInt64 = 1
        // It fails only when the count is full, and then the descriptor is readable already.
        _ = write(descriptor, &one, 8)
    }

    /// Makes it unreadable, however often ``wake()`` was called. Cost: one system call.
    package func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}
