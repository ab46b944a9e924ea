/// Names a session: by its client identifier and by the user who owns it. A client chooses its identifier and proves its
/// user name, so one identifier of two users names two sessions: no user can take, end or lock another user's session.
package struct SessionID: Hashable, Sendable, CustomStringConvertible {
    private let clientText: WireText
    private let userText: WireText?

    package init(client: String, user: String? = nil) {
        clientText = WireText(client)
        userText = user.map { WireText($0) }
    }

    package var client: String { clientText.string }
    /// `nil`: the client gave no user name. Such a session goes to the first user who connects with its identifier.
    package var user: String? { userText?.string }

    package var description: String { user.map { "\(client) of \($0)" } ?? client }
}

/// What of a session outlives its connection besides subscriptions and messages (MQTT 5.0 §4.1).
package struct SessionRecord: Hashable, Sendable {
    package var id: SessionID
    /// Seconds after the connection's end; `UInt32.max`: never.
    package var expiryInterval: UInt32
    /// Nanoseconds on the boot clock since when it has no connection; `nil` while it has one.
    package var awaySince: Int64?
    /// Not published yet.
    package var will: Will?

    package init(client: String, user: String? = nil, expiryInterval: UInt32, awaySince: Int64?, will: Will?) {
        self.init(
            id: SessionID(client: client, user: user), expiryInterval: expiryInterval, awaySince: awaySince, will: will)
    }

    package init(id: SessionID, expiryInterval: UInt32, awaySince: Int64?, will: Will?) {
        self.id = id
        self.expiryInterval = expiryInterval
        self.awaySince = awaySince
        self.will = will
    }
}

/// One step in the life of what the listener keeps over a restart. A batch of them, in order, is one transaction.
package enum SessionChange: Sendable {
    /// A session began, or its record changed.
    case session(SessionRecord)
    /// With everything that belongs to it.
    case sessionEnded(SessionID)
    /// `options`: the 5.0 subscription options byte (§3.8.3.1).
    case subscription(SessionID, filter: String, options: UInt8, identifier: UInt32?)
    case subscriptionEnded(SessionID, filter: String)
    /// A message that sessions wait for; `receivedAt` in nanoseconds on the boot clock.
    case message(number: UInt64, publish: Publish, receivedAt: Int64)
    /// No session waits for it any more.
    case messageEnded(number: UInt64)
    /// A session waits for a message; `number`: its place in the session's order. `message` is 0 where only the release
    /// is left to do.
    case queued(
        SessionID, number: UInt64, message: UInt64, qos: QoS, retain: Bool, subscriptionIdentifiers: [UInt32])
    /// It has its packet identifier; from `.pubcomp` on the message itself is not needed.
    case inFlight(SessionID, number: UInt64, packetIdentifier: UInt16, phase: OutboundWindow.Phase)
    case dequeued(SessionID, number: UInt64)
    /// A QoS 2 publish was taken, and its packet identifier not let go yet [MQTT-4.3.3-10].
    case received(SessionID, packetIdentifier: UInt16)
    case released(SessionID, packetIdentifier: UInt16)
    /// A topic's retained message; `storedAt` in nanoseconds on the boot clock.
    case retained(Publish, storedAt: Int64)
    case retainedEnded(topic: String)
}

/// Everything the session store kept, for the start.
package struct StoredSessions: Sendable {
    package struct Queued: Sendable {
        package var number: UInt64
        /// `nil` when only the release is left to do.
        package var message: UInt64?
        package var qos: QoS
        package var retain: Bool
        package var subscriptionIdentifiers: [UInt32]
        package var packetIdentifier: UInt16?
        package var phase: OutboundWindow.Phase?

        package init(
            number: UInt64, message: UInt64?, qos: QoS, retain: Bool, subscriptionIdentifiers: [UInt32],
            packetIdentifier: UInt16?, phase: OutboundWindow.Phase?
        ) {
            self.number = number
            self.message = message
            self.qos = qos
            self.retain = retain
            self.subscriptionIdentifiers = subscriptionIdentifiers
            self.packetIdentifier = packetIdentifier
            self.phase = phase
        }
    }

    package struct Subscription: Sendable {
        package var filter: String
        package var options: UInt8
        package var identifier: UInt32?

        package init(filter: String, options: UInt8, identifier: UInt32?) {
            self.filter = filter
            self.options = options
            self.identifier = identifier
        }
    }

    package struct Session: Sendable {
        package var record: SessionRecord
        package var subscriptions: [Subscription] = []
        /// In the order of their numbers.
        package var queue: [Queued] = []
        package var received: [UInt16] = []

        package init(record: SessionRecord) { self.record = record }
    }

    /// A message with the time it has waited, as far as that is known: time while the machine was off is not.
    package struct Message: Sendable {
        package var number: UInt64
        package var publish: Publish
        package var waitedNanoseconds: Int64

        package init(number: UInt64, publish: Publish, waitedNanoseconds: Int64) {
            self.number = number
            self.publish = publish
            self.waitedNanoseconds = waitedNanoseconds
        }
    }

    package var sessions: [Session] = []
    package var messages: [Message] = []
    package var retained: [Message] = []

    package init() {}
}

/// What came of writing everything anew.
package enum SessionRewrite: Sendable {
    case written
    /// Nothing was written: sessions that could not be read before were found, and are to be taken over first.
    case found(StoredSessions)
}

extension Subscribe.Filter {
    /// A subscription from its stored options byte.
    package init(_ filter: String, options: UInt8) {
        self.init(
            filter, qos: QoS(rawValue: options & 0x03) ?? .atMostOnce, noLocal: options & 0x04 != 0,
            retainAsPublished: options & 0x08 != 0,
            retainHandling: Subscribe.RetainHandling(rawValue: options >> 4 & 0x03) ?? .send)
    }
}
