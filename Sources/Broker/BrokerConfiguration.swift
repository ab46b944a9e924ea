package import MQTT

/// An address to listen on.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    package var host: String
    /// 0: any free port.
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Parses `127.0.0.1:1883`, `[::1]:1883` or `localhost:1883`; `nil` for anything else.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65_535).contains(port)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, !host.contains(where: { $0 == " " || $0 == "/" }) else { return nil }
        self.init(host: String(host), port: port)
    }

    /// Reachable from this machine only.
    package var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// What the LAN listener serves and how much of it. The defaults fit a board with 512 MB.
package struct BrokerConfiguration: Sendable {
    package var listen = [ListenAddress(host: "127.0.0.1", port: 1_883)]
    /// Who may come in; `nil`: anybody, on loopback addresses only.
    package var authenticator: (any Authenticator)?
    /// Clients served at once.
    package var maximumClients = 1_000
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

    /// Why it would not be safe to listen on `address`; `nil` when it is.
    package func refusal(of address: ListenAddress) -> BrokerError? {
        guard !address.isLoopback, authenticator == nil else { return nil }
        return BrokerError(
            .unsafe, doing: "listen on \(address)",
            reason: "it can be reached from the network, and nobody would be asked for a password",
            remedy: "listen on 127.0.0.1 or [::1]")
    }

    /// Refuses what would not be safe.
    package func validate() throws(BrokerError) {
        for address in listen {
            if let refusal = refusal(of: address) { throw refusal }
        }
    }
}
