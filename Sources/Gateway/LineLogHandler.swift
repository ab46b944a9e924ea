import Glibc
package import Logging
import Synchronization

/// The least severe level that is logged, shared by all handlers: a reload changes it for all of them.
package final class LogThreshold: Sendable {
    private let index: Atomic<Int>

    package init(_ level: Logger.Level) { index = Atomic(Self.index(of: level)) }

    package var level: Logger.Level {
        get { Logger.Level.allCases[index.load(ordering: .relaxed)] }
        set { index.store(Self.index(of: newValue), ordering: .relaxed) }
    }

    private static func index(of level: Logger.Level) -> Int { Logger.Level.allCases.firstIndex(of: level) ?? 0 }
}

/// Logs one line an event to standard error: for a terminal with the time in front, for the journal with the syslog
/// level instead (sd-daemon(3)), since the journal has a clock of its own.
package struct LineLogHandler: LogHandler {
    package var metadata: Logger.Metadata = [:]
    private let threshold: LogThreshold
    private let label: String
    private let isJournal: Bool

    /// The level of all handlers that share the threshold.
    package var logLevel: Logger.Level {
        get { threshold.level }
        set { threshold.level = newValue }
    }

    package init(label: String, threshold: LogThreshold) {
        self.label = label
        self.threshold = threshold
        isJournal = getenv("JOURNAL_STREAM") != nil
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var text =
            isJournal ? "<\(Self.severity(event.level))>" : "\(Self.clock()) \(event.level.rawValue.uppercased()) "
        text += "\(label): \(event.message)"
        let merged = event.metadata.map { metadata.merging($0) { _, new in new } } ?? metadata
        for (key, value) in merged.sorted(by: { $0.key < $1.key }) { text += " \(key)=\(Self.field("\(value)"))" }
        text += "\n"
        // One write, so that lines of several threads never mix; a log that cannot be written is nobody's error.
        _ = text.utf8.withContiguousStorageIfAvailable { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// Quoted when it has white space, line ends and control characters escaped: a device chooses its own name, and
    /// must not be able to write lines into the log.
    private static func field(_ value: String) -> String {
        var out = ""
        var needsQuotes = value.isEmpty
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\n": out += "\\n"
            case "\"": out += "\\\""
            case _ where scalar.properties.generalCategory == .control: out += scalar.escaped(asASCII: true)
            default: out.unicodeScalars.append(scalar)
            }
            if scalar == " " || scalar == "\n" || scalar == "\"" || scalar == "=" { needsQuotes = true }
        }
        return needsQuotes ? "\"\(out)\"" : out
    }

    private static func severity(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    private static func clock() -> String {
        var spec = timespec()
        clock_gettime(CLOCK_REALTIME, &spec)
        var parts = tm()
        var seconds = spec.tv_sec
        localtime_r(&seconds, &parts)
        func pad(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let milliseconds = spec.tv_nsec / 1_000_000
        let fraction = String(repeating: "0", count: 3 - String(milliseconds).count) + String(milliseconds)
        return "\(pad(parts.tm_hour)):\(pad(parts.tm_min)):\(pad(parts.tm_sec)).\(fraction)"
    }
}
