package import MQTT

/// What the LAN side serves and how much of it. The defaults fit a board with 512 MB.
package struct BrokerConfiguration: Sendable {
    /// Those that the settings name. The server opens each when it is told to: ``BrokerServer/open(_:)``.
    package var listeners = [Listener(.tcp(ListenAddress(host: "127.0.0.1", port: 1_883)))]
    /// Who may come in with a user name; `nil`: names are not looked at.
    package var authenticator: (any Authenticator)?
    /// Who may do what; `nil`: everybody may do everything.
    package var accessPolicy: (any AccessPolicy)?
    /// Clients served at once.
    package var maximumClients = 1_000
    /// What one address may take of that.
    package var addressLimits = AddressLimits.Configuration()
    /// Connections that have not sent their CONNECT yet; beyond it the oldest of them is closed.
    package var maximumPending = 1_000
    /// Subscriptions of one client.
    package var maximumSubscriptions = 1_000
    /// Levels of a filter, and of a retained message's topic: each takes memory of its own in the trees.
    package var maximumTopicLevels = 200
    /// Sessions, connected or not.
    package var maximumSessions = 10_000
    /// How long a session may outlive its connection, in seconds; `UInt32.max`: for ever.
    package var maximumSessionExpiry = UInt32.max
    /// Bytes of messages that wait for sessions which outlive their connection, all together.
    package var maximumKeptBytes = 64 << 20
    /// Seconds between two updates of `$SYS`; 0: there is none.
    package var systemInterval: Int64 = 10
    /// Retained messages, in number and bytes.
    package var maximumRetained = 10_000
    package var maximumRetainedBytes = 8 << 20
    /// Bytes that wait for a client that reads slowly. QoS 0 messages beyond it are dropped; a client that lets
    /// four times as much pile up is closed.
    package var maximumOutputBytes = 256 << 10
    package var limits = ServerConnection.Limits()

    package init() {}
}
