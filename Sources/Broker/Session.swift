import MQTT

/// What the server knows of a client, connected or not (MQTT 5.0 §4.1). Lives on the event loop.
final class Session {
    struct Subscription: Sendable {
        var qos: QoS
        var noLocal: Bool
        var retainAsPublished: Bool
        var identifier: UInt32?

        /// The 5.0 subscription options byte (§3.8.3.1); retain handling is of no meaning after the SUBSCRIBE.
        var options: UInt8 { qos.rawValue | (noLocal ? 0x04 : 0) | (retainAsPublished ? 0x08 : 0) }
    }

    /// A QoS 2 publish whose packet identifier the client has not let go.
    enum Receipt {
        /// Not safe yet: PUBREC is owed under this token.
        case pending(connection: UInt64, publication: UInt64)
        case safe
    }

    /// Never reused while the process lives: subscriptions name a session by it.
    let number: UInt64
    /// Changes once at most: when a session of no user goes to the first user who asks for it.
    var id: SessionID
    /// What its client may do; `nil`: everything.
    var permissions: (any Permissions)?
    /// Its client wanted nothing of what was there before.
    let isClean: Bool
    /// `nil` while it has no connection.
    var client: Client?
    /// Seconds it outlives its connection; `UInt32.max`: for ever.
    var expiryInterval: UInt32 = 0
    /// It outlives its connection, or did so before: what it waits for is kept until it is acknowledged.
    var isKept = false
    var outbound: OutboundWindow
    /// By packet identifier.
    var received: [UInt16: Receipt] = [:]
    var subscriptions: [WireText: Subscription] = [:]
    var will: Will?
    /// Monotonic nanoseconds; `nil`: no will waits for its delay to pass.
    var willDueAt: Int64?
    /// Monotonic nanoseconds; `nil` while connected, and when it never ends.
    var endsAt: Int64?
    /// Since when it has no connection; monotonic nanoseconds.
    var awayAt: Int64?

    init(number: UInt64, id: SessionID, isClean: Bool, limits: ServerConnection.Limits) {
        self.number = number
        self.id = id
        self.isClean = isClean
        outbound = OutboundWindow(queueLimit: limits.queueCount, queueByteLimit: limits.queueBytes)
    }

    var identifier: String { id.client }
    /// The user who owns it; `nil`: nobody does.
    var user: String? { id.user }

    /// The next thing that time brings.
    var deadline: Int64? {
        switch (willDueAt, endsAt) {
        case (let will?, let end?): min(will, end)
        case (let will, let end): will ?? end
        }
    }

    func record(awaySince: Int64?) -> SessionRecord {
        SessionRecord(id: id, expiryInterval: expiryInterval, awaySince: awaySince, will: will)
    }
}
