import Broker
import Logging
import Pipeline
import Readings
import Sensors
import Synchronization
import Upstream

/// Takes what comes from the upstream to where the accept rules say: LAN subscribers and outputs.
///
/// The upstream broker gets its acknowledgement when subscribers' queues have the messages, kept sessions have them on
/// disk, and outputs have carried their commands out. An output that is slow does not hold it back for longer than
/// ``outputPatience``: its mailbox has the command then.
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

    private static let outputPatience = Duration.milliseconds(500)

    /// Called on the link's thread; does not block.
    /// - Parameter receipt: confirmed when a crash can lose nothing of `arrivals` any more.
    func accept(_ arrivals: [UpstreamArrival], receipt: ArrivalReceipt) {
        let rules = rules.withLock { $0 }
        if let topic = rules.timeTopic {
            for arrival in arrivals where arrival.topic == topic { UpstreamTime.tell(arrival, to: time) }
        }
        let messages = arrivals.compactMap { localMessage($0, rules) }
        let waiting = Countdown(messages.count + 1) { receipt.confirm() }
        for message in messages {
            let done = Once { waiting.countDown() }
            guard sensors.command(message.topic, payload: message.payload, done: { done() }) else {
                done()
                continue
            }
            Task.detached {
                try? await Task.sleep(for: Self.outputPatience)
                done()
            }
        }
        broker.publish(messages) { waiting.countDown() }
    }

    private func localMessage(_ arrival: UpstreamArrival, _ rules: Rules) -> LocalMessage? {
        switch rules.accept.way(for: arrival.topic) {
        case .out(let topic):
            return LocalMessage(
                topic: topic, payload: arrival.payload, retain: arrival.retain, expiry: arrival.expiry,
                properties: arrival.properties)
        case .none: return nil
        case .stopped(let rule):
            dropped.note(arrival.topic, rule: rule)
            return nil
        }
    }
}

/// Calls its body when it has been counted down to zero.
private final class Countdown: Sendable {
    private let left: Atomic<Int>
    private let body: @Sendable () -> Void

    init(_ count: Int, _ body: @escaping @Sendable () -> Void) {
        left = Atomic(count)
        self.body = body
    }

    func countDown() { if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { body() } }
}

/// Calls its body the first time it is called.
private final class Once: Sendable {
    private let isDone = Atomic(false)
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    func callAsFunction() { if !isDone.exchange(true, ordering: .acquiringAndReleasing) { body() } }
}
