package import Readings

/// Tells whether what comes over a line makes sense. A value: counts and time in, a diagnosis out.
package struct LineHealth: Sendable {
    /// So many bytes without a frame, for so long, are no accident.
    private static let bytes = 64
    private static let period = Duration.seconds(5)

    private var bytesSince = 0
    private var since: Instant?
    private var errorsThen: SerialPort.LineErrors?
    private var errors: SerialPort.LineErrors?

    package init() {}

    /// `count` bytes came, which completed `frames` good frames.
    package mutating func received(_ count: Int, frames: Int, at now: Instant) {
        if frames > 0 {
            bytesSince = 0
            since = nil
        } else if count > 0 {
            if since == nil {
                since = now
                errorsThen = errors
            }
            bytesSince += count
        }
    }

    /// What the port's driver has counted by now; `nil` where it does not count.
    package mutating func counted(_ errors: SerialPort.LineErrors?) { self.errors = errors }

    /// What is wrong; `nil`: nothing is.
    package func problem(now: Instant) -> String? {
        guard let since, bytesSince >= Self.bytes, now - since >= Self.period else { return nil }
        var text = "bytes arrive but never form a frame: wrong speed or parity?"
        if let errors {
            let framing = errors.framing &- (errorsThen?.framing ?? 0)
            let parity = errors.parity &- (errorsThen?.parity ?? 0)
            if framing > 0 || parity > 0 {
                text += " (the port counted \(framing) framing and \(parity) parity errors)"
            }
        }
        return text
    }
}
