internal import MQTT

/// What one client may do, compiled from the rules that are for it.
package struct ClientAccess: Hashable, Sendable {
    /// No rules: everything is allowed, at the cost of one comparison.
    package static let unrestricted = ClientAccess(isUnrestricted: true)
    /// Rules, and none of them for this client.
    package static let none = ClientAccess(isUnrestricted: false)

    /// Nothing has to be asked.
    package let isUnrestricted: Bool
    private var read: [TopicPattern] = []
    private var write: [TopicPattern] = []
    /// Filters.
    private var subscribe: [String] = []

    private init(isUnrestricted: Bool) { self.isUnrestricted = isUnrestricted }

    mutating func add(_ access: AccessRule.Access, _ filter: String) {
        if access.permits(.read) { read.append(TopicPattern(filter)) }
        if access.permits(.write) { write.append(TopicPattern(filter)) }
        if access.permits(.subscribe) { subscribe.append(filter) }
    }

    /// Whether it may publish to a topic name. No allocation, linear in the client's rules.
    package func mayPublish(_ topic: String) -> Bool {
        isUnrestricted || write.contains { $0.matches(topic) }
    }

    /// Whether a message on this topic may be sent to it. No allocation, linear in the client's rules.
    package func mayReceive(_ topic: String) -> Bool {
        isUnrestricted || read.contains { $0.matches(topic) }
    }

    /// Whether it may subscribe with a filter: one rule alone must cover all of it. Of a shared subscription the filter
    /// behind `$share/NAME/` counts.
    package func maySubscribe(_ filter: String) -> Bool {
        guard !isUnrestricted else { return true }
        guard Topic.isValidFilter(filter) else { return false }
        let filter = Topic.unshared(filter)
        return subscribe.contains { Topic.filter($0, covers: filter) }
    }
}
