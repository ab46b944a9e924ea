import CLinux
package import Configuration
import Glibc
import Linux
package import Logging
import Synchronization

/// The signals that this process gets, once in a process.
///
/// A handler writes each into a pipe, and a thread of its own reads it: whatever the gateway is busy with, a signal neither
/// ends the process nor is lost. Programs that the process starts get every signal as by default (``clinux.h``).
package final class ProcessSignals: Sendable {
    private struct State {
        var hasStopped = false
        var occurrences: [Int32: DoublingThrottle] = [:]
    }

    private let meanings: [Int32: SignalMeaning]
    private let source: Int32
    private let stopped = OneShotEvent()
    private let state = Mutex(State())
    private let requests = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// Catches the signals. Those that come before ``start(logger:)`` wait for it.
    /// - Parameter hangUp: what SIGHUP means; where it stops, nohup(1) still keeps it away.
    /// - Throws: when the process may have no more descriptors.
    package init(hangUp: SignalMeaning) throws(GatewayError) {
        var meanings = SignalMeaning.all(hangUp: hangUp)
        if hangUp == .stop, clinux_is_ignored(SIGHUP) { meanings[SIGHUP] = nil }
        self.meanings = meanings
        let numbers = meanings.keys.sorted()
        source = clinux_catch_signals(numbers, Int32(numbers.count))
        guard source >= 0 else {
            throw GatewayError(
                .unavailable, doing: "catch signals", reason: ErrnoText.last,
                remedy: "raise the limit of open files (ulimit -n, LimitNOFILE= in the unit)")
        }
    }

    /// Returns once the process is to stop, also when it was told before; or when the task is cancelled.
    package func untilStop() async { await stopped.wait() }

    /// A signal has told the process to stop.
    package var isStopping: Bool { state.withLock { $0.hasStopped } }

    /// One element for each time that the settings are to be read again; several that come while one is worked at are one.
    /// For one reader.
    package var reloads: AsyncStream<Void> { requests.stream }

    /// Reads the signals from now on.
    /// - Throws: when the process may have no more threads.
    package func start(logger: Logger) throws(GatewayError) {
        do throws(SystemCallError) {
            try PosixThread.startDetached("signals", stackBytes: 128 << 10) { [self] in
                var signal = clinux_signal()
                while true {
                    let count = read(source, &signal, MemoryLayout<clinux_signal>.size)
                    if count < 0, errno == EINTR { continue }
                    guard count == MemoryLayout<clinux_signal>.size else { return }
                    take(signal, logger)
                }
            }
        } catch {
            throw GatewayError(.unavailable, doing: error.doing, reason: error.reason, remedy: error.remedy)
        }
    }

    private func take(_ signal: clinux_signal, _ logger: Logger) {
        let name = SignalMeaning.name(signal.number)
        var metadata: Logger.Metadata = ["signal": "\(name)"]
        if signal.sender > 0 {
            metadata["sender"] = "process \(signal.sender)"
            metadata["user"] = "\(signal.user)"
        }
        switch meanings[signal.number] ?? .ignored {
        case .stop:
            let isFirst = state.withLock { state in
                defer { state.hasStopped = true }
                return !state.hasStopped
            }
            if isFirst { logger.notice("a signal stops the process", metadata: metadata) }
            stopped.signal()
        case .reload:
            logger.notice("a signal asks for the settings to be read again", metadata: metadata)
            requests.continuation.yield()
        case .ignored:
            // A sender may repeat it for ever.
            let count = state.withLock { $0.occurrences[signal.number, default: DoublingThrottle()].note() }
            guard let count else { return }
            metadata["so_far"] = "\(count)"
            logger.notice("a signal without a meaning here is ignored", metadata: metadata)
        }
    }
}
