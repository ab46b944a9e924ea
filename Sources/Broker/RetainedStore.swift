import MQTT
import NIOCore

/// The last retained message of each topic (MQTT 5.0 §3.3.1.3), bounded in number and bytes. What is kept over a restart is
/// the owner's concern.
struct RetainedStore {
    private struct Entry: Sendable {
        var publish: Publish
        /// The session that published it; `nil` where that is not known any more.
        var origin: SessionID?
        /// Monotonic nanoseconds.
        var storedAt: Int64
        /// When a value of this topic last went to the session store; `nil`: not by this process.
        var writtenAt: Int64?
    }

    private var countLimit: Int
    private var byteLimit: Int
    private var levelLimit: Int
    private var tree = TopicTree<Entry>()
    private var bytes = 0
    /// Messages that found no room: the topic's older one, if any, stays.
    private(set) var refused: UInt64 = 0

    init(countLimit: Int, byteLimit: Int, levelLimit: Int) {
        self.countLimit = countLimit
        self.byteLimit = byteLimit
        self.levelLimit = levelLimit
    }

    var count: Int { tree.count }

    /// Other bounds for what comes from now on; messages that are there stay.
    mutating func limit(count: Int, bytes: Int, levels: Int) {
        countLimit = count
        byteLimit = bytes
        levelLimit = levels
    }

    /// Replaces the topic's message [MQTT-3.3.1-5], or removes it when the payload is empty [MQTT-3.3.1-6]
    /// [MQTT-3.3.1-7]. The payload is copied: it may be a slice of a large read.
    /// - Returns: whether anything changed.
    mutating func store(_ publish: Publish, from origin: SessionID?, now: Int64) -> Bool {
        if publish.payload.readableBytes == 0 {
            guard let old = tree.remove(publish.topic) else { return false }
            bytes -= old.publish.queuedSize
            return true
        }
        let old = tree[publish.topic]
        let newBytes = bytes - (old?.publish.queuedSize ?? 0) + publish.queuedSize
        guard newBytes <= byteLimit, old != nil || tree.count < countLimit,
            Topic.levelCount(publish.topic) <= levelLimit
        else {
            refused += 1
            return false
        }
        var kept = publish
        kept.payload = ByteBuffer(bytes: publish.payload.readableBytesView)
        kept.dup = false
        kept.packetIdentifier = nil
        tree.set(
            publish.topic, to: Entry(publish: kept, origin: origin, storedAt: now, writtenAt: old?.writtenAt))
        bytes = newBytes
        return true
    }

    /// Puts back what was kept over a restart, unless the topic has a message already.
    mutating func restore(_ publish: Publish, storedAt: Int64) {
        if tree[publish.topic] == nil { _ = store(publish, from: nil, now: storedAt) }
    }

    /// The topic's message, and when it was stored; `nil` when there is none.
    subscript(topic: String) -> (publish: Publish, storedAt: Int64)? {
        tree[topic].map { ($0.publish, $0.storedAt) }
    }

    /// Every topic that has a message, in no particular order.
    var topics: [String] {
        var topics: [String] = []
        tree.forEach { topics.append($0.publish.topic) }
        return topics
    }

    /// The topic's message is on its way to the session store.
    mutating func noteWritten(_ topic: String, at now: Int64) {
        guard var entry = tree[topic] else { return }
        entry.writtenAt = now
        tree.set(topic, to: entry)
    }

    /// A value of this topic went to the session store within the last `nanoseconds`.
    func wasWritten(_ topic: String, within nanoseconds: Int64, now: Int64) -> Bool {
        tree[topic]?.writtenAt.map { now - $0 < nanoseconds } ?? false
    }

    /// The retained messages that `filter` matches, those that have expired left out [MQTT-3.3.2-5] and the others'
    /// expiry lowered by the time they waited [MQTT-3.3.2-6].
    /// - Parameter excluded: a session whose own messages are left out [MQTT-3.8.3-3].
    func matches(_ filter: String, without excluded: SessionID?, now: Int64) -> [Publish] {
        var found: [Publish] = []
        tree.forEachMatch(filter: filter) { entry in
            if let excluded, entry.origin == excluded { return }
            var publish = entry.publish
            if let expiry = publish.properties.messageExpiryInterval {
                let waited = (now - entry.storedAt) / 1_000_000_000
                guard waited < Int64(expiry) else { return }
                publish.properties = publish.properties.waited(waited)
            }
            found.append(publish)
        }
        return found
    }
}
