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
        var descriptors: [Int32]
        /// Monotonic nanoseconds.
        var deadline: Int64?
        var isCancelled = false
        var continuation: CheckedContinuation<FirstOutcome, Never>
    }

    private struct State: Sendable {
        /// By their number.
        var waiters: [UInt64: Waiter] = [:]
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

    /// What ended a wait for several.
    package enum FirstOutcome: Hashable, Sendable {
        /// This one is readable, or hung up.
        case ready(Int32)
        case timedOut
        case cancelled
    }

    /// Waits until `descriptor` is readable or hung up, `limit` is over, or the task is cancelled.
    package func readable(_ descriptor: Int32, within limit: Duration? = nil) async -> Outcome {
        switch await firstReadable(of: [descriptor], within: limit) {
        case .ready: .ready
        case .timedOut: .timedOut
        case .cancelled: .cancelled
        }
    }

    /// Waits until one of `descriptors` is readable or hung up, the first in their order; with none it only waits for the
    /// time.
    package func firstReadable(of descriptors: [Int32], within limit: Duration? = nil) async -> FirstOutcome {
        let number = state.withLock { state in
            defer { state.nextNumber += 1 }
            return state.nextNumber
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let deadline = limit.map { Self.now() + $0.wholeNanoseconds }
                let isRefused = state.withLock { state in
                    if state.isStopped || Task.isCancelled { return true }
                    precondition(
                        state.waiters.values.allSatisfy { $0.descriptors.allSatisfy { !descriptors.contains($0) } },
                        "a descriptor has one waiter at a time")
                    state.waiters[number] = Waiter(
                        descriptors: descriptors, deadline: deadline, continuation: continuation)
                    return false
                }
                guard !isRefused else { return continuation.resume(returning: .cancelled) }
                ring()
            }
        } onCancel: {
            // Only marked: poll(2) holds a reference to the file, so the thread must be out of it before the caller goes
            // on and closes the descriptor.
            state.withLock { $0.waiters[number]?.isCancelled = true }
            ring()
        }
    }

    /// On the poller's thread only.
    private func finish(_ number: UInt64, _ outcome: FirstOutcome) {
        state.withLock { $0.waiters.removeValue(forKey: number) }?.continuation.resume(returning: outcome)
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

    private func loop() {
        ThreadName.set("sensors")
        var drained = [UInt8](repeating: 0, count: 64)
        var entries: [pollfd] = []
        while true {
            let (waiters, isStopped) = state.withLock { ($0.waiters, $0.isStopped) }
            if isStopped { break }
            entries.removeAll(keepingCapacity: true)
            entries.append(pollfd(fd: bell.read, events: Int16(POLLIN), revents: 0))
            for waiter in waiters.values {
                for descriptor in waiter.descriptors {
                    entries.append(pollfd(fd: descriptor, events: Int16(POLLIN | POLLPRI), revents: 0))
                }
            }
            // Rounded up: waking a little late is fine, spinning until the deadline is not.
            let timeout = waiters.values.lazy.compactMap(\.deadline).min().map {
                Int32(clamping: max(0, $0 - Self.now() + 999_999) / 1_000_000)
            }
            _ = poll(&entries, nfds_t(entries.count), timeout ?? -1)
            while read(bell.read, &drained, drained.count) > 0 {}
            let cancelled = state.withLock { $0.waiters.filter(\.value.isCancelled) }
            for number in cancelled.keys { finish(number, .cancelled) }
            let now = Self.now()
            var index = 1
            for (number, waiter) in waiters {
                let own = entries[index..<(index + waiter.descriptors.count)]
                index += waiter.descriptors.count
                if let ready = own.first(where: { $0.revents != 0 }) {
                    finish(number, .ready(ready.fd))
                } else if waiter.deadline.map({ $0 <= now }) ?? false {
                    finish(number, .timedOut)
                }
            }
        }
        let left = state.withLock { state in
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in left { waiter.continuation.resume(returning: .cancelled) }
    }
}
