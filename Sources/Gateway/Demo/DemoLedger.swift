import Broker
import Readings
import Synchronization
import Upstream

/// The demo's books: what the gateway took in, and what came out upstream, message by message.
final class DemoLedger: Sendable {
    /// One delivery: exactly what went over the wire.
    struct Delivery: Hashable, Sendable {
        var topic: String
        var payload: [UInt8]
    }

    struct Verdict: Sendable {
        var sent = 0
        var arrived = 0
        var missing = 0
        var repeated = 0
        var unexpected = 0
        var outOfOrder = 0
        /// Every reading arrived exactly as sent, in order. A repetition after an outage is what "at least once" means.
        var isComplete: Bool { sent > 0 && missing == 0 && unexpected == 0 && outOfOrder == 0 }
    }

    private struct Books {
        var sent: [Message] = []
        var arrived: [Delivery] = []
    }

    private let books = Mutex(Books())

    func record(sent messages: [Message]) { books.withLock { $0.sent += messages } }
    func record(arrived deliveries: [Delivery]) { books.withLock { $0.arrived += deliveries } }

    var counts: (sent: Int, arrived: Int) { books.withLock { ($0.sent.count, $0.arrived.count) } }
    /// What has arrived since the first `count` deliveries.
    func arrivals(after count: Int) -> ArraySlice<Delivery> {
        books.withLock { $0.arrived[min(count, $0.arrived.count)...] }
    }

    /// Compares both books. The outbox numbers each class's messages from 1, so what must come out is known exactly.
    func verdict() -> Verdict {
        let (sent, arrived) = books.withLock { ($0.sent, $0.arrived) }
        var sequences: [DeliveryClass: Int64] = [:]
        var expected: [Delivery: Int] = [:]
        for (index, message) in sent.enumerated() {
            let sequence = sequences[message.deliveryClass, default: 0] + 1
            sequences[message.deliveryClass] = sequence
            expected[Delivery(topic: message.topic, payload: message.wirePayload(sequence: sequence))] = index
        }
        var verdict = Verdict(sent: sent.count, arrived: arrived.count)
        var seen: Set<Int> = []
        var last = -1
        for delivery in arrived {
            guard let index = expected[delivery] else {
                verdict.unexpected += 1
                continue
            }
            guard seen.insert(index).inserted else {
                verdict.repeated += 1
                continue
            }
            if index < last { verdict.outOfOrder += 1 }
            last = max(last, index)
        }
        verdict.missing = expected.count - seen.count
        return verdict
    }
}
