import Readings
import Upstream

/// Tells LAN devices whether the gateway reaches its upstream broker, where mosquitto's bridges tell it: `1` or `0` in
/// `$SYS/broker/connection/{id}/state`.
struct LinkAnnouncement: Sendable {
    private let topic: String
    private let link: CurrentLink

    init(gateway: String, link: CurrentLink) {
        topic = "$SYS/broker/connection/\(gateway)/state"
        self.link = link
    }

    var messages: [LocalMessage] {
        let isConnected = link.link?.snapshot().state.isUp == true
        return [LocalMessage(topic: topic, payload: Array((isConnected ? "1" : "0").utf8), retain: true)]
    }
}
