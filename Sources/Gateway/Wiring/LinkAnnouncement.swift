import Readings
import Synchronization

/// Tells LAN devices whether the gateway reaches its upstream broker, where mosquitto's bridges tell it: `1` or `0` in
/// `$SYS/broker/connection/{id}/state`. The listener is made before the link, which is attached later.
final class LinkAnnouncement: Sendable {
    private struct Question: Sendable {
        let isConnected: @Sendable () -> Bool
    }

    private let topic: String
    private let question = Mutex<Question?>(nil)

    init(gateway: String) { topic = "$SYS/broker/connection/\(gateway)/state" }

    func attach(_ isConnected: @escaping @Sendable () -> Bool) {
        question.withLock { $0 = Question(isConnected: isConnected) }
    }

    var messages: [LocalMessage] {
        guard let question = question.withLock({ $0 }) else { return [] }
        return [LocalMessage(topic: topic, payload: Array((question.isConnected() ? "1" : "0").utf8), retain: true)]
    }
}
