import Readings

/// The last value sent of every series, to hold back those that say nothing new.
///
/// Bounded: beyond `limit` series new ones are not held back at all, which costs bytes but loses nothing; `untracked`
/// counts how often.
struct Deadband: Sendable {
    private struct Series: Hashable {
        var source: DeviceID
        var topic: String
        var metric: String?
    }

    private struct Sent {
        var value: Value
        var quality: Quality
        var at: Instant
    }

    private let limit: Int
    private var last: [Series: Sent] = [:]
    private(set) var untracked = 0

    init(limit: Int) { self.limit = limit }

    /// True when `reading` is to be sent; remembers it then.
    mutating func passes(_ reading: Reading, topic: String, treatment: Treatment, now: Instant) -> Bool {
        guard let width = treatment.deadband else { return true }
        let series = Series(source: reading.device, topic: topic, metric: reading.metric)
        if let sent = last[series] {
            let near =
                if let a = sent.value.asDouble, let b = reading.value.asDouble { abs(b - a) < width } else {
                    sent.value == reading.value
                }
            if near, sent.quality == reading.quality, now - sent.at < treatment.maximumSilence { return false }
        } else if last.count >= limit {
            untracked += 1
            return true
        }
        last[series] = Sent(value: reading.value, quality: reading.quality, at: now)
        return true
    }
}
