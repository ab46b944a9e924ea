package import Readings
import Settings

/// What an output is to do: commands and time in, values and changes to come out. A value.
package struct OutputControl: Sendable {
    /// Why a command cannot be carried out.
    package struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        package var description: String
    }

    private static let longestPulse = Duration.seconds(86_400)

    /// What it takes when the commander has been silent for too long.
    private let safe: Bool
    private let timeout: Duration?
    /// When the commander will have been silent for too long; `nil`: it may be, or has been.
    private var silenceEnds: Instant?
    private var pulse: OutputChanges.Change?

    /// - Parameters:
    ///   - timeout: longest silence of the commander; `nil`: it may be silent for ever.
    ///   - now: the commander gets as long for its first command.
    ///   - resumed: what was to come when the gateway was last there.
    package init(safe: Bool, timeout: Duration?, now: Instant, resuming resumed: OutputChanges = .init()) {
        self.safe = safe
        self.timeout = timeout
        pulse = resumed.pulseEnd
        // A silence goes on while the gateway is away.
        silenceEnds = timeout.map { min(now + $0, resumed.safe?.at ?? now + $0) }
    }

    /// What will happen without a further command.
    package var changes: OutputChanges {
        OutputChanges(pulseEnd: pulse, safe: silenceEnds.map { .init(at: $0, value: safe) })
    }

    /// When ``due(now:)`` is to be asked at the latest; `nil`: not before the next command.
    package var deadline: Instant? { [pulse?.at, silenceEnds].compactMap(\.self).min() }

    /// Takes a command: `on`, `off`, `toggle`, also `true`, `1` and the like, and `on for 500ms` or `off for 2s`. Returns the
    /// value to set.
    /// - Parameter current: the output's value, for `toggle`.
    package mutating func command(_ text: String, current: Bool, now: Instant) throws(Refusal) -> Bool {
        let words = text.lowercased().split(whereSeparator: \.isWhitespace)
        let value: Bool
        switch words.first {
        case "on", "true", "1": value = true
        case "off", "false", "0": value = false
        case "toggle": value = !current
        default: throw Refusal(description: "expected on, off, toggle or \"on for 500ms\"")
        }
        guard words.count > 1 else {
            pulse = nil
            accepted(now)
            return value
        }
        guard words.count == 3, words[1] == "for", let duration = Quantity.duration(String(words[2])),
            duration > .zero, duration <= Self.longestPulse
        else { throw Refusal(description: "expected a time as in \"on for 500ms\", up to a day") }
        pulse = .init(at: now + duration, value: !value)
        accepted(now)
        return value
    }

    /// What has become due by `now`: the end of a pulse, or the safe value.
    package mutating func due(now: Instant) -> Bool? {
        if let silenceEnds, now >= silenceEnds {
            self.silenceEnds = nil
            pulse = nil
            return safe
        }
        if let pulse, now >= pulse.at {
            self.pulse = nil
            return pulse.value
        }
        return nil
    }

    private mutating func accepted(_ now: Instant) { silenceEnds = timeout.map { now + $0 } }
}
