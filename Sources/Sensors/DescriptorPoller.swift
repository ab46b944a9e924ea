import Glibc
import Readings
import Synchronization

/// Waits for file descriptors on a thread of its own, with poll(2) since they are few, so that drivers are plain
/// asynchronous functions and never block the cooperative pool.
///
/// A descriptor has one waiter at a time, and must stay open while it has. Once the wait has returned, whatever its
/// outcome, the thread holds the file no longer: closing it gives the port or the line back at once.
package final class DescriptorPoller: Sendable {
    package enum Outcome: Hashable, Sendable {
        /// Readable, or hung up: reading tells.
        case ready
        case timedOut
        case cancelled
    }

    private struct Waiter: Sendable {
        var number: UInt64
        /// Monotonic nanoseconds.
        var deadline: Int64?
        var isCancelled = false
        var continuation: CheckedContinuation<Outcome, Never>
    }

    private struct State: Sendable {
        var waiters: [Int32: Waiter] = [:]
        var nextNumber: UInt64 = 1
        var isStopped = false
    }

    private let state = Mutex(State())
    /// A pipe that interrupts the wait.
    private let bell: (read: Int32, write: Int32)

    package init() throws(SensorError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SensorError(doing: "wait for sensors", code: errno) }
        bell = (ends[0], ends[1])
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, 256 << 10)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        // The thread owns the poller until it is stopped.
        let box = Unmanaged.passRetained(self)
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<DescriptorPoller>.fromOpaque(argument).takeRetainedValue().loop()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw SensorError(doing: "start the sensors' thread", code: code)
        }
    }

    deinit {
        close(bell.read)
        close(bell.write)
    }

    /// Ends the thread; every waiter gets `cancelled`.
    package func stop() {
        state.withLock { $0.isStopped = true }
        ring()
    }

    /// Waits until `descriptor` is readable or hung up, `limit` is over, or the task is cancelled.
    package func readable(_ descriptor: Int32, within limit: Duration? = nil) async -> Outcome {
        let number = state.withLock { state in
            defer { state.nextNumber += 1 }
            return state.nextNumber
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let deadline = limit.map { Self.now() + $0.wholeNanoseconds }
                let isRefused = state.withLock { state in
                    if state.isStopped || Task.isCancelled { return true }
                    precondition(state.waiters[descriptor] == nil, "a descriptor has one waiter at a time")
                    state.waiters[descriptor] = Waiter(number: number, deadline: deadline, continuation: continuation)
                    return false
                }
                guard !isRefused else { return continuation.resume(returning: .cancelled) }
                ring()
            }
        } onCancel: {
            // Only marked: poll(2) holds a reference to the file, so the thread must be out of it before the caller goes
            // on and closes the descriptor.
            state.withLock { state in
                if state.waiters[descriptor]?.number == number { state.waiters[descriptor]?.isCancelled = true }
            }
            ring()
        }
    }

    /// On the poller's thread only.
    private func finish(_ descriptor: Int32, number: UInt64, _ outcome: Outcome) {
        let waiter = state.withLock { state -> Waiter? in
            guard let waiter = state.waiters[descriptor], waiter.number == number else { return nil }
            state.waiters[descriptor] = nil
            return waiter
        }
        waiter?.continuation.resume(returning: outcome)
    }

    private func ring() {
        var byte: UInt8 = 0
        // A full pipe is as good as a bell that rings already.
        _ = write(bell.write, &byte, 1)
    }

    private static func now() -> Int64 {
        var spec = timespec()
        clock_gettime(CLOCK_MONOTONIC, &spec)
        return Int64(spec.tv_sec) * 1_000_000_000 + Int64(spec.tv_nsec)
    }

    /// pthread_setname_np(3) stands behind `_GNU_SOURCE`, so Swift does not see it; the file does the same (proc(5)).
    private static func nameThread(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        _ = name.withCString { write(file, $0, strlen($0)) }
        close(file)
    }

    private func loop() {
        Self.nameThread("sensors")
        var drained = [UInt8](repeating: 0, count: 64)
        while true {
            let (waiters, isStopped) = state.withLock { ($0.waiters, $0.isStopped) }
            if isStopped { break }
            var entries = [pollfd(fd: bell.read, events: Int16(POLLIN), revents: 0)]
            entries += waiters.keys.map { pollfd(fd: $0, events: Int16(POLLIN | POLLPRI), revents: 0) }
            // Rounded up: waking a little late is fine, spinning until the deadline is not.
            let timeout = waiters.values.compactMap(\.deadline).min().map {
                Int32(clamping: max(0, $0 - Self.now() + 999_999) / 1_000_000)
            }
            _ = poll(&entries, nfds_t(entries.count), timeout ?? -1)
            while read(bell.read, &drained, drained.count) > 0 {}
            let cancelled = state.withLock { $0.waiters.filter(\.value.isCancelled) }
            for (descriptor, waiter) in cancelled { finish(descriptor, number: waiter.number, .cancelled) }
            for entry in entries.dropFirst() where entry.revents != 0 {
                if let waiter = waiters[entry.fd] { finish(entry.fd, number: waiter.number, .ready) }
            }
            let now = Self.now()
            for (descriptor, waiter) in waiters where waiter.deadline.map({ $0 <= now }) ?? false {
                finish(descriptor, number: waiter.number, .timedOut)
            }
        }
        let left = state.withLock { state in
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in left { waiter.continuation.resume(returning: .cancelled) }
    }
}
