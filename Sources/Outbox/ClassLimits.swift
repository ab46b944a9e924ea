package import Readings

/// How much one delivery class may keep while the upstream is away, what gives way when it is full, and how soon a
/// message is stored.
package struct ClassLimits: Hashable, Sendable {
    /// What happens to a message that does not fit.
    package enum Overflow: Hashable, Sendable {
        /// The oldest messages that are not on their way upstream make room. For values, where the newest count.
        case dropOldest
        /// The new message is dropped, and its publisher learns nothing of it. For what must not be sent again and
        /// again by devices that cannot do without an acknowledgement.
        case dropNewest
        /// The new message is refused and its publisher is told. For events, where the first ones count.
        case rejectNewest
    }

    /// In which order a backlog goes upstream.
    package enum Order: Hashable, Sendable {
        /// Strictly as it came: a consumer that takes the last arrival for the current value is right.
        case inOrder
        /// What is new goes first, and what is stored beside it, marked as historical.
        case interleave
    }

    /// Bytes of topics and payloads, with ``OutboxStore/bytesPerMessage`` added for each message.
    package var maximumBytes: Int64
    /// Messages, gap records included; `nil` for as many as the bytes allow.
    package var maximumCount: Int64?
    /// Elapsed time after which a message is dropped unsent; `nil` for never.
    package var maximumAge: Duration?
    /// Elapsed time after which a message is of no use, also on its way beyond the gateway; `nil` for never. A
    /// publisher's own, if that is shorter, goes before.
    package var expiry: Duration?
    package var overflow: Overflow
    package var order = Order.inOrder
    /// The class's share of the way upstream while others wait as well, in proportion to theirs: 1…9.
    package var priority = 5
    /// It may use what is kept back from the others when space on the disk is short.
    package var isReserved = false
    /// How long a message may wait in memory for the upstream's acknowledgement before it is stored: what a crash
    /// takes of messages that nobody waits for. `.zero` stores every message at once.
    package var commitAfter: Duration

    package init(
        maximumBytes: Int64 = 256_000_000, maximumAge: Duration? = .seconds(30 * 86_400),
        overflow: Overflow = .dropOldest, commitAfter: Duration = .milliseconds(250)
    ) {
        self.maximumBytes = maximumBytes
        self.maximumAge = maximumAge
        self.overflow = overflow
        self.commitAfter = commitAfter
    }

    /// No bound but the disk's.
    package static let unlimited = ClassLimits(maximumBytes: .max, maximumAge: nil)

    /// The classes that are there without being set.
    package static let builtIn: [DeliveryClass: ClassLimits] = {
        var events = ClassLimits(maximumBytes: 64_000_000, maximumAge: .seconds(90 * 86_400), overflow: .rejectNewest)
        events.priority = 8
        events.isReserved = true
        var bulk = ClassLimits(maximumAge: .seconds(7 * 86_400))
        bulk.priority = 2
        return [.telemetry: ClassLimits(), .events: events, .bulk: bulk]
    }()
}
