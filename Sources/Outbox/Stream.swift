internal import Database
internal import Readings

/// One delivery class's stream: what memory keeps of it, and the rules of its bounds. A value: a transaction works on
/// a copy, which takes the original's place when the COMMIT has succeeded.
struct Stream {
    /// Rows that one transaction drops at most, so that a bound lowered in the settings does not stall an append.
    static let dropLimit = 10_000
    private static let gapBytes = OutboxStore.bytesPerMessage + Int64(Gap.storedByteCount)

    let number: Int64
    let deliveryClass: DeliveryClass
    let limits: ClassLimits
    var counters: OutboxFile.Counters
    /// Handed out and not settled.
    var window = ClaimWindow()
    /// The gap record at the very end of the stream. The next refused message extends it, unless it is on its way.
    var tailGap: Gap?
    /// `tailGap` has grown since its row was written.
    private var pendingGap: (storedAt: Int64?, boot: Int64, time: Timestamp)?
    /// Everything up to this sequence has been handed out.
    private var cursor: Int64 = 0
    /// The first message after `cursor`, when it is known.
    private var oldestUnclaimed: OutboxFile.Head?

    init(number: Int64, deliveryClass: DeliveryClass, limits: ClassLimits, counters: OutboxFile.Counters) {
        self.number = number
        self.deliveryClass = deliveryClass
        self.limits = limits
        self.counters = counters
    }

    /// Rows that `claim` could hand out.
    var unclaimed: Int64 { counters.count - Int64(window.count) }

    private func id(_ sequence: Int64) -> MessageID { MessageID(stream: number, sequence: sequence) }

    // MARK: Inside a transaction

    /// Stores the message, unless the class is full and refuses what is new.
    /// - Returns: whether it is stored.
    mutating func add(_ message: Message, _ file: OutboxFile) throws(SQLiteError) -> Bool {
        let bytes = OutboxStore.bytesPerMessage + Int64(message.topic.utf8.count + message.payload.count)
        let sequence = counters.next
        counters.next += 1
        // An accepted message is preceded by the record of those refused before it.
        let pendingBytes = pendingGap.map { $0.storedAt == nil ? Self.gapBytes : 0 } ?? 0
        if limits.overflow == .rejectNewest, counters.bytes + pendingBytes + bytes > limits.maximumBytes {
            let unix = message.time.unixNanoseconds
            let gap = Gap(count: 1, first: sequence, last: sequence, from: unix, to: unix, reason: .overflow)
            if let last = tailGap?.last, last <= cursor { tailGap = nil }
            let storedAt = pendingGap.map(\.storedAt) ?? tailGap?.last
            pendingGap = (storedAt, file.boot, message.time)
            if tailGap == nil { tailGap = gap } else { tailGap?.append(gap) }
            counters.dropped += 1
            return false
        }
        try writePendingGap(file)
        tailGap = nil
        try file.insert(message, id: id(sequence))
        counters.count += 1
        counters.bytes += bytes
        return true
    }

    /// Writes the record of the messages refused since the last one.
    mutating func writePendingGap(_ file: OutboxFile) throws(SQLiteError) {
        guard let pending = pendingGap, let gap = tailGap else { return }
        if let old = pending.storedAt {
            _ = try file.delete(from: id(old), to: id(old))
        } else {
            counters.count += 1
            counters.bytes += Self.gapBytes
        }
        try file.insert(gap, stream: number, boot: pending.boot, time: pending.time)
        pendingGap = nil
    }

    /// Drops the oldest messages that are expired or that the class has no room for, and leaves a gap record in their
    /// place. Gap records on the way are merged into it, so that there is never more than one where one can stand.
    mutating func enforceBounds(_ file: OutboxFile, now: Instant, opened: Instant) throws(SQLiteError) {
        let isFull = limits.overflow == .dropOldest && counters.bytes > limits.maximumBytes
        let isExpired = try hasExpired(file, now: now, opened: opened)
        guard isFull || isExpired else { return }

        var gap: Gap?
        var dropped: Int64 = 0
        var rows: Int64 = 0
        var freed: Int64 = 0
        var last: OutboxFile.Head?
        try file.rows(after: id(cursor)) { head, row throws(SQLiteError) in
            let lost: Gap
            if head.isGap {
                lost = Self.record(head, row.payload)
            } else {
                let isExpired = hasExpired(head, file, now: now, opened: opened)
                let isOver =
                    limits.overflow == .dropOldest && counters.bytes - freed + Self.gapBytes > limits.maximumBytes
                guard isExpired || isOver, dropped < Self.dropLimit else { return false }
                let unix = head.time.unixNanoseconds
                lost = Gap(
                    count: 1, first: head.id.sequence, last: head.id.sequence, from: unix, to: unix,
                    reason: isExpired ? .expired : .overflow
                )
                dropped += 1
            }
            if gap == nil { gap = lost } else { gap?.append(lost) }
            rows += 1
            freed += head.bytes
            last = head
            return true
        }
        // A lone gap record with nothing to drop behind it stays as it is.
        guard let gap, let last, dropped > 0 || rows > 1 else { return }
        _ = try file.delete(from: id(cursor + 1), to: last.id)
        try file.insert(gap, stream: number, boot: last.boot, time: last.time)
        counters.count += 1 - rows
        counters.bytes += Self.gapBytes - freed
        counters.dropped += dropped
        oldestUnclaimed = nil
        if gap.last == counters.next - 1 { tailGap = gap }
    }

