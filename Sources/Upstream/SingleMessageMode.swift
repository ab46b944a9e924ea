internal import Outbox

/// Sends one message at a time for a while, after the broker hung up twice over the same messages or postponed one.
/// Pure.
///
/// A broker that dislikes a message may acknowledge it with a reason and close the connection (mosquitto 2.0.11 does).
/// With more messages on their way behind it, the close resets the connection, the acknowledgement is lost with it and
/// the same would happen for ever. Alone on its way, the message gets its answer.
struct SingleMessageMode: Sendable {
    private var oldest: MessageID?
    /// How many more messages go alone.
    private var remaining = 0

    /// The broker ended the connection with messages on their way.
    /// - Parameter oldest: the oldest of the `count` that were on their way.
    mutating func hungUp(oldest: MessageID, count: Int) {
        if self.oldest == oldest { remaining = max(remaining, count) }
        self.oldest = oldest
    }

    /// The broker could not take a message: what follows must not overtake it at the next attempt, too.
    /// - Parameter count: messages on their way, this one included.
    mutating func postponed(count: Int) { remaining = max(remaining, count) }

    /// A message was acknowledged, or refused for good.
    mutating func settled() { remaining = max(0, remaining - 1) }

    func window(_ normal: Int) -> Int { remaining > 0 ? 1 : normal }
}
