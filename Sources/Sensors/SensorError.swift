import Glibc
import Linux

/// Why a sensor failed: what was tried, why it did not work, what to do.
package struct SensorError: Error, Hashable, Sendable, CustomStringConvertible {
    package var doing: String
    package var reason: String
    package var remedy: String?
    /// The device is not there: it may be plugged in any moment, so looking again costs little and is done often.
    package var isAbsent: Bool

    package init(doing: String, reason: String, remedy: String? = nil, isAbsent: Bool = false) {
        self.doing = doing
        self.reason = reason
        self.remedy = remedy
        self.isAbsent = isAbsent
    }

    /// From `errno`; `remedies` by code.
    init(doing: String, code: Int32, remedies: [Int32: String] = [:]) {
        self.init(
            doing: doing, reason: ErrnoText.text(code), remedy: remedies[code] ?? SystemCallError.remedy(against: code),
            isAbsent: [ENOENT, ENXIO, ENODEV, EIO].contains(code))
    }

    /// Not of the device: of the board or the process.
    init(_ error: SystemCallError) { self.init(doing: error.doing, reason: error.reason, remedy: error.remedy) }

    /// What was tried and why it did not work, on one line.
    package var summary: String { "cannot \(doing): \(reason)" }

    package var description: String { summary + (remedy.map { "\n  try: \($0)" } ?? "") }
}
