package import MQTT

/// Changes that wait for their turn to be written, one per key: of a session's record, a subscription, a message or a
/// retained topic that changes a thousand times meanwhile, the last change is kept. So what waits is bounded by what
/// there is, and not by how often it changes.
package struct PendingChanges {
    /// What waits of one session.
    private struct OfSession {
        /// An older session of this name ends before the rest.
        var hasEnded = false
        var record: SessionRecord?
        var subscriptions: [WireText: SessionChange] = [:]
        var queue: [UInt64: OfMessage] = [:]
        var received: [UInt16: SessionChange] = [:]
    }

    /// What waits of one message in a session's queue.
    private struct OfMessage {
        var queued: SessionChange?
        var inFlight: SessionChange?
        var dequeued: SessionChange?
    }

    private var sessions: [SessionID: OfSession] = [:]
    private var messages: [UInt64: SessionChange] = [:]
    private var topics: Set<WireText> = []

    package init() {}

    package var isEmpty: Bool { sessions.isEmpty && messages.isEmpty && topics.isEmpty }

    /// Nothing but retained messages changed.
    var isOnlyRetained: Bool { sessions.isEmpty && messages.isEmpty && !topics.isEmpty }

    /// Topics whose retained message changed.
    package var retainedTopics: Set<WireText> { topics }

    package mutating func note(retained topic: String) { topics.insert(WireText(topic)) }

    /// Cost: one or two look-ups in a hash table.
    package mutating func note(_ change: SessionChange) {
        switch change {
        case .session(let record): sessions[record.id, default: OfSession()].record = record
        case .sessionEnded(let id): sessions[id] = OfSession(hasEnded: true)
        case .subscription(let id, let filter, _, _), .subscriptionEnded(let id, let filter):
            sessions[id, default: OfSession()].subscriptions[WireText(filter)] = change
        case .queued(let id, let number, _, _, _, _):
            sessions[id, default: OfSession()].queue[number] = OfMessage(queued: change)
        case .inFlight(let id, let number, _, _):
            sessions[id, default: OfSession()].queue[number, default: OfMessage()].inFlight = change
        case .dequeued(let id, let number):
            // What was not written yet need not be deleted either.
            let isWritten = sessions[id]?.queue[number]?.queued == nil
            sessions[id, default: OfSession()].queue[number] = isWritten ? OfMessage(dequeued: change) : nil
        case .received(let id, let identifier), .released(let id, let identifier):
            sessions[id, default: OfSession()].received[identifier] = change
        case .message(let number, _, _): messages[number] = change
        case .messageEnded(let number):
            if case .message = messages[number] { messages[number] = nil } else { messages[number] = change }
        case .retained(let publish, _): note(retained: publish.topic)
        case .retainedEnded(let topic): note(retained: topic)
        }
    }

    /// Everything but the retained messages, in an order in which it can be written: a session comes before what belongs
    /// to it.
    package func list() -> [SessionChange] {
        var list: [SessionChange] = []
        for (id, session) in sessions {
            if session.hasEnded { list.append(.sessionEnded(id)) }
            if let record = session.record { list.append(.session(record)) }
            list += session.subscriptions.values
            for message in session.queue.values {
                list += [message.queued, message.inFlight, message.dequeued].compactMap { $0 }
            }
            list += session.received.values
        }
        list += messages.values
        return list
    }
}
