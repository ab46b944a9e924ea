internal import Readings

/// Tells our own messages when a broker sends them back: with MQTT 3.1.1, which has no No Local. Pure: time is a parameter.
///
/// Each message that was sent to a topic that we are subscribed to takes one equal message out of those that come, and no
/// more. A broker sends the echo no later than its PUBACK, or soon after it. One that has not come by then does not come,
/// because the broker did not let the message in; from then on an equal message is somebody else's.
struct EchoFilter: Sendable {
    /// An echo comes so soon after the PUBACK, or after the topic's echo before it.
    private static let grace = Duration.seconds(3)
    /// Own messages that are waited for at once; beyond that, the topic's oldest is given up.
    private static let limit = 10_000

    private struct Expected: Sendable {
        let number: UInt64
        let key: Int
    }

    private struct Topic: Sendable {
        /// In the order in which they were sent.
        var expected: [Expected] = []
        var lastEcho: Instant?
    }

    private var topics: [String: Topic] = [:]
    private var lastNumber: UInt64 = 0
    /// By packet identifier: what was sent on this connection, and has no PUBACK yet.
    private var unacknowledged: [Int32: UInt64] = [:]
    /// Of each message that is expected, when its PUBACK came.
    private var answers: [UInt64: Instant?] = [:]

    /// - Parameter isSessionPresent: the broker has kept what it had for us, echoes among it.
    mutating func connected(isSessionPresent: Bool, now: Instant) {
        guard isSessionPresent else {
            self = Self()
            return
        }
        unacknowledged = [:]
        answers = answers.mapValues { _ in now }
    }

    /// A message has gone out to a topic that comes back.
    mutating func sent(_ topic: String, key: Int, packetIdentifier: Int32, now: Instant) {
        if answers.count >= Self.limit { for topic in topics.keys { forgetOverdue(topic, now: now) } }
        if answers.count >= Self.limit { removeFirst(of: topics[topic] == nil ? topics.keys.first ?? topic : topic) }
        lastNumber += 1
        topics[topic, default: Topic()].expected.append(Expected(number: lastNumber, key: key))
        answers[lastNumber] = .some(nil)
        unacknowledged[packetIdentifier] = lastNumber
    }

    /// The broker has acknowledged a message of ours, whatever it was.
    mutating func acknowledged(_ packetIdentifier: Int32, now: Instant) {
        guard let number = unacknowledged.removeValue(forKey: packetIdentifier), answers[number] != nil else { return }
        answers[number] = .some(now)
    }

    /// Whether a message that has come is one of ours; each is once.
    mutating func isEcho(_ topic: String, key: Int, now: Instant) -> Bool {
        guard !answers.isEmpty else { return false }
        forgetOverdue(topic, now: now)
        guard let position = topics[topic]?.expected.firstIndex(where: { $0.key == key }) else { return false }
        topics[topic]?.lastEcho = now
        remove(at: position, of: topic)
        return true
    }

    /// Drops what does not come any more. What stands behind a message that may still come was sent later.
    private mutating func forgetOverdue(_ topic: String, now: Instant) {
        while let state = topics[topic], let first = state.expected.first, let answered = answers[first.number] ?? nil,
            now - max(answered, state.lastEcho ?? answered) > Self.grace
        {
            remove(at: 0, of: topic)
        }
    }

    private mutating func removeFirst(of topic: String) {
        if topics[topic]?.expected.isEmpty == false { remove(at: 0, of: topic) }
    }

    private mutating func remove(at position: Int, of topic: String) {
        guard let expected = topics[topic]?.expected.remove(at: position) else { return }
        answers.removeValue(forKey: expected.number)
        if topics[topic]?.expected.isEmpty == true { topics[topic] = nil }
    }
}
