import NIOCore

/// The QoS 1 messages on their way to one client: those sent and not acknowledged, at most the client's receive
/// maximum [MQTT-3.3.4-9], and those that wait behind them, bounded by number and bytes.
package struct OutboundWindow: Sendable {
    package enum Admission: Hashable, Sendable {
        /// Send it now, under this packet identifier.
        case send(packetIdentifier: UInt16)
        /// It waits for its turn.
        case queued
        /// There is no room: the newest gives way, and is counted.
        case dropped
    }

    private let window: Int
    private let queueLimit: Int
    private let queueByteLimit: Int
    private var inFlight: Set<UInt16> = []
    private var queue = CircularBuffer<Publish>(initialCapacity: 1)
    private var queuedBytes = 0
    private var lastIdentifier: UInt16 = 0

    /// Messages refused for want of room.
    package private(set) var dropped: UInt64 = 0

    package init(window: Int, queueLimit: Int, queueByteLimit: Int) {
        self.window = window
        self.queueLimit = queueLimit
        self.queueByteLimit = queueByteLimit
    }

    /// Messages that wait behind those in flight.
    package var queuedCount: Int { queue.count }

    /// Decides on a new message. The owner sends it when told so; a queued one is kept here.
    /// - Parameter hasRoom: the client's connection takes bytes right now.
    package mutating func admit(_ publish: @autoclosure () -> Publish, size: Int, hasRoom: Bool) -> Admission {
        if hasRoom, queuedCount == 0, inFlight.count < window { return .send(packetIdentifier: nextIdentifier()) }
        guard queuedCount < queueLimit, queuedBytes + size <= queueByteLimit else {
            dropped += 1
            return .dropped
        }
        queue.append(publish())
        queuedBytes += size
        return .queued
    }

    /// A message is done with: the client acknowledged it, or it is given up on. An identifier that is not in flight is ignored.
    package mutating func acknowledged(_ packetIdentifier: UInt16) { inFlight.remove(packetIdentifier) }

    /// The next waiting message that the window lets go, its packet identifier set.
    package mutating func next() -> Publish? {
        guard inFlight.count < window, var next = queue.popFirst() else { return nil }
        queuedBytes -= next.queuedSize
        if queue.isEmpty { queue = CircularBuffer(initialCapacity: 1) }
        next.packetIdentifier = nextIdentifier()
        return next
    }

    /// The next identifier that is not in use, from 1 up and around [MQTT-2.2.1-3].
    private mutating func nextIdentifier() -> UInt16 {
        repeat {
            lastIdentifier = lastIdentifier == .max ? 1 : lastIdentifier + 1
        } while inFlight.contains(lastIdentifier)
        inFlight.insert(lastIdentifier)
        return lastIdentifier
    }
}

extension Publish {
    /// What a waiting message counts against a byte bound.
    package var queuedSize: Int { topic.utf8.count + payload.readableBytes + 64 }
}
