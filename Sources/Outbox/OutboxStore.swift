internal import Database
package import Readings

/// The durable queue between the gateway and its upstream.
///
/// Each delivery class is one stream: messages leave in the order in which they came, under a gapless sequence that
/// is kept across restarts. Runs on a thread of its own, since SQLite and its syncs block.
///
/// The limits of a class hold at every commit. What a limit costs is told downstream by a gap record in the place of
/// what was lost. Messages on their way upstream are never dropped.
package actor OutboxStore {
    /// One message to store.
    package struct Entry: Sendable {
        package var message: Message
        /// What to hand to the `settled` sink once the message is safe. Where one arrival gives several messages, it
        /// stands on the last.
        package var settle: SettleToken?

        package init(message: Message, settle: SettleToken? = nil) {
            self.message = message
            self.settle = settle
        }
    }

    /// One message on its way upstream.
    package struct Claimed: Sendable {
        package var id: MessageID
        /// The stream's name: the delivery class.
        package var stream: String
        /// Its place in the stream, counted from 1.
        package var sequence: Int64
        /// The boot that the message's instant belongs to.
        package var boot: BootID
        package var message: Message
    }

    /// What a stored message costs beside topic and payload: keys, times, flags and its share of a page. Bounds count
    /// it, so that they hold for a million empty messages too.
    package static let bytesPerMessage: Int64 = 48

    /// A random number of the database file: sequences of two epochs have nothing to do with each other.
    package nonisolated let epoch: UInt64
    /// Set when the file was found damaged and an empty one took its place.
    package nonisolated let recovery: Recovery?

    private let executor: ThreadExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let configuration: Configuration
    private let settled: @Sendable ([SettleToken]) -> Void
    private let rejected: @Sendable ([SettleToken]) -> Void
    private let available: @Sendable () -> Void

    /// `nil` once closed.
    private var file: OutboxFile?
    private var streams: [Stream]
    private var streamIndex: [DeliveryClass: Int]
    /// When this process opened the file: where the age of an earlier boot's messages is counted from.
    private let opened: Instant
    /// The stream that a claim starts with.
    private var turn = 0

    /// Opens or creates the store. Blocks for a few page reads, whatever the backlog, and up to
    /// ``Configuration/lockTimeoutMilliseconds`` when another process holds the file.
    /// - Parameters:
    ///   - settled: called once per append, after its COMMIT, on the outbox's thread, with the tokens of the entries
    ///     that are safe, in their order.
    ///   - rejected: called likewise with the tokens whose message, or another of the same arrival, was refused. They
    ///     must not be acknowledged as kept.
    ///   - available: called after a commit that left something new to claim. None of the three may block: the
    ///     outbox waits for it.
    /// - Throws: when the file cannot be opened, is in use, or is of a newer version. A damaged file does not throw:
    ///   it is moved aside, see ``recovery``.
    package init(
        configuration: Configuration,
        settled: @escaping @Sendable ([SettleToken]) -> Void,
        rejected: @escaping @Sendable ([SettleToken]) -> Void = { _ in },
        available: @escaping @Sendable () -> Void
    ) throws(OutboxError) {
        do throws(ThreadStartError) {
            executor = try ThreadExecutor(name: "outbox")
        } catch {
            throw .thread(error)
        }
        let opening: Opening
        (opening, recovery) = try Opening.make(configuration)
        epoch = opening.file.epoch
        file = opening.file
        streams = opening.streams
        streamIndex = Dictionary(
            uniqueKeysWithValues: opening.streams.enumerated().map { ($0.element.deliveryClass, $0.offset) }
        )
        self.configuration = configuration
        self.settled = settled
        self.rejected = rejected
        self.available = available
        opened = configuration.time.now().instant
    }

    // MARK: Appending

    /// Stores the entries in one transaction and returns once they are durable; the sinks are called before that.
    /// Cost: one sync, and about 2 µs per message.
    /// - Throws: when the commit failed, for one because the disk is full: none of the entries is stored, no sink is
    ///   called, and a later append may work.
    package func append(_ entries: [Entry]) throws(OutboxError) {
        guard !entries.isEmpty else { return }
        let file = try openFile()
        let now = configuration.time.now().instant
        var batch = Batch(streams: streams)
        let places = try places(of: entries)
        try perform { () throws(SQLiteError) in
            try file.transaction(doing: "append to") { () throws(SQLiteError) in
                for (entry, index) in zip(entries, places) { try batch.add(entry, to: index, of: file) }
                for index in batch.touched {
                    try batch.streams[index].writePendingGap(file)
                    try batch.streams[index].enforceBounds(file, now: now, opened: opened)
                    try batch.streams[index].writeCounters(file)
                }
            }
        }
        streams = batch.streams
        if !batch.settled.isEmpty { settled(batch.settled) }
        if !batch.rejected.isEmpty { rejected(batch.rejected) }
        available()
    }

    /// Each entry's stream. Neighbours are of one class mostly, which spares the search.
    private func places(of entries: [Entry]) throws(OutboxError) -> [Int] {
        var places: [Int] = []
        places.reserveCapacity(entries.count)
        var last = streams.startIndex
        for entry in entries {
            let name = entry.message.deliveryClass
            if !streams.indices.contains(last) || streams[last].deliveryClass != name {
                guard let index = streamIndex[name] else { throw .unknownClass(name) }
                last = index
            }
            places.append(last)
        }
        return places
    }

    // MARK: Handing out

    /// The next messages that are not on their way yet, in order within each class.
    ///
    /// Classes take turns: each gets an equal share of `limit`, and what one does not use goes to the others, so a
    /// long backlog of one class never holds up another.
    /// - Parameters:
    ///   - limit: at most this many messages.
    ///   - byteLimit: at most this many bytes of topics and payloads; a larger message still comes, alone.
    package func claim(limit: Int, byteLimit: Int) throws(OutboxError) -> [Claimed] {
        let file = try openFile()
        expire(file)
        let waiting = streams.indices.filter { streams[$0].unclaimed > 0 }
        guard limit > 0, !waiting.isEmpty else { return [] }
        let order = waiting.filter { $0 >= turn } + waiting.filter { $0 < turn }
        turn = (order[0] + 1) % streams.count

        var claimed: [Claimed] = []
        var budget = ClaimBudget(messages: limit, bytes: byteLimit)
        let share = max(1, limit / order.count)
        for share in [share, limit] {
            for index in order where !budget.isSpent && streams[index].unclaimed > 0 {
                do throws(SQLiteError) {
                    try streams[index].claim(
                        atMost: share, &budget, file, gapTopic: configuration.gapTopic, into: &claimed
                    )
                } catch {
                    // What the other classes gave must go out; the next claim meets the error again.
                    if claimed.isEmpty { throw .database(error) }
                }
            }
        }
        return claimed
    }

    /// Removes messages that the upstream has acknowledged, in one transaction. Identifiers that are not on their way
    /// (settled before, or handed out before the last ``release()``) are ignored.
    /// - Throws: when the commit failed: all of them are still on their way; settle them again later.
    package func settle(_ ids: [MessageID]) throws(OutboxError) {
        guard !ids.isEmpty else { return }
        let file = try openFile()
        var found: [(index: Int, places: [Int])] = []
        for (index, stream) in streams.enumerated() where stream.window.count > 0 {
            let own = streams.count == 1 ? ids : ids.filter { $0.stream == stream.number }
            let places = stream.window.places(of: own)
            if !places.isEmpty { found.append((index, places)) }
        }
        guard !found.isEmpty else { return }
        let counters = try perform { () throws(SQLiteError) in
            try file.transaction(doing: "settle messages in") {
                () throws(SQLiteError) in
                try found.map { found throws(SQLiteError) in
                    try streams[found.index].delete(found.places, file)
                }
            }
        }
        for ((index, places), counters) in zip(found, counters) {
            streams[index].settle(places, counters)
        }
        if streams.allSatisfy({ $0.counters.count == 0 }) {
            // Only space is at stake, and the next empty moment comes.
            try? file.giveBackPages()
        }
    }

    /// The link is gone: everything on its way is handed out again, in the original order.
    package func release() {
        for index in streams.indices { streams[index].release() }
    }

    // MARK: Looking

    /// What waits, by class, in the order in which the classes were first configured. Cost: one row per class.
    package func backlog() throws(OutboxError) -> [ClassBacklog] {
        let file = try openFile()
        let now = configuration.time.now().instant
        return try perform { () throws(SQLiteError) in
            try streams.map { stream throws(SQLiteError) in try stream.backlog(file, now: now, opened: opened) }
        }
    }

    /// Copies the log into the file and closes it. Every later call throws `.closed`. Cost: up to a log's worth of
    /// page writes.
    package func close() {
        // The log is durable as it is: a checkpoint that fails here is made up for at the next opening.
        try? file?.connection.checkpoint()
        file = nil
    }

    // MARK: Helpers

    private func openFile() throws(OutboxError) -> OutboxFile {
        guard let file else { throw .closed }
        return file
    }

    /// Drops what has waited for too long. A failure leaves it for the next time: better late than stuck.
    private func expire(_ file: OutboxFile) {
        let now = configuration.time.now().instant
        do throws(SQLiteError) {
            for index in streams.indices
            where try streams[index].hasExpired(file, now: now, opened: opened) {
                var draft = streams[index]
                try file.transaction(doing: "drop expired messages of") {
                    () throws(SQLiteError) in
                    try draft.enforceBounds(file, now: now, opened: opened)
                    try draft.writeCounters(file)
                }
                streams[index] = draft
            }
        } catch {
            return
        }
    }

    private func perform<R>(_ body: () throws(SQLiteError) -> R) throws(OutboxError) -> R {
        do throws(SQLiteError) {
            return try body()
        } catch {
            throw .database(error)
        }
    }
}
