/// All access rules together. Without any everything is allowed; once there is one, what none allows is denied.
package struct AccessRules: Hashable, Sendable {
    package let rules: [AccessRule]
    /// Nothing is allowed but what a rule allows, even when there is none: see ``StateStore/recovery``.
    package let isClosed: Bool

    package init(_ rules: [AccessRule] = [], isClosed: Bool = false) {
        self.rules = rules
        self.isClosed = isClosed
    }

    /// What one client may do; to be kept for as long as its connection and these rules hold. Cost: one pass over the
    /// rules.
    /// - Parameter user: `nil` for a client that gave no name.
    package func access(user: String?, client: String) -> ClientAccess {
        guard isClosed || !rules.isEmpty else { return .unrestricted }
        var access = ClientAccess.none
        for rule in rules where rule.isFor(user) {
            guard let filter = rule.filter(user: user, client: client) else { continue }
            access.add(rule.access, filter)
        }
        return access
    }

    /// Whether any rule gives a client anything at all.
    package func isAllowedAnything(user: String?, client: String) -> Bool {
        (!isClosed && rules.isEmpty)
            || rules.contains { $0.isFor(user) && $0.filter(user: user, client: client) != nil }
    }

    /// Why a client may not use its identifier: a rule with `{client}` is for it, and the identifier would stand for other
    /// topics than one level. `nil`: it may.
    package func refusal(user: String?, client: String) -> String? {
        guard !AccessRule.isPlainLevel(client), rules.contains(where: { $0.isFor(user) && $0.namesClient }) else {
            return nil
        }
        return "an access rule with {client} takes no client identifier with +, #, /, a leading $ or control characters"
    }

    /// One question, answered without keeping anything.
    /// - Parameter topic: a topic name; for `.subscribe` a filter, and for `.readwrite` a name that must be allowed
    ///   in all three ways.
    package func allows(user: String?, client: String, access action: AccessRule.Access, topic: String) -> Bool {
        let access = access(user: user, client: client)
        return switch action {
        case .read: access.mayReceive(topic)
        case .write: access.mayPublish(topic)
        case .subscribe: access.maySubscribe(topic)
        case .readwrite: access.mayReceive(topic) && access.mayPublish(topic) && access.maySubscribe(topic)
        }
    }
}
