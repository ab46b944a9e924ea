import MQTT
import NIOCore
import Readings

/// What the server says of itself below `$SYS/broker`, by the names that mosquitto(8) gave and tools expect.
enum SystemTopics {
    /// Counted since the start.
    struct Traffic {
        var packetsReceived: UInt64 = 0
        var publishesReceived: UInt64 = 0
        var publishesSent: UInt64 = 0
        /// Payload bytes.
        var bytesReceived: UInt64 = 0
        var bytesSent: UInt64 = 0
    }
}

extension BrokerCore {
    /// Publishes what changed, retained: a subscriber that comes between two updates gets the last.
    func publishSystemTopics(_ others: [LocalMessage]) {
        let connected = clients.count - pendingCount
        let values: [(String, String)] = [
            ("version", "tidegate"),
            ("uptime", "\((now - startedAt) / 1_000_000_000) seconds"),
            ("clients/connected", "\(connected)"),
            ("clients/active", "\(connected)"),
            ("clients/disconnected", "\(sessions.count - connected)"),
            ("clients/inactive", "\(sessions.count - connected)"),
            ("clients/total", "\(sessions.count)"),
            ("clients/expired", "\(counters.expiredSessions)"),
            ("messages/received", "\(traffic.packetsReceived)"),
            ("publish/messages/received", "\(traffic.publishesReceived)"),
            ("publish/messages/sent", "\(traffic.publishesSent)"),
            ("publish/messages/dropped", "\(counters.dropped)"),
            ("publish/bytes/received", "\(traffic.bytesReceived)"),
            ("publish/bytes/sent", "\(traffic.bytesSent)"),
            ("retained messages/count", "\(retained.count - systemValues.count)"),
            ("subscriptions/count", "\(subscriptions.count + shared.count)"),
            ("shared_subscriptions/count", "\(shared.count)"),
            ("store/messages/bytes", "\(keptBytes)"),
        ]
        for (name, value) in values { publishSystemTopic("$SYS/broker/\(name)", Array(value.utf8)) }
        for message in others { publishSystemTopic(message.topic, message.payload) }
        endTurn()
    }

    private func publishSystemTopic(_ topic: String, _ payload: [UInt8]) {
        guard systemValues.updateValue(payload, forKey: topic) != payload else { return }
        let publish = Publish(topic: topic, payload: ByteBuffer(bytes: payload), retain: true)
        _ = retained.store(publish, from: nil, now: now)
        distribute(publish, from: nil)
    }
}
