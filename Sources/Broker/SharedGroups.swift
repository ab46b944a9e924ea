import MQTT

/// Shared subscriptions (MQTT 5.0 §4.8.2): each message goes to one member of a group, in turn.
struct SharedGroups {
    /// Members of one group with one filter.
    private final class Group {
        var members: [(session: UInt64, subscription: Session.Subscription)] = []
        var next = 0
    }

    private var tree = SubscriptionTree<WireText, Group>()
    private var groups: [WireText: Group] = [:]

    /// Subscriptions in all groups.
    private(set) var count = 0

    /// The group's name and filter in `$share/name/filter`, which is valid.
    private static func parts(_ filter: String) -> (name: WireText, filter: String) {
        let parts = filter.utf8.split(separator: UInt8(ascii: "/"), maxSplits: 2, omittingEmptySubsequences: false)
        return (WireText(String(Substring(parts[1]))), String(Substring(parts[2])))
    }

    /// Adds or replaces a member; true when it was new.
    mutating func insert(_ session: UInt64, filter: String, subscription: Session.Subscription) -> Bool {
        let group = groups[WireText(filter)] ?? Group()
        if groups.updateValue(group, forKey: WireText(filter)) == nil {
            let (name, plain) = Self.parts(filter)
            tree.insert(name, filter: plain, options: group)
        }
        if let index = group.members.firstIndex(where: { $0.session == session }) {
            group.members[index].subscription = subscription
            return false
        }
        group.members.append((session, subscription))
        count += 1
        return true
    }

    mutating func remove(_ session: UInt64, filter: String) {
        guard let group = groups[WireText(filter)],
            let index = group.members.firstIndex(where: { $0.session == session })
        else { return }
        group.members.remove(at: index)
        count -= 1
        if index < group.next { group.next -= 1 }
        if group.members.isEmpty {
            groups[WireText(filter)] = nil
            let (name, plain) = Self.parts(filter)
            tree.remove(name, filter: plain)
        }
    }

    /// Calls `body` with one member of every group that the topic concerns: the next in turn that `isReady`, else the
    /// next in turn [MQTT-4.8.2-4] [MQTT-4.8.2-5].
    func forEachMatch(
        topic: String, isReady: (UInt64) -> Bool, _ body: (UInt64, Session.Subscription) -> Void
    ) {
        guard count > 0 else { return }
        tree.forEachMatch(topic: topic) { _, group in
            let members = group.members.count
            let offset = (0..<members).first { isReady(group.members[(group.next + $0) % members].session) } ?? 0
            let index = (group.next + offset) % members
            group.next = (index + 1) % members
            body(group.members[index].session, group.members[index].subscription)
        }
    }
}
