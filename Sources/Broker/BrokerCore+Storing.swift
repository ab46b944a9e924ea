import Logging
import MQTT
import NIOCore
import Readings

/// What is kept over a restart, and what waits for that: acknowledgements leave only when what they promise is on disk.
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

    /// Hands the changes that gathered to the store, unless a batch is on its way already.
    func commit() {
        guard let store = journal.store, let batch = journal.begin() else { return }
        let loop = loop
        let logger = logger
        let core = NIOLoopBound(self, eventLoop: loop)
        Task {
            var pauses = GrowingPause(GrowingPause.disk)
            while true {
                do {
                    try await store.commit(batch)
                    break
                } catch {
                    let text = "\(error)"
                    logger.error(
                        "sessions cannot be stored; devices wait for their acknowledgement",
                        metadata: ["waiting": "\(batch.count)", "error": "\(text)"])
                    loop.execute { core.value.failed(text) }
                    do { try await Task.sleep(for: pauses.next()) } catch { return }
                }
            }
            loop.execute { core.value.committed() }
        }
    }

    private func failed(_ reason: String) {
        for item in journal.fail(reason) { perform(item) }
    }

    private func committed() {
        journal.problem = nil
        for item in journal.end() { perform(item) }
        endTurn()
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
        record(
            .queued(
                client: session.identifier, number: delivery.number, message: message.storeNumber, qos: delivery.qos,
                retain: delivery.retain, subscriptionIdentifiers: delivery.subscriptionIdentifiers))
    }
}
