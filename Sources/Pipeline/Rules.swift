package import Readings

/// LAN → upstream: which topics go up, where to, in which class, and whether their payloads are decoded on the way.
package struct ForwardRule: Sendable {
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
package struct AcceptRule: Sendable {
    package var from: TopicFilter
    package var to: TopicTemplate

    package init(from: TopicFilter, to: TopicTemplate) {
        self.from = from
        self.to = to
    }
}

/// The accept rules as one function: the first that matches decides.
package struct AcceptRules: Sendable {
    private let rules: [AcceptRule]

    package init(_ rules: [AcceptRule]) { self.rules = rules }

    /// Where a message from upstream comes out on the LAN; `nil` when no rule matches or the result is not a valid
    /// topic name.
    package func localTopic(for topic: String) -> String? {
        for rule in rules {
            if let match = rule.from.match(topic) { return rule.to.expand(topic: topic, device: "", match: match) }
        }
        return nil
    }
}
