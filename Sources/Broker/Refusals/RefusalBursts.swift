/// Which refusals are logged when anybody can cause as many as they like: the first of a key at once, the others of a minute
/// as one count. A value; times are monotonic nanoseconds.
///
/// Bounded: beyond `capacity` keys in a minute, the others are counted together.
package struct RefusalBursts: Sendable {
    package struct Key: Hashable, Sendable {
        package var kind: Refusal
        package var address: String
        /// What the refusals of one burst have in common.
        package var reason: String

        package init(kind: Refusal, address: String, reason: String) {
            self.kind = kind
            self.address = address
            self.reason = reason
        }
    }

    /// A burst that is over, or goes on for more than a minute.
    package struct Summary: Hashable, Sendable {
        /// `nil`: of all keys for which there was no place.
        package var key: Key?
        /// Refusals that were not logged.
        package var count: UInt64

        package init(key: Key?, count: UInt64) {
            self.key = key
            self.count = count
        }
    }

    private struct Entry: Sendable {
        var since: Int64
        var count: UInt64 = 0
    }

    /// Nanoseconds.
    package static let window: Int64 = 60_000_000_000
    private let capacity: Int
    private var entries: [Key: Entry] = [:]
    private var others = Entry(since: 0)

    package init(capacity: Int = 64) { self.capacity = capacity }

    /// When to call `summaries` next; `nil`: not before something else was noted.
    package var deadline: Int64? {
        var earliest = entries.values.lazy.map(\.since).min()
        if others.count > 0 { earliest = min(earliest ?? others.since, others.since) }
        return earliest.map { $0 + Self.window }
    }

    /// - Returns: whether it is to be logged now.
    package mutating func note(_ key: Key, now: Int64) -> Bool {
        if entries[key] != nil {
            entries[key]?.count += 1
            return false
        }
        guard entries.count < capacity else {
            if others.count == 0 { others.since = now }
            others.count += 1
            return false
        }
        entries[key] = Entry(since: now)
        return true
    }

    /// What to log of the bursts whose minute is over. Those that had no more than their first refusal are forgotten.
    package mutating func summaries(now: Int64) -> [Summary] {
        var due: [Summary] = []
        for (key, entry) in entries where now - entry.since >= Self.window {
            if entry.count > 0 {
                due.append(Summary(key: key, count: entry.count))
                entries[key] = Entry(since: now)
            } else {
                entries[key] = nil
            }
        }
        if others.count > 0, now - others.since >= Self.window {
            due.append(Summary(key: nil, count: others.count))
            others.count = 0
        }
        return due
    }
}

/// What a client can be refused.
package enum Refusal: Hashable, Sendable {
    case login
    case tlsHandshake
    case webSocketHandshake
    case breach
    case limit
    case silence
    case access

    /// The log line.
    var message: String {
        switch self {
        case .login: "a login was refused"
        case .tlsHandshake: "a TLS handshake failed"
        case .webSocketHandshake: "a WebSocket handshake was refused"
        case .breach: "a connection broke the protocol and was closed"
        case .limit: "a connection was refused"
        case .silence: "a connection sent no CONNECT in time"
        case .access: "the access rules deny a client something"
        }
    }
}
