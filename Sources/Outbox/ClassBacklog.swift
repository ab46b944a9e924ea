package import Readings

/// What of one class waits for the upstream.
package struct ClassBacklog: Hashable, Sendable {
    package var deliveryClass: DeliveryClass
    /// Messages stored, those on their way upstream and gap records included.
    package var count: Int64
    /// Bytes as ``ClassLimits/maximumBytes`` counts them.
    package var bytes: Int64
    /// Messages handed out by `claim` and not settled yet.
    package var claimed: Int
    /// Messages that are in memory alone.
    package var unstored: Int64
    /// When the oldest one was taken. Its instant may be another boot's; use ``oldestAge`` for an age.
    package var oldest: Timestamp?
    /// Elapsed time the oldest one has waited, as far as it is known: over a reboot only the time since this process
    /// opened the store is counted.
    package var oldestAge: Duration?
    /// Messages lost to a bound since the file was made. Each is covered by a gap record.
    package var dropped: Int64
    /// Messages that the upstream will never take and that are kept beside the queue. Each is covered by a gap record.
    package var setAside: Int64
    /// What came in per second over the last minutes, the newest counting most.
    package var messagesPerSecond = 0.0
    /// As ``bytes`` counts them.
    package var bytesPerSecond = 0.0
    /// How long the stored messages take to leave at the present rate; `nil` while they do not become fewer.
    package var timeToDrain: Duration?
    /// How long an outage may last, from now on and at this rate, before a bound of the class costs messages; `nil`
    /// while nothing comes.
    package var timeLeft: Duration?
}
