import MQTT
import NIOCore

/// The last retained message of each topic (MQTT 5.0 §3.3.1.3), bounded in number and bytes. What is kept over a restart is
/// the owner's concern.
struct RetainedStore {
    private struct Entry: Sendable {
        var publish: Publish
        /// The client that published it; `nil` where that is not known any more.
        var origin: String?
        /// Monotonic nanoseconds.
        var storedAt: Int64
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
    mutating func store(_ publish: Publish, from origin: String?, now: Int64) -> Bool {
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
        tree.set(publish.topic, to: Entry(publish: kept, origin: origin, storedAt: now))
        bytes = newBytes
        return true
    }

    /// Puts back what was kept over a restart.
    mutating func restore(_ publish: Publish, storedAt: Int64) { _ = store(publish, from: nil, now: storedAt) }

    /// The retained messages that `filter` matches, those that have expired left out [MQTT-3.3.2-5] and the others'
    /// expiry lowered by the time they waited [MQTT-3.3.2-6].
    /// - Parameter excluded: a client whose own messages are left out [MQTT-3.8.3-3].
    func matches(_ filter: String, without excluded: String?, now: Int64) -> [Publish] {
        var found: [Publish] = []
        tree.forEachMatch(filter: filter) { entry in
            if let excluded, let origin = entry.origin, WireText(origin) == WireText(excluded) { return }
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
