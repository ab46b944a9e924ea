package import Readings

/// LAN → upstream: which topics go up, where to, in which class, and whether their payloads are decoded on the way.
package struct ForwardRule: Hashable, Sendable {
    package var from: TopicFilter
    /// `nil`: not known, since the settings have a mistake there. Nothing that the rule matches goes upstream or is
    /// acknowledged until that is mended; devices keep it.
    package var to: TopicTemplate?
    package var deliveryClass: DeliveryClass
    /// `nil` passes a device's payload through byte for byte.
    package var treatment: Treatment?

    package init(
        from: TopicFilter, to: TopicTemplate?, deliveryClass: DeliveryClass = .telemetry, treatment: Treatment? = nil
    ) {
        self.from = from
        self.to = to
        self.deliveryClass = deliveryClass
        self.treatment = treatment
    }

    /// Holds whatever no rule before it takes.
    package static let holdingEverything = ForwardRule(from: .everything, to: nil)
}

/// Upstream → LAN: which topics are subscribed to upstream, and where they come out.
package struct AcceptRule: Hashable, Sendable {
    package var from: TopicFilter
    /// `nil`: not known, since the settings have a mistake there. What the rule matches comes out nowhere.
    package var to: TopicTemplate?

    package init(from: TopicFilter, to: TopicTemplate?) {
        self.from = from
        self.to = to
    }
}

/// The accept rules as one function: the first that matches decides.
package struct AcceptRules: Sendable {
    private let rules: [AcceptRule]

    package init(_ rules: [AcceptRule]) { self.rules = rules }

    /// Where a message from upstream comes out on the LAN; `nil` when no rule matches, or the one that does makes no
    /// valid topic of it.
    package func localTopic(for topic: String) -> String? {
        if case .out(let topic) = way(for: topic) { topic } else { nil }
    }

    package enum Way: Hashable, Sendable {
        case out(String)
        /// No rule matches, or the one that does makes no valid topic of it.
        case none
        /// The rule that matches has a mistake in the settings.
        case stopped(rule: String)
    }

    package func way(for topic: String) -> Way {
        for rule in rules {
            guard let match = rule.from.match(topic) else { continue }
            guard let to = rule.to else { return .stopped(rule: rule.from.description) }
            return to.expand(topic: topic, device: "", match: match).map { .out($0) } ?? .none
        }
        return .none
    }
}
