import Logging
import MQTT
import NIOCore
import Readings

/// What is kept over a restart, and what waits for that: acknowledgements leave only when what they promise is on disk.
/// What they promise while the disk fails is said at ``Journal``.
extension BrokerCore {
    func record(_ change: SessionChange) { journal.record(change) }

    /// Does something as soon as every change so far is on disk: at once where nothing waits.
    func hold(_ item: Journal.Held) {
        if let item = journal.hold(item) { perform(item) }
    }

    private func perform(_ item: Journal.Held) {
        switch item {
        case .settle(let connection, let publication):
            if let client = clients[connection] { settle(publication, reason: .success, of: client) }
        case .packet(let packet, let number):
            if let client = clients[number] { send(packet, to: client) }
        case .pump(let number):
            if let client = sessions[number]?.client { pump(client) }
        case .call(let body): body()
        }
    }

    // MARK: Writing

    /// Hands the changes that gathered to the store, unless a batch is on its way already or a pause after a failure lasts.
    func commit() {
        guard let store = journal.store, !isPausing, !waitsForOthers() else { return }
        guard let batch = journal.begin() else { return }
        let now = now
        let (changes, isEverything) =
            switch batch {
            case .changes(let changes): (changes.list() + retainedChanges(changes.retainedTopics, now: now), false)
            case .everything: (everything(now: now), true)
            }
        let loop = loop
        let core = NIOLoopBound(self, eventLoop: loop)
        Task {
            let result: Result<SessionRewrite, any Error>
            do {
                if isEverything {
                    result = .success(try await store.rewrite(changes))
                } else {
                    try await store.commit(changes)
                    result = .success(.written)
                }
            } catch {
                result = .failure(error)
            }
            loop.execute {
                switch result {
                case .success(.written): core.value.committed()
                case .success(.found(let stored)): core.value.found(stored)
                case .failure(let error): core.value.failed("\(error)")
                }
            }
        }
    }

    /// Acknowledgements of retained messages beyond the budget of flash wait a moment for each other.
    private func waitsForOthers() -> Bool {
        guard journal.isOnlyRetained, !isStopping, let at = lastRetainedWrite else { return false }
        let now = now
        let due = at + RetainedSchedule.acknowledgementPause
        guard now < due, !retainedSchedule.hasCredit(now: now) else { return false }
        scheduleRetained(at: due)
        return true
    }

    private func committed() {
        storePauses = GrowingPause(GrowingPause.disk)
        if let since = storeFailedAt.take() {
            logger.notice(
                "sessions and retained messages are stored again",
                metadata: ["after": "\((now - since) / 1_000_000_000) s"])
        }
        for item in journal.end() { perform(item) }
        endTurn()
    }

    private func failed(_ reason: String) {
        let wasInMemory = journal.isInMemory
        let isNews = journal.problem != reason
        let released = journal.fail(reason)
        if storeFailedAt == nil { storeFailedAt = now }
        if journal.isInMemory, !wasInMemory || isNews {
            logger.error(
                "sessions and retained messages cannot be stored: they are kept in memory, and lost with a restart",
                metadata: ["error": "\(reason)"])
        }
        for item in released { perform(item) }
        pauseStore(for: storePauses.next())
        endTurn()
    }

    private func pauseStore(for pause: Duration) {
        isPausing = true
        loop.assumeIsolated().scheduleTask(in: .nanoseconds(pause.wholeNanoseconds)) {
            self.isPausing = false
            self.endTurn()
        }
    }

    /// The store can be read at last: takes over what it has, and writes everything.
    private func found(_ stored: StoredSessions) {
        logger.notice(
            "the stored sessions can be read again",
            metadata: ["sessions": "\(stored.sessions.count)", "retained": "\(stored.retained.count)"])
        restore(stored, isLate: true)
        for item in journal.end() { perform(item) }
        journal.rewrite()
        endTurn()
    }

    /// Looks every second whether the store's file is still what was written: another program may have overwritten or
    /// deleted it, which nothing else would tell before the next start.
    func watchStore() {
        guard let store = journal.store else { return }
        let loop = loop
        let core = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { task in
            guard !core.value.isStopping else { return task.cancel() }
            // What is being written tells of damage by itself.
            guard !core.value.journal.isWriting, core.value.journal.problem == nil else { return }
            Task {
                guard await !store.isIntact() else { return }
                loop.execute {
                    core.value.journal.rewrite()
                    core.value.endTurn()
                }
            }
        }
    }

    // MARK: Retained messages

    /// A topic's retained message changed: it is written at once where its PUBACK waits for it, else in its turn.
    ///
    /// A PUBACK promises that the message is kept. Of one that goes upstream the outbox or the upstream keeps it, and the
    /// retained message is only the copy that later LAN subscribers begin with. So its PUBACK waits for that copy where
    /// this costs little: for a value that is new or changes seldom, and while the flash budget lasts. A message for the
    /// LAN alone has no other keeper, and its PUBACK always waits.
    func keep(retained topic: String, isAcknowledged: Bool, isKeptElsewhere: Bool) {
        guard journal.store != nil else { return }
        let now = now
        let isSeldom = !retained.wasWritten(topic, within: RetainedSchedule.longestPause, now: now)
        if isAcknowledged, !isKeptElsewhere || isSeldom || retainedSchedule.hasCredit(now: now) {
            retainedSchedule.remove(topic)
            journal.record(retained: topic)
        } else {
            retainedSchedule.note(topic, now: now)
            if let due = retainedSchedule.dueAt { scheduleRetained(at: due) }
        }
    }

