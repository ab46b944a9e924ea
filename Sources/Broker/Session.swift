import MQTT

/// What the server knows of a client, connected or not (MQTT 5.0 §4.1). Lives on the event loop.
final class Session {
    struct Subscription: Sendable {
        var qos: QoS
        var noLocal: Bool
        var retainAsPublished: Bool
        var identifier: UInt32?
    }

    /// A QoS 2 publish whose packet identifier the client has not let go.
    enum Receipt {
        /// Not safe yet: PUBREC is owed under this token.
        case pending(connection: UInt64, publication: UInt64)
        case safe
    }

    /// Never reused while the process lives: subscriptions name a session by it.
    let number: UInt64
    let identifier: String
    /// Whose it is; `nil`: anybody's.
    var user: String?
    /// What its client may do; `nil`: everything.
    var permissions: (any Permissions)?
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

    init(number: UInt64, identifier: String, limits: ServerConnection.Limits) {
        self.number = number
        self.identifier = identifier
        outbound = OutboundWindow(queueLimit: limits.queueCount, queueByteLimit: limits.queueBytes)
    }

    /// The next thing that time brings.
    var deadline: Int64? {
        switch (willDueAt, endsAt) {
        case (let will?, let end?): min(will, end)
        case (let will, let end): will ?? end
        }
    }

    func record(awaySince: Int64?) -> SessionRecord {
        SessionRecord(
            client: identifier, user: user, expiryInterval: expiryInterval, awaySince: awaySince, will: will)
    }
}
