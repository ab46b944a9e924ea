import MQTT
import NIOCore
import Readings

/// How sessions begin, go on without a connection, and end (MQTT 5.0 §3.1.2.4, §3.1.2.11.2, §4.1).
extension BrokerCore {
    /// The session that a client finds: the one of its identifier and its user or, where there is none, one that no user
    /// owns.
    func find(_ id: SessionID) -> Session? {
        sessionByID[id] ?? (id.user == nil ? nil : sessionByID[SessionID(client: id.client)])
    }

    /// The session of a client that connects, and whether the server had it already [MQTT-3.1.2-4] [MQTT-3.1.2-5].
    func open(_ id: SessionID, cleanStart: Bool) -> (Session, isPresent: Bool) {
        if let old = find(id) {
            if !cleanStart {
                if old.id != id { give(old, to: id) }
                old.endsAt = nil
                // A new connection before the delay has passed: the will is not published [MQTT-3.1.3-9].
                old.willDueAt = nil
                return (old, true)
            }
            finish(old)
        }
        return (begin(id, isClean: cleanStart), false)
    }

    private func begin(_ id: SessionID, isClean: Bool) -> Session {
        let session = Session(number: nextSession, id: id, isClean: isClean, limits: configuration.limits)
        nextSession += 1
        sessions[session.number] = session
        sessionByID[id] = session
        return session
    }

    /// A session that no user owned belongs to a user from now on.
    private func give(_ session: Session, to id: SessionID) {
        if session.isKept { record(.sessionEnded(session.id)) }
        sessionByID[session.id] = nil
        session.id = id
        sessionByID[id] = session
        if session.isKept { for change in changes(of: session, now: now) { record(change) } }
    }

    /// The session's connection is gone: its will is due now or after its delay [MQTT-3.1.2-8], and the session ends
    /// now or after its expiry.
    func disconnected(_ session: Session) {
        session.client = nil
        session.outbound.resume(window: 0)
        guard session.expiryInterval > 0 else { return finish(session) }
        let now = now
        session.awayAt = now
        if session.expiryInterval != .max { session.endsAt = now + Int64(session.expiryInterval) * 1_000_000_000 }
        if let will = session.will {
            let delay = Int64(will.properties.willDelayInterval ?? 0)
            if delay == 0 { publishWill(of: session) } else { session.willDueAt = now + delay * 1_000_000_000 }
        }
        record(.session(session.record(awaySince: bootTime(now))))
        if let deadline = session.deadline { schedule(deadline) }
    }

    /// The session ends, and with it its subscriptions and everything that waited for it; its will is due at the latest
    /// now [MQTT-3.1.3-9].
    func finish(_ session: Session) {
        publishWill(of: session)
        guard sessions.removeValue(forKey: session.number) != nil else { return }
        sessionByID[session.id] = nil
        counters.dropped += session.outbound.dropped
        for filter in session.subscriptions.keys { removeSubscription(filter.string, of: session) }
        if session.isKept {
            for delivery in session.outbound.deliveries { release(delivery.message) }
            record(.sessionEnded(session.id))
        }
    }

    private func publishWill(of session: Session) {
        session.willDueAt = nil
        // Nobody speaks for the server, dead or alive.
        guard let will = session.will.take(), !Self.isReserved(will.topic) else { return }
        if let permissions = session.permissions, !permissions.mayPublish(will.topic) {
            noteDenial(.publish, will.topic, of: session)
            return
        }
        var publish = Publish(
            topic: will.topic, payload: will.payload, qos: will.qos, retain: will.retain, properties: will.properties)
        publish.properties.removeHopProperties()
        take(publish, from: session, settle: nil)
    }

    /// Wills whose delay has passed, and sessions whose time is over.
    func sessionsDue() {
        let now = now
        var next: Int64?
        for session in Array(sessions.values) {
            guard let deadline = session.deadline else { continue }
            if deadline > now {
                next = min(next ?? deadline, deadline)
                continue
            }
            if let end = session.endsAt, end <= now {
                counters.expiredSessions += 1
                finish(session)
            } else {
                publishWill(of: session)
                record(.session(session.record(awaySince: bootTime(now))))
                if let end = session.endsAt { next = min(next ?? end, end) }
            }
        }
        // Everything that is due within a moment is done at once.
        if let next { schedule(max(next, now + 50_000_000)) }
    }