    private func scheduleRetained(at deadline: Int64) {
        if let retainedTimer, retainedTimer.at <= deadline { return }
        retainedTimer?.task.cancel()
        let task = loop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(UInt64(max(0, deadline)))) {
            self.retainedTimer = nil
            if let due = self.retainedSchedule.dueAt, due <= self.now { self.writeRetained() }
            if let due = self.retainedSchedule.dueAt { self.scheduleRetained(at: due) }
            self.endTurn()
        }
        retainedTimer = (deadline, task)
    }

    /// Hands every retained message that waits for its turn to the journal.
    func writeRetained() {
        for topic in retainedSchedule.take() { journal.record(retained: topic.string) }
    }

    private func retainedChanges(_ topics: some Sequence<WireText>, now: Int64) -> [SessionChange] {
        var bytes = 0
        let changes = topics.map { topic -> SessionChange in
            guard let (publish, storedAt) = retained[topic.string] else {
                bytes += topic.string.utf8.count
                return .retainedEnded(topic: topic.string)
            }
            bytes += publish.queuedSize + topic.string.utf8.count
            retained.noteWritten(topic.string, at: now)
            return .retained(publish, storedAt: bootTime(storedAt))
        }
        guard !changes.isEmpty else { return [] }
        retainedSchedule.spend(count: changes.count, bytes: bytes, now: now)
        lastRetainedWrite = now
        return changes
    }

    // MARK: Everything

    /// All that is to outlast the process, for a store that has nothing.
    private func everything(now: Int64) -> [SessionChange] {
        _ = retainedSchedule.take()
        var changes: [SessionChange] = []
        var messages: [UInt64: QueuedMessage] = [:]
        for session in sessions.values where session.isKept {
            changes += self.changes(of: session, now: now)
            for delivery in session.outbound.deliveries where delivery.message.storeNumber != 0 {
                messages[delivery.message.storeNumber] = delivery.message
            }
        }
        for (number, message) in messages {
            changes.append(
                .message(number: number, publish: message.publish, receivedAt: bootTime(message.receivedAt)))
        }
        // What the server says of itself is never stored.
        let topics = retained.topics.filter { systemValues[$0] == nil }
        return changes + retainedChanges(topics.lazy.map { WireText($0) }, now: now)
    }

    /// All that is stored of a session, but for its messages themselves.
    func changes(of session: Session, now: Int64) -> [SessionChange] {
        let id = session.id
        let away = session.client == nil ? bootTime(session.awayAt ?? now) : nil
        var changes: [SessionChange] = [.session(session.record(awaySince: away))]
        for (filter, subscription) in session.subscriptions {
            changes.append(
                .subscription(
                    id, filter: filter.string, options: subscription.options, identifier: subscription.identifier))
        }
        let (inFlight, waiting) = session.outbound.kept
        for entry in inFlight where entry.number != 0 {
            if let delivery = entry.delivery {
                changes.append(queued(delivery, of: id))
            } else {
                changes.append(
                    .queued(
                        id, number: entry.number, message: 0, qos: .exactlyOnce, retain: false,
                        subscriptionIdentifiers: []))
            }
            // At QoS 1 a message may be sent again under another identifier.
            guard entry.phase != .puback else { continue }
            changes.append(
                .inFlight(id, number: entry.number, packetIdentifier: entry.packetIdentifier, phase: entry.phase))
        }
        changes += waiting.map { queued($0, of: id) }
        for (identifier, receipt) in session.received {
            guard case .safe = receipt else { continue }
            changes.append(.received(id, packetIdentifier: identifier))
        }
        return changes
    }

    private func queued(_ delivery: Delivery, of id: SessionID) -> SessionChange {
        .queued(
            id, number: delivery.number, message: delivery.message.storeNumber, qos: delivery.qos,
            retain: delivery.retain, subscriptionIdentifiers: delivery.subscriptionIdentifiers)
    }

    // MARK: Messages that sessions wait for

    /// One more kept session waits for the message.
    func retain(_ message: QueuedMessage) {
        if message.references == 0 { keptBytes += message.size }
        message.references += 1
    }

    /// One session fewer waits for it; with the last, it is forgotten.
    func release(_ message: QueuedMessage) {
        guard message.references > 0 else { return }
        message.references -= 1
        guard message.references == 0 else { return }
        keptBytes -= message.size
        if message.storeNumber != 0 { record(.messageEnded(number: message.storeNumber)) }
    }

    /// Notes that a kept session waits for a message.
    func store(_ delivery: Delivery, of session: Session) {
        guard journal.store != nil else { return }
        let message = delivery.message
        if message.storeNumber == 0 {
            journal.lastMessage += 1
            message.storeNumber = journal.lastMessage
            record(
                .message(
                    number: message.storeNumber, publish: message.publish, receivedAt: bootTime(message.receivedAt)))
        }
        record(queued(delivery, of: session.id))
    }
}
