internal import Synchronization

/// Gives the turns of the link's loop, one at a time: to its thread, and while that waits, to who brings a message.
///
/// A message that comes to an idle link is on the wire then without any change of threads, which on a small board
/// takes longer than all the rest.
final class LinkLoopLock: Sendable {
    private let loop: Mutex<LinkLoop>

    init(_ loop: sending LinkLoop) { self.loop = Mutex(loop) }

    /// The body of the link's thread: runs until the link is stopped.
    func run() {
        loop.withLock { $0.start() }
        while var wait = loop.withLock({ $0.turn() }) {
            wait.poll()
            loop.withLock { [wait] in $0.resume(wait) }
        }
    }

    /// Publishes what is ordered, here and now, if the link's thread waits. Does not block.
    /// - Returns: whether it is done; otherwise the thread is to be rung.
    func sendAtOnce() -> Bool { loop.withLockIfAvailable { $0.sendAtOnce() } ?? false }
}