    /// A monotonic instant on the boot clock, which is what the store keeps.
    func bootTime(_ instant: Int64) -> Int64 { time.now().instant.nanoseconds - (now - instant) }

    /// Takes over what the session store kept.
    /// - Parameter isLate: the listener has been open for a while, since the store could not be read before. What has
    ///   come meanwhile stays, and everything is written anew afterwards.
    func restore(_ stored: StoredSessions, isLate: Bool = false) {
        let now = now
        let bootNow = time.now().instant.nanoseconds
        for message in stored.retained {
            retained.restore(message.publish, storedAt: now - message.waitedNanoseconds)
        }
        var messages: [UInt64: QueuedMessage] = [:]
        for kept in stored.messages {
            let message = QueuedMessage(kept.publish, receivedAt: now - kept.waitedNanoseconds)
            // Its old number may be another message's by now.
            message.storeNumber = isLate ? journal.lastMessage + 1 : kept.number
            messages[kept.number] = message
            journal.lastMessage = max(journal.lastMessage, message.storeNumber)
        }
        for kept in stored.sessions {
            if let session = sessionByID[kept.record.id] {
                add(kept, messages: messages, to: session)
            } else {
                restore(kept, messages: messages, now: now, bootNow: bootNow)
            }
        }
        for message in messages.values where message.references == 0 {
            record(.messageEnded(number: message.storeNumber))
        }
        sessionsDue()
        if !isLate {
            watchStore()
            commit()
        }
    }

    /// The client has come back before its session could be read: it gets what it waited for behind what came since,
    /// unless it wanted nothing of it. What it had half acknowledged may come twice.
    private func add(_ kept: StoredSessions.Session, messages: [UInt64: QueuedMessage], to session: Session) {
        guard !session.isClean, session.isKept else { return }
        for subscription in kept.subscriptions where session.subscriptions[WireText(subscription.filter)] == nil {
            insertSubscription(
                Subscribe.Filter(subscription.filter, options: subscription.options),
                identifier: subscription.identifier, of: session)
        }
        for identifier in kept.received where session.received[identifier] == nil {
            session.received[identifier] = .safe
        }
        for queued in kept.queue {
            guard let message = queued.message.flatMap({ messages[$0] }) else { continue }
            let delivery = Delivery(
                message: message, qos: queued.qos, retain: queued.retain,
                subscriptionIdentifiers: queued.subscriptionIdentifiers)
            if session.outbound.enqueue(delivery, size: message.size) != nil { retain(message) }
        }
        if let client = session.client { pump(client) }
    }

    private func restore(
        _ kept: StoredSessions.Session, messages: [UInt64: QueuedMessage], now: Int64, bootNow: Int64
    ) {
        let session = begin(kept.record.id, isClean: false)
        session.isKept = true
        session.expiryInterval = kept.record.expiryInterval
        session.will = kept.record.will
        session.permissions = configuration.accessPolicy?.permissions(
            user: kept.record.id.user, client: kept.record.id.client)
        for subscription in kept.subscriptions {
            insertSubscription(
                Subscribe.Filter(subscription.filter, options: subscription.options),
                identifier: subscription.identifier, of: session)
        }
        for identifier in kept.received { session.received[identifier] = .safe }
        for queued in kept.queue {
            let message = queued.message.flatMap { messages[$0] }
            let inFlight = queued.packetIdentifier.flatMap { identifier in queued.phase.map { (identifier, $0) } }
            guard message != nil || inFlight?.1 == .pubcomp else { continue }
            let waiting = message ?? QueuedMessage(Publish(topic: "", payload: ByteBuffer()), receivedAt: now)
            if message != nil { retain(waiting) }
            session.outbound.restore(
                Delivery(
                    message: waiting, qos: queued.qos, retain: queued.retain,
                    subscriptionIdentifiers: queued.subscriptionIdentifiers, number: queued.number),
                inFlight: inFlight)
        }
        // One that was connected lost its connection with the gateway: that counts from now.
        let away = kept.record.awaySince.map { max(0, bootNow - $0) } ?? 0
        session.awayAt = now - away
        if session.expiryInterval != .max {
            session.endsAt = now - away + Int64(session.expiryInterval) * 1_000_000_000
        }
        if let will = session.will {
            session.willDueAt = now - away + Int64(will.properties.willDelayInterval ?? 0) * 1_000_000_000
        }
        if kept.record.awaySince == nil { record(.session(session.record(awaySince: bootNow))) }
    }
}
