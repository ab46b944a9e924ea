import Broker
import Logging
import Pipeline
import Readings
import Sensors
import Synchronization
import Upstream

/// Takes what comes from the upstream to where the accept rules say: LAN subscribers and outputs.
final class CommandRouter: Sendable {
    private struct Rules: Sendable {
        var accept: AcceptRules
        var timeTopic: String?
    }

    private let rules: Mutex<Rules>
    private let broker: BrokerServer
    private let sensors: SensorHub
    private let time: any TimeSource
    private let dropped: DroppedCommandLog

    init(
        accept: [AcceptRule], timeTopic: String?, broker: BrokerServer, sensors: SensorHub,
        time: any TimeSource, logger: Logger
    ) {
        rules = Mutex(Rules(accept: AcceptRules(accept), timeTopic: timeTopic))
        self.broker = broker
        self.sensors = sensors
        self.time = time
        dropped = DroppedCommandLog(logger: logger)
    }

    /// Routes by other rules from the next message on.
    func reconfigure(accept: [AcceptRule], timeTopic: String?) {
        rules.withLock { $0 = Rules(accept: AcceptRules(accept), timeTopic: timeTopic) }
    }

    /// Called on the link's thread; does not block.
    func accept(_ arrivals: [UpstreamArrival]) {
        let rules = rules.withLock { $0 }
        if let topic = rules.timeTopic {
            for arrival in arrivals where arrival.topic == topic { UpstreamTime.tell(arrival, to: time) }
        }
        let local = arrivals.compactMap { arrival -> LocalMessage? in
            switch rules.accept.way(for: arrival.topic) {
            case .out(let topic):
                return LocalMessage(
                    topic: topic, payload: arrival.payload, retain: arrival.retain, expiry: arrival.expiry,
                    properties: arrival.properties)
            case .none: break
            case .stopped(let rule): dropped.note(arrival.topic, rule: rule)
            }
            return nil
        }
        broker.publish(local)
        for message in local { sensors.command(message.topic, payload: message.payload) }
    }
}