    func writeCounters(_ file: OutboxFile) throws(SQLiteError) { try file.write(counters, stream: number) }

    /// Deletes the claimed messages at these places of the window, in as few ranges as possible.
    /// - Returns: the counters without them.
    func delete(_ places: [Int], _ file: OutboxFile) throws(SQLiteError) -> OutboxFile.Counters {
        var counters = counters
        var start = 0
        while start < places.count {
            var end = start
            while end + 1 < places.count, window.isContiguous(places[end], places[end + 1]) { end += 1 }
            let count = try file.delete(from: window[places[start]].id, to: window[places[end]].id)
            guard count == Int64(end - start + 1) else {
                // Nobody else can write the file: only damage makes a claimed row disappear.
                throw SQLiteError(
                    condition: .corrupt, doing: "settle messages in \(file.connection.path)",
                    reason: "\(end - start + 1) rows should have been removed, and \(count) were there"
                )
            }
            for place in places[start...end] { counters.bytes -= window[place].bytes }
            counters.count -= count
            start = end + 1
        }
        try file.write(counters, stream: number)
        return counters
    }

    /// Takes note that ``delete(_:_:)`` is committed.
    mutating func settle(_ places: [Int], _ counters: OutboxFile.Counters) {
        if let last = places.last, window[last].id.sequence == tailGap?.last { tailGap = nil }
        self.counters = counters
        window.settle(places)
    }

    /// The gap record in a row. One that cannot be read speaks for its own place alone: it must neither stop the
    /// stream nor be lost.
    private static func record(_ head: OutboxFile.Head, _ payload: [UInt8]) -> Gap {
        let unix = head.time.unixNanoseconds
        return Gap(stored: payload)
            ?? Gap(
                count: 1, first: head.id.sequence, last: head.id.sequence, from: unix, to: unix, reason: .overflow
            )
    }

    // MARK: Handing out

    /// Hands out the next messages, as far as the budget goes.
    mutating func claim(
        atMost limit: Int, _ budget: inout ClaimBudget, _ file: OutboxFile,
        gapTopic: (DeliveryClass) -> String, into claimed: inout [OutboxStore.Claimed]
    ) throws(SQLiteError) {
        var taken: [OutboxStore.Claimed] = []
        var sizes: [Int64] = []
        var remaining = budget
        var boot = (number: Int64.min, id: BootID(""))
        try file.rows(after: id(cursor)) { head, row throws(SQLiteError) in
            guard taken.count < limit, remaining.take(Int(head.bytes - OutboxStore.bytesPerMessage)) else {
                return false
            }
            if boot.number != head.boot { boot = (head.boot, try file.bootID(head.boot)) }
            var message = Message(
                topic: "", payload: row.payload, retain: row.retain, deliveryClass: deliveryClass, time: head.time
            )
            if head.isGap {
                message.topic = gapTopic(deliveryClass)
                message.payload = Self.record(head, message.payload).payload(deliveryClass: deliveryClass)
            } else {
                message.topic = row.topic
                message.format = row.format
            }
            taken.append(
                OutboxStore.Claimed(
                    id: head.id, stream: deliveryClass.name, sequence: head.id.sequence, boot: boot.id,
                    message: message
                )
            )
            sizes.append(head.bytes)
            return true
        }
        guard let last = taken.last else { return }
        for (message, bytes) in zip(taken, sizes) { window.append(message.id, bytes: bytes) }
        cursor = last.sequence
        oldestUnclaimed = nil
        budget = remaining
        claimed += taken
    }

    /// What was handed out and not settled is handed out again.
    mutating func release() {
        window.removeAll()
        cursor = 0
        oldestUnclaimed = nil
    }

    // MARK: Looking

    /// Whether the first message that could be dropped has waited for too long.
    mutating func hasExpired(_ file: OutboxFile, now: Instant, opened: Instant) throws(SQLiteError) -> Bool {
        guard limits.maximumAge != nil, unclaimed > 0 else { return false }
        if oldestUnclaimed == nil { oldestUnclaimed = try file.firstMessage(after: id(cursor)) }
        guard let oldestUnclaimed else { return false }
        return hasExpired(oldestUnclaimed, file, now: now, opened: opened)
    }

    private func hasExpired(_ head: OutboxFile.Head, _ file: OutboxFile, now: Instant, opened: Instant) -> Bool {
        guard let maximumAge = limits.maximumAge else { return false }
        return age(head, file, now: now, opened: opened) > maximumAge
    }

    /// Elapsed time since the message was taken; of an earlier boot's message only what this process has seen of it.
    /// The wall clock has no say.
    private func age(_ head: OutboxFile.Head, _ file: OutboxFile, now: Instant, opened: Instant) -> Duration {
        now - (head.boot == file.boot ? head.time.instant : opened)
    }

    func backlog(_ file: OutboxFile, now: Instant, opened: Instant) throws(SQLiteError) -> ClassBacklog {
        let oldest = counters.count > 0 ? try file.firstMessage(after: id(0)) : nil
        return ClassBacklog(
            deliveryClass: deliveryClass, count: counters.count, bytes: counters.bytes, claimed: window.count,
            oldest: oldest?.time, oldestAge: oldest.map { age($0, file, now: now, opened: opened) },
            dropped: counters.dropped
        )
    }
}
