package import Logging
internal import Synchronization

/// A log line about something that may happen for ever: the first, second, fourth, eighth … occurrence is written, with
/// the count as `so_far`. From any thread.
package final class DoublingLog: Sendable {
    private let logger: Logger
    private let level: Logger.Level
    private let message: Logger.Message
    private let occurrences = Atomic<UInt64>(0)

    /// - Parameter message: the same each time, and it names what happened; the metadata names to which thing.
    package init(_ logger: Logger, _ level: Logger.Level, _ message: Logger.Message) {
        self.logger = logger
        self.level = level
        self.message = message
    }

    /// Occurrences so far.
    package var count: UInt64 { occurrences.load(ordering: .relaxed) }

    /// It happened once more.
    /// - Parameter metadata: made only when the line is written.
    package func note(_ metadata: @autoclosure () -> Logger.Metadata = [:]) {
        let count = occurrences.wrappingAdd(1, ordering: .relaxed).newValue
        guard DoublingThrottle.isTold(count) else { return }
        var metadata = metadata()
        metadata["so_far"] = "\(count)"
        logger.log(level: level, message, metadata: metadata)
    }
}

/// A log line about something that many keys can cause, such as addresses whose login is refused: once a key and window,
/// and `capacity` keys a window at most, so that no peer can flood the log. From any thread.
package final class KeyedLog<Key: Hashable & Sendable>: Sendable {
    private let logger: Logger
    private let level: Logger.Level
    private let message: Logger.Message
    private let throttle: Mutex<KeyedThrottle<Key>>

    /// - Parameters:
    ///   - message: the same each time, and it names what happened; the metadata names to which thing.
    ///   - window: how long a key that was told is quiet.
    ///   - capacity: keys that are told in a window.
    package init(
        _ logger: Logger, _ level: Logger.Level, _ message: Logger.Message, window: Duration = .seconds(60),
        capacity: Int = 64
    ) {
        self.logger = logger
        self.level = level
        self.message = message
        throttle = Mutex(KeyedThrottle(window: window, capacity: capacity))
    }

    /// It happened to `key`.
    /// - Parameters:
    ///   - now: nanoseconds of a clock that does not run backwards; the kernel's unless given.
    ///   - metadata: made only when the line is written. `not_told` and `others_not_told` are added when there were some.
    package func note(_ key: Key, now: Int64? = nil, _ metadata: @autoclosure () -> Logger.Metadata = [:]) {
        let now = now ?? KernelClock.boot
        guard let told = throttle.withLock({ $0.note(key, now: now) }) else { return }
        var metadata = metadata()
        if told.suppressed > 0 { metadata["not_told"] = "\(told.suppressed)" }
        if told.unlisted > 0 { metadata["others_not_told"] = "\(told.unlisted)" }
        logger.log(level: level, message, metadata: metadata)
    }
}
