import MQTT
import NIOCore

/// SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 §3.8 … §3.11).
extension BrokerCore {
    /// Each filter is answered in its place: one that is none, or is not allowed, does not cost the others of its packet
    /// their subscription, nor the client its connection, and is never matched [MQTT-4.7.1-1] [MQTT-4.7.1-2].
    func subscribe(_ packet: Subscribe, _ session: Session, _ client: Client) {
        let identifier = packet.properties.subscriptionIdentifier
        var deliveries: [(Subscribe.Filter, isNew: Bool)] = []
        let reasons = packet.filters.map { filter -> ReasonCode in
            guard Topic.isValidFilter(filter.filter) else { return .topicFilterInvalid }
            if let permissions = session.permissions, !permissions.maySubscribe(filter.filter) {
                noteDenial(.subscribe, filter.filter, of: session)
                return .notAuthorized
            }
            guard
                session.subscriptions[WireText(filter.filter)] != nil
                    || session.subscriptions.count < configuration.maximumSubscriptions,
                Topic.levelCount(filter.filter) <= configuration.maximumTopicLevels
            else {
                counters.refusedSubscriptions += 1
                return .quotaExceeded
            }
            let isNew = insertSubscription(filter, identifier: identifier, of: session)
            if session.isKept {
                record(
                    .subscription(
                        session.id, filter: filter.filter, options: filter.options,
                        identifier: identifier))
            }
            // No retained messages come with a shared subscription (§4.8.2).
            if !Topic.isShared(filter.filter) { deliveries.append((filter, isNew)) }
            return ReasonCode(granted: filter.qos)
        }
        // The SUBACK goes first, as every client expects, though either order is allowed [MQTT-3.8.4-1].
        let suback = Suback(packetIdentifier: packet.packetIdentifier, reasons: reasons)
        if session.isKept {
            hold(.packet(.suback(suback), client: client.number))
        } else {
            send(.suback(suback), to: client)
        }
        let now = now
        for (filter, isNew) in deliveries {
            switch filter.retainHandling {
            case .send: break
            case .sendIfNew where isNew: break
            case .sendIfNew, .doNotSend: continue
            }
            let excluded = filter.noLocal ? session.id : nil
            for publish in retained.matches(filter.filter, without: excluded, now: now) where !client.isClosing {
                var fanOut = FanOut(publish, allocator: allocator, now: now)
                // Sent because of the subscription: the retain flag says so [MQTT-3.3.1-8].
                deliver(
                    &fanOut, to: session, qos: min(filter.qos, publish.qos), retain: true,
                    identifiers: identifier.map { [$0] } ?? [])
            }
        }
    }

    /// Adds or replaces a subscription; true when it was new [MQTT-3.8.4-3].
    @discardableResult
    func insertSubscription(_ filter: Subscribe.Filter, identifier: UInt32?, of session: Session) -> Bool {
        let subscription = Session.Subscription(
            qos: filter.qos, noLocal: filter.noLocal, retainAsPublished: filter.retainAsPublished,
            identifier: identifier)
        session.subscriptions[WireText(filter.filter)] = subscription
        return Topic.isShared(filter.filter)
            ? shared.insert(session.number, filter: filter.filter, subscription: subscription)
            : subscriptions.insert(session.number, filter: filter.filter, options: subscription)
    }

    func removeSubscription(_ filter: String, of session: Session) {
        if Topic.isShared(filter) {
            shared.remove(session.number, filter: filter)
        } else {
            subscriptions.remove(session.number, filter: filter)
        }
    }

    func unsubscribe(_ packet: Unsubscribe, _ session: Session, _ client: Client) {
        let reasons = packet.filters.map { filter -> ReasonCode in
            guard Topic.isValidFilter(filter) else { return .topicFilterInvalid }
            guard session.subscriptions.removeValue(forKey: WireText(filter)) != nil else {
                return .noSubscriptionExisted
            }
            removeSubscription(filter, of: session)
            if session.isKept { record(.subscriptionEnded(session.id, filter: filter)) }
            return .success
        }
        let unsuback = Unsuback(packetIdentifier: packet.packetIdentifier, reasons: reasons)
        if session.isKept {
            hold(.packet(.unsuback(unsuback), client: client.number))
        } else {
            send(.unsuback(unsuback), to: client)
        }
    }
}

extension ReasonCode {
    init(granted qos: QoS) {
        self =
            switch qos {
            case .atMostOnce: .success
            case .atLeastOnce: .grantedQoS1
            case .exactlyOnce: .grantedQoS2
            }
    }
}
