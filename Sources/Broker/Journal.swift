import MQTT
import Readings

/// What waits for the session store: changes that are not on disk yet, and what may happen only once they are.
///
/// Changes gather while a batch is being written, so that a burst costs few transactions. A value without input or
/// output; ``BrokerCore`` does both.
struct Journal {
    /// Something that a client must not see before what led to it is on disk.
    enum Held {
        /// A publish is safe as far as sessions and retained messages are concerned.
        case settle(connection: UInt64, publication: UInt64)
        case packet(Packet, client: UInt64)
        /// Messages of the session may be sent.
        case pump(session: UInt64)
        /// Messages from outside the LAN are safe. Does not wait for a store that fails.
        case call(@Sendable () -> Void)
    }

    /// `nil`: nothing outlives the gateway, and nothing has to wait.
    let store: (any SessionStore)?
    /// The batch that changes go to now; batches are counted from 1.
    private(set) var current: UInt64 = 1
    /// All batches up to this one are on disk.
    private(set) var committed: UInt64 = 0
    private(set) var changes: [SessionChange] = []
    private var held: [(batch: UInt64, item: Held)] = []
    private(set) var isWriting = false
    /// The number of the last message that was stored.
    var lastMessage: UInt64 = 0
    /// Why the last batch could not be written; `nil` once one could.
    var problem: String?

    init(store: (any SessionStore)?) { self.store = store }

    /// Nothing is on its way to the store.
    var isIdle: Bool { changes.isEmpty && !isWriting }

    mutating func record(_ change: SessionChange) {
        if store != nil { changes.append(change) }
    }

    /// Keeps something back until every change so far is on disk; returns it where it need not wait.
    mutating func hold(_ item: Held) -> Held? {
        if isIdle, held.isEmpty { return item }
        if problem != nil, case .call = item { return item }
        held.append((changes.isEmpty ? current - 1 : current, item))
        return nil
    }

    /// What a message must wait for that depends on every change so far.
    var pendingBatch: UInt64 { store == nil ? 0 : changes.isEmpty ? current - 1 : current }

    /// The next batch to write, if it is time for one.
    mutating func begin() -> [SessionChange]? {
        guard !isWriting, !changes.isEmpty else { return nil }
        isWriting = true
        current += 1
        defer { changes = [] }
        return changes
    }

    /// The store has failed to write a batch, and is asked again: returns what does not wait for that.
    mutating func fail(_ reason: String) -> [Held] {
        problem = reason
        let isCall = { (entry: (batch: UInt64, item: Held)) in if case .call = entry.item { true } else { false } }
        defer { held.removeAll(where: isCall) }
        return held.filter(isCall).map(\.item)
    }

    /// The batch that `begin` gave out is on disk: returns what waited for it, in order.
    mutating func end() -> [Held] {
        isWriting = false
        committed = current - 1
        let count = held.firstIndex { $0.batch > committed } ?? held.count
        defer { held.removeFirst(count) }
        return held[..<count].map(\.item)
    }
}
