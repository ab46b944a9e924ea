package import Readings

/// What the listener is doing right now.
package struct BrokerSnapshot: Sendable {
    package struct Client: Sendable {
        package var id: String
        /// The peer's address, without its port.
        package var address: String
        /// `nil` for one that nobody asked for its name.
        package var user: String?
        /// "3.1", "3.1.1" or "5.0".
        package var version: String
        package var connectedSince: Instant
        /// Publishes from and to the client.
        package var received: UInt64
        package var sent: UInt64
    }

    /// Counted since the start.
    package struct Counters: Sendable {
        package var accepted: UInt64 = 0
        /// CONNECTs that were refused, for whatever reason.
        package var refused: UInt64 = 0
        /// Among them: wrong passwords, unknown users, and nameless clients where a name is asked for.
        package var refusedLogins: UInt64 = 0
        /// Among them, and connections closed unheard: more from one address than it may have.
        package var refusedAddresses: UInt64 = 0
        /// Publishes and subscriptions that no access rule allows.
        package var denied: UInt64 = 0
        /// Subscriptions beyond what a client may have.
        package var refusedSubscriptions: UInt64 = 0
        /// Connections closed for a malformed packet or another breach of the protocol.
        package var violations: UInt64 = 0
        /// Connections closed because they sent no CONNECT, in time or before newer ones took their place.
        package var silent: UInt64 = 0
        /// Messages for slow clients that were given up on.
        package var dropped: UInt64 = 0
        /// Sessions whose expiry passed while they had no connection.
        package var expiredSessions: UInt64 = 0
        /// Retained messages refused for want of room.
        package var retainedRefused: UInt64 = 0
    }

    /// Something that the access rules deny.
    package struct Denial: Hashable, Sendable {
        package enum Action: String, Hashable, Sendable {
            case publish = "publish to"
            case subscribe = "subscribe to"
        }

        package struct Subject: Hashable, Sendable {
            /// `nil`: clients that gave no user name.
            package var user: String?
            package var action: Action
            /// Or the filter; at most 200 bytes of it.
            package var topic: String
        }

        package var subject: Subject
        /// Since the start; of rare ones perhaps too large.
        package var count: UInt64
    }

    /// Where it really listens.
    package var listening: [String]
    /// In the order they connected.
    package var clients: [Client]
    package var counters: Counters
    /// Sessions, connected or not.
    package var sessions: Int
    package var subscriptions: Int
    package var retained: Int
    /// Why sessions cannot be stored right now.
    package var storeProblem: String?
    /// What the access rules deny most, the most frequent first.
    package var denials: [Denial] = []
}
