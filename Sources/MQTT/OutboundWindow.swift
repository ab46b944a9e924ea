import DequeModule
import NIOCore

/// The QoS 1 and 2 messages on their way to one session: those sent and not fully acknowledged, at most the client's
/// receive maximum [MQTT-3.3.4-9], and those that wait behind them, bounded by number and bytes.
///
/// Lives as long as the session: after a reconnect everything unacknowledged is sent again, in its original order
/// [MQTT-4.4.0-1] [MQTT-4.6.0-1].
package struct OutboundWindow {
    package enum Admission: Hashable, Sendable {
        /// Send it now, under this packet identifier.
        case send(packetIdentifier: UInt16)
        /// It waits for its turn.
        case queued
        /// There is no room: the newest gives way, and is counted.
        case dropped
    }

    /// What a message in flight waits for.
    package enum Phase: UInt8, Sendable {
        case puback = 1
        case pubrec = 2
        case pubcomp = 3
    }

    /// A message that has its packet identifier.
    package struct InFlight {
        package var packetIdentifier: UInt16
        package var phase: Phase
        /// `nil` once it is not needed any more, and in sessions that end with their connection.
        package var delivery: Delivery?
        package var number: UInt64
        /// It was sent on an earlier connection, as far as is known: the next time carries DUP [MQTT-3.3.1-1].
        package var isRepeat: Bool
        /// It may be sent when this much of the session store is committed.
        package var after: UInt64 = 0
    }

    /// What to send next.
    package enum Step {
        case publish(Delivery, packetIdentifier: UInt16, dup: Bool)
        case pubrel(packetIdentifier: UInt16)
        /// A QoS 2 message got its packet identifier, which is to be stored before it is sent: call `hold`.
        case assigned(number: UInt64, packetIdentifier: UInt16)
        /// Its time was over before it was sent.
        case expired(Delivery)
    }

    /// What became of an acknowledgement.
    package enum Outcome {
        /// The message is done with.
        case done(number: UInt64, Delivery?)
        /// QoS 2, half way: answer with PUBREL, which may leave when what is noted of it is stored.
        case received(number: UInt64, Delivery?)
        /// No message with that identifier was sent on this connection, or it was acknowledged just so before.
        case unknown
        /// The message waits for another packet, so that this one breaks the protocol: it belongs to another QoS (§4.3), or
        /// to a later step.
        case outOfPlace
    }

    private var window = 0
    private var queueLimit: Int
    private var queueByteLimit: Int
    private var flight = Deque<InFlight>()
    /// Those before it were sent on this connection.
    private var sentCount = 0
    private var identifiers: Set<UInt16> = []
    private var queue = Deque<Delivery>()
    private var queuedBytes = 0
    private var wasLong = false
    private var lastIdentifier: UInt16 = 0
    private var lastNumber: UInt64 = 0

    /// Messages refused for want of room.
    package private(set) var dropped: UInt64 = 0

    package init(queueLimit: Int, queueByteLimit: Int) {
        self.queueLimit = queueLimit
        self.queueByteLimit = queueByteLimit
    }

    /// Other bounds for what comes from now on; messages that wait already stay.
    package mutating func limit(count: Int, bytes: Int) {
        queueLimit = count
        queueByteLimit = bytes
    }

    /// Messages that wait behind those in flight.
    package var queuedCount: Int { queue.count }
    package var inFlightCount: Int { flight.count }

    /// Every message that is not done with.
    package var deliveries: [Delivery] { flight.compactMap(\.delivery) + queue }

    /// The messages that have their packet identifier, and those that wait behind them: what the session store keeps.
    package var kept: (inFlight: [InFlight], waiting: [Delivery]) { (Array(flight), Array(queue)) }

    // MARK: Connections

    /// A connection takes over: what is in flight is sent anew by `next`, at most `window` at once.
    package mutating func resume(window: Int) {
        self.window = window
        sentCount = 0
    }

    // MARK: Messages

    /// Decides on a message of a session that ends with its connection. The owner sends it when told so; a queued one
    /// is kept here.
    /// - Parameter hasRoom: the client's connection takes bytes right now.
    package mutating func admit(_ delivery: @autoclosure () -> Delivery, qos: QoS, size: Int, hasRoom: Bool)
        -> Admission
    {
        if hasRoom, queue.isEmpty, flight.count < window, sentCount == flight.count {
            let identifier = nextIdentifier()
            flight.append(
                InFlight(
                    packetIdentifier: identifier, phase: qos == .exactlyOnce ? .pubrec : .puback, number: 0,
                    isRepeat: true))
            sentCount += 1
            return .send(packetIdentifier: identifier)
        }
        return enqueue(delivery(), size: size) == nil ? .dropped : .queued
    }

    /// Lets a message wait for its turn; returns its number, or `nil` when there is no room.
    package mutating func enqueue(_ delivery: Delivery, size: Int) -> UInt64? {
        guard queue.count < queueLimit, queuedBytes + size <= queueByteLimit else {
            dropped += 1
            return nil
        }
        var delivery = delivery
        lastNumber += 1
        delivery.number = lastNumber
        queue.append(delivery)
        queuedBytes += size
        if queue.count > 64 { wasLong = true }
        return lastNumber
    }

    /// Puts back what the session store kept, in the order of the numbers.
    package mutating func restore(_ delivery: Delivery, inFlight: (packetIdentifier: UInt16, phase: Phase)?) {
        lastNumber = max(lastNumber, delivery.number)
        if let inFlight {
            flight.append(
                InFlight(
                    packetIdentifier: inFlight.packetIdentifier, phase: inFlight.phase,
                    delivery: inFlight.phase == .pubcomp ? nil : delivery, number: delivery.number, isRepeat: true))
            identifiers.insert(inFlight.packetIdentifier)
            lastIdentifier = inFlight.packetIdentifier
        } else {
            queue.append(delivery)
            queuedBytes += delivery.message.size
        }
    }

    /// The next thing to send on this connection; `nil`: nothing may be sent right now.
    /// - Parameters:
    ///   - keeps: the session outlives its connection, so messages are kept until they are acknowledged.
    ///   - committed: how much of the session store is committed.
    package mutating func next(keeps: Bool, committed: UInt64, now: Int64) -> Step? {
        if sentCount < flight.count {
            let index = sentCount
            let entry = flight[index]
            guard sentCount < window, entry.after <= committed else { return nil }
            sentCount += 1
            if entry.phase == .pubcomp { return .pubrel(packetIdentifier: entry.packetIdentifier) }
            flight[index].isRepeat = true
            guard let delivery = entry.delivery else { preconditionFailure("what is sent again was kept") }
            return .publish(delivery, packetIdentifier: entry.packetIdentifier, dup: entry.isRepeat)
        }
        guard let first = queue.first else { return nil }
        let isExpired = first.message.isExpired(now: now)
        guard isExpired || flight.count < window else { return nil }
        queue.removeFirst()
        queuedBytes -= first.message.size
        if queue.isEmpty, wasLong {
            // The room of a queue that was long once is given back.
            queue = Deque()
            wasLong = false
        }
        if isExpired { return .expired(first) }
        let identifier = nextIdentifier()
        let mustBeStored = keeps && first.qos == .exactlyOnce
        flight.append(
            InFlight(
                packetIdentifier: identifier, phase: first.qos == .exactlyOnce ? .pubrec : .puback,
                delivery: keeps ? first : nil, number: first.number, isRepeat: !mustBeStored,
                after: mustBeStored ? .max : 0))
        if mustBeStored { return .assigned(number: first.number, packetIdentifier: identifier) }
        sentCount += 1
        return .publish(first, packetIdentifier: identifier, dup: false)
    }

    /// The message that was just assigned its identifier may be sent once `sequence` of the session store is committed.
    package mutating func hold(until sequence: UInt64) {
        guard !flight.isEmpty else { return }
        flight[flight.count - 1].after = sequence
    }

    // MARK: Acknowledgements

    /// PUBACK, or PUBREC with an error: the message is done with [MQTT-4.3.2-3] [MQTT-4.3.3-4].
    package mutating func acknowledged(_ packetIdentifier: UInt16, phase: Phase) -> Outcome {
        guard let index = flight.firstIndex(where: { $0.packetIdentifier == packetIdentifier }), index < sentCount
        else { return .unknown }
        switch (flight[index].phase, phase) {
        case (.puback, .puback), (.pubrec, .pubrec), (.pubcomp, .pubcomp): return remove(at: index)
        // PUBREC came before; this one has an error, too late.
        case (.pubcomp, .pubrec): return .unknown
        default: return .outOfPlace
        }
    }

    /// PUBREC: the receiver has the message [MQTT-4.3.3-5].
    package mutating func received(_ packetIdentifier: UInt16) -> Outcome {
        guard let index = flight.firstIndex(where: { $0.packetIdentifier == packetIdentifier }),
            index < sentCount
        else { return .unknown }
        switch flight[index].phase {
        case .puback: return .outOfPlace
        case .pubcomp: return .received(number: flight[index].number, nil)
        case .pubrec:
            flight[index].phase = .pubcomp
            let delivery = flight[index].delivery.take()
            return .received(number: flight[index].number, delivery)
        }
    }

    /// A message that has its identifier cannot be sent, and is given up on.
    package mutating func giveUp(_ packetIdentifier: UInt16) -> Outcome {
        guard let index = flight.firstIndex(where: { $0.packetIdentifier == packetIdentifier }) else { return .unknown }
        return remove(at: index)
    }

    private mutating func remove(at index: Int) -> Outcome {
        let entry = flight[index]
        if index < sentCount { sentCount -= 1 }
        identifiers.remove(entry.packetIdentifier)
        flight.remove(at: index)
        return .done(number: entry.number, entry.delivery)
    }

    /// The next identifier that is not in use, from 1 up and around [MQTT-2.2.1-3].
    private mutating func nextIdentifier() -> UInt16 {
        repeat {
            lastIdentifier = lastIdentifier == .max ? 1 : lastIdentifier + 1
        } while identifiers.contains(lastIdentifier)
        identifiers.insert(lastIdentifier)
        return lastIdentifier
    }
}

extension Publish {
    /// What a waiting message counts against a byte bound.
    package var queuedSize: Int { topic.utf8.count + payload.readableBytes + 64 }
}
