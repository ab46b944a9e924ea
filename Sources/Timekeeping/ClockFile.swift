import Linux
package import Readings

/// The last time that was known, kept over a power cut: `clock` in the data directory, Unix seconds as text.
package struct ClockFile {
    /// When the file is to be written. Pure.
    package struct Schedule: Sendable {
        private var kept: (unix: Int64, at: Instant)?

        package init() {}

        /// Whether `lasting` is to be kept now: once an hour is little for the flash, and near enough for certificates; a
        /// time that has been put right is kept at once, so that the wrong one is gone.
        package mutating func isDue(_ lasting: Int64, now: Instant) -> Bool {
            if let kept {
                let elapsed = now - kept.at
                let expected = kept.unix + elapsed.wholeNanoseconds
                guard elapsed >= .seconds(3_600) || abs(lasting - expected) > 60 * 1_000_000_000 else { return false }
            }
            kept = (lasting, now)
            return true
        }
    }

    private let path: String

    package init(dataDirectory: String) { path = "\(dataDirectory)/clock" }

    /// Unix nanoseconds; `nil` when there is no such file, or none that makes sense.
    package func read() -> Int64? {
        guard let bytes = try? SmallFile.read(path, limit: 64), let text = String(validating: bytes, as: UTF8.self),
            let seconds = Int64(text.prefix { $0.isNumber }), (0..<8_000_000_000).contains(seconds)
        else { return nil }
        return seconds * 1_000_000_000
    }

    /// Writes it anew, whole or not at all. A time that cannot be kept is no loss by itself.
    /// - Returns: whether that worked.
    @discardableResult
    package func write(unixNanoseconds: Int64) -> Bool {
        let text = Array("\(unixNanoseconds / 1_000_000_000)\n".utf8)
        return (try? AtomicFile.write(text, to: path)) != nil
    }
}
