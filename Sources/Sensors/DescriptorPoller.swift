import Glibc
import Linux
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
        /// Until when the thread sleeps, in monotonic nanoseconds: what is due later need not wake it.
        var sleepsUntil = Int64.min
    }

    private let state = Mutex(State())
    /// Interrupts the wait.
    private let alarm: WakeDescriptor

    package init() throws(SensorError) {
        do throws(SystemCallError) {
            alarm = try WakeDescriptor("wait for sensors")
            // The thread owns the poller until it is stopped.
            try PosixThread.startDetached("sensors", stackBytes: 256 << 10) { self.loop() }
        } catch {
            throw SensorError(error)
        }
    }

    /// Ends the thread; every waiter gets `cancelled`.
    package func stop() {
        state.withLock { $0.isStopped = true }
        alarm.wake()
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
                let deadline = limit.map { KernelClock.monotonic + $0.wholeNanoseconds }
                let isNews: Bool? = state.withLock { state in
                    if state.isStopped || Task.isCancelled { return nil }
                    precondition(
                        descriptors.isEmpty
                            || state.waiters.values.allSatisfy {
                                $0.descriptors.allSatisfy { !descriptors.contains($0) }
                            },
                        "a descriptor has one waiter at a time")
                    state.waiters[number] = Waiter(
                        descriptors: descriptors, deadline: deadline, continuation: continuation)
                    return !descriptors.isEmpty || deadline ?? .max < state.sleepsUntil
                }
                guard let isNews else { return continuation.resume(returning: .cancelled) }
                if isNews { alarm.wake() }
            }
        } onCancel: {
            // Only marked: poll(2) holds a reference to the file, so the thread must be out of it before the caller goes
            // on and closes the descriptor.
            state.withLock { $0.waiters[number]?.isCancelled = true }
            alarm.wake()
        }
    }

    private func loop() {
        var entries: [pollfd] = []
        /// Whose each entry is.
        var owners: [UInt64] = []
        while true {
            entries.removeAll(keepingCapacity: true)
            owners.removeAll(keepingCapacity: true)
            entries.append(pollfd(fd: alarm.descriptor, events: Int16(POLLIN), revents: 0))
            owners.append(0)
            let until: Int64? = state.withLock { state in
                if state.isStopped { return nil }
                var until = Int64.max
                for (number, waiter) in state.waiters {
                    for descriptor in waiter.descriptors {
                        entries.append(pollfd(fd: descriptor, events: Int16(POLLIN | POLLPRI), revents: 0))
                        owners.append(number)
                    }
                    until = waiter.isCancelled ? .min : min(until, waiter.deadline ?? .max)
                }
                state.sleepsUntil = until
                return until
            }
            guard let until else { break }
            // Rounded up: waking a little late is fine, spinning until the deadline is not.
            let timeout =
                until == .max
                ? -1
                : Int32(
                    clamping: max(0, until.subtractingReportingOverflow(KernelClock.monotonic).0 + 999_999) / 1_000_000)
            _ = poll(&entries, nfds_t(entries.count), until == .min ? 0 : timeout)
            if entries[0].revents != 0 { alarm.clear() }
            for (waiter, outcome) in finished(entries, owners) { waiter.continuation.resume(returning: outcome) }
        }
        let left = state.withLock { state in
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in left { waiter.continuation.resume(returning: .cancelled) }
    }

    /// Takes out those whose wait is over: cancelled, ready, or due.
    private func finished(_ entries: [pollfd], _ owners: [UInt64]) -> [(Waiter, FirstOutcome)] {
        let now = KernelClock.monotonic
        return state.withLock { state in
            // Until it sleeps again, whatever comes is seen.
            state.sleepsUntil = .min
            var finished: [(Waiter, FirstOutcome)] = []
            for (number, waiter) in state.waiters where waiter.isCancelled {
                finished.append((waiter, .cancelled))
                state.waiters[number] = nil
            }
            for (entry, number) in zip(entries, owners).dropFirst() where entry.revents != 0 {
                guard let waiter = state.waiters.removeValue(forKey: number) else { continue }
                finished.append((waiter, .ready(entry.fd)))
            }
            for (number, waiter) in state.waiters where waiter.deadline ?? .max <= now {
                finished.append((waiter, .timedOut))
                state.waiters[number] = nil
            }
            return finished
        }
    }
}
