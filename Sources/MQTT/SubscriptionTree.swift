/// Who subscribed to what, searched by topic level.
package struct SubscriptionTree<Subscriber: Hashable & Sendable, Options: Sendable>: Sendable {
    package init() {}

    /// Adds or replaces `subscriber`'s subscription to `filter`; true when it was new.
    package mutating func insert(_ subscriber: Subscriber, filter: String, options: Options) -> Bool { false }

    /// True when there was such a subscription.
    package mutating func remove(_ subscriber: Subscriber, filter: String) -> Bool { false }

    /// Calls `body` once per matching subscription (a subscriber with overlapping filters comes several times).
    package func forEachMatch(topic: String, _ body: (Subscriber, Options) -> Void) {}
}
