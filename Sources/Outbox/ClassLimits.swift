/// How much one delivery class may keep while the upstream is away, and what gives way when it is full.
package struct ClassLimits: Hashable, Sendable {
    /// What happens to a message that does not fit.
    package enum Overflow: Hashable, Sendable {
        /// The oldest messages that are not on their way upstream make room. For values, where the newest count.
        case dropOldest
        /// The new message is refused and its publisher is told. For events, where the first ones count.
        case rejectNewest
    }

    /// Bytes of topics and payloads, with ``OutboxStore/bytesPerMessage`` added for each message.
    package var maximumBytes: Int64
    /// Elapsed time after which a message is dropped unsent; `nil` for never.
    package var maximumAge: Duration?
    package var overflow: Overflow

    package init(
        maximumBytes: Int64 = 256_000_000, maximumAge: Duration? = .seconds(30 * 86_400),
        overflow: Overflow = .dropOldest
    ) {
        self.maximumBytes = maximumBytes
        self.maximumAge = maximumAge
        self.overflow = overflow
    }
}
