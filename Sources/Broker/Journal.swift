import MQTT
import Readings

/// What waits for the session store: changes that are not on disk yet, and what may happen only once they are.
///
/// Changes gather while a batch is being written, so that a burst costs few transactions. A value without input or
/// output; ``BrokerCore`` does both.
///
/// **While the store fails** nothing is noted any more: memory has everything, within its own bounds, and is written whole
/// (``Batch/everything``) as soon as a file takes it. Acknowledgements wait for the first retry and not longer. They then
/// leave without the disk, and the status says that a restart would lose what they are for. Reasons:
/// - A message that goes upstream is not concerned: its acknowledgement also waits for the outbox or the upstream.
/// - Of a message for LAN sessions the acknowledgement promises less until the disk is well. Withheld, it would stop every
///   device behind its first message, and the site with it, for the sake of what a restart of the gateway may cost.
/// - MQTT has no answer that says "taken, and not stored"; an error would have it sent, and delivered, again and again.
struct Journal {
    /// Something that a client must not see before what led to it is on disk.
    enum Held {
        /// A publish is safe as far as sessions and retained messages are concerned.
        case settle(connection: UInt64, publication: UInt64)
        case packet(Packet, client: UInt64)
        /// Messages of the session may be sent.
        case pump(session: UInt64)
        /// Messages from outside the LAN are as safe as they can be.
        case call(@Sendable () -> Void)
    }

    enum Batch {
        case changes(PendingChanges)
        /// All that memory holds, in the place of all that was stored.
        case everything
    }

    /// `nil`: nothing outlives the gateway, and nothing has to wait.
    let store: (any SessionStore)?
    /// The batch that changes go to now; batches are counted from 1.
    private(set) var current: UInt64 = 1
    /// Nothing waits any more for batches up to this one.
    private(set) var committed: UInt64 = 0
    private var changes = PendingChanges()
    private var held: [(batch: UInt64, item: Held)] = []
    private(set) var isWriting = false
    /// The number of the last message that was stored.
    var lastMessage: UInt64 = 0
    /// Changes noted so far: tells whether something was noted in between.
    private(set) var recorded: UInt64 = 0

    /// The store does not have what memory has: the next batch is everything.
    private var needsEverything = false
    /// Batches that failed one after the other.
    private var failures = 0
    /// Why the last batch could not be written; `nil` once one could.
    private(set) var problem: String?

    init(store: (any SessionStore)?) { self.store = store }

    /// The store has failed more than once: nothing waits for it.
    var isInMemory: Bool { failures > 1 }

    /// Nothing is on its way to the store, or nobody waits for it.
    var isIdle: Bool { isInMemory || changes.isEmpty && !isWriting && !needsEverything }

    mutating func record(_ change: SessionChange) { record { $0.note(change) } }

    mutating func record(retained topic: String) { record { $0.note(retained: topic) } }

    private mutating func record(_ note: (inout PendingChanges) -> Void) {
        guard store != nil else { return }
        recorded += 1
        // Everything will have it.
        guard !needsEverything else { return }
        note(&changes)
    }

    /// Nothing but retained messages waits to be written.
    var isOnlyRetained: Bool { !needsEverything && changes.isOnlyRetained }

    /// Keeps something back until every change so far is on disk; returns it where it need not wait.
    mutating func hold(_ item: Held) -> Held? {
        if isIdle, held.isEmpty { return item }
        held.append((pendingBatch, item))
        return nil
    }

    /// What a message must wait for that depends on every change so far.
    var pendingBatch: UInt64 {
        if store == nil || isInMemory { return committed }
        return changes.isEmpty && !needsEverything ? current - 1 : current
    }

    /// What is stored is not what memory has: everything is written anew.
    mutating func rewrite() {
        needsEverything = true
        changes = PendingChanges()
    }

    /// The next batch to write, if it is time for one.
    mutating func begin() -> Batch? {
        guard !isWriting, needsEverything || !changes.isEmpty else { return nil }
        isWriting = true
        current += 1
        defer {
            changes = PendingChanges()
            needsEverything = false
        }
        return needsEverything ? .everything : .changes(changes)
    }

    /// The batch that `begin` gave out is on disk: returns what waited for it, in order.
    mutating func end() -> [Held] {
        isWriting = false
        failures = 0
        problem = nil
        committed = current - 1
        return release()
    }

    /// The batch could not be written: returns what does not wait any longer.
    mutating func fail(_ reason: String) -> [Held] {
        isWriting = false
        rewrite()
        problem = reason
        failures += 1
        guard isInMemory else { return [] }
        committed = current
        current += 1
        return release()
    }

    private mutating func release() -> [Held] {
        let count = held.firstIndex { $0.batch > committed } ?? held.count
        defer { held.removeFirst(count) }
        return held[..<count].map(\.item)
    }
}
