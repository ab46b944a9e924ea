package import Readings

/// What will happen to an output without a further command. It must happen also when the gateway dies before.
package struct OutputChanges: Hashable, Sendable {
    package struct Change: Hashable, Sendable {
        /// Above 0.
        package var at: Instant
        package var value: Bool

        package init(at: Instant, value: Bool) {
            self.at = at
            self.value = value
        }
    }

    /// The end of a pulse.
    package var pulseEnd: Change?
    /// The commander has been silent for too long. Calls a pulse off.
    package var safe: Change?

    package init(pulseEnd: Change? = nil, safe: Change? = nil) {
        self.pulseEnd = pulseEnd
        self.safe = safe
    }

    package var isEmpty: Bool { pulseEnd == nil && safe == nil }
}
