internal import Database
internal import Readings

/// One delivery class's stream: what memory keeps of it, and the rules of its bounds.
///
/// Its older messages are stored, its younger ones are in memory alone. A value: a transaction works on a copy, which
/// takes the original's place when the COMMIT has succeeded.
struct Stream {
    /// Rows that one transaction drops at most, so that a bound lowered in the settings does not stall an append.
    static let dropLimit = 10_000
    private static let gapBytes = OutboxStore.bytesPerMessage + Int64(Gap.storedByteCount)

    /// What its messages belong to: what a salvage found keeps its identity on the wire.
    let deliveryClass: DeliveryClass
    /// May change while messages wait: what that costs goes with the next commit.
    var limits: ClassLimits
    /// What the file holds.
    private var ledger: StreamLedger
    private(set) var unstored = UnstoredMessages()
    /// Stored, handed out and not settled, up to `cursor`.
    private var storedWindow = ClaimWindow()
    /// Handed out of memory and not settled. Those up to `storedThrough` have been stored since; that is so with
    /// ``ClassLimits/Order/interleave`` only, where they lie beyond the cursor.
    private var liveWindow = ClaimWindow()
    /// No row beyond this is in the file.
    private var storedThrough: Int64
    private var liveStoredCount = 0
    /// Stored rows up to this sequence have been handed out.
    private var cursor: Int64
    /// Stored, and on their way as gap records that are not in the file.
    private var leftOut: Set<MessageID> = []
    /// The last gap record that is stored. One that directly follows it is stored as one with it, unless it is on its way.
    private var tailGap: Gap?
    private var rate = ArrivalRate()
    /// How fast stored messages leave, over the last half minute.
    private var departures = ArrivalRate(span: 30)
    /// What the disk leaves to the stream, in bytes.
    private var spaceLimit = Int64.max
    /// The first message after `cursor`, when it is known.
    private var oldestUnclaimed: OutboxFile.Head?

    init(_ ledger: StreamLedger, limits: ClassLimits, tailGap: Gap?) {
        self.ledger = ledger
        deliveryClass = ledger.name.salvaged ?? ledger.name
        self.limits = limits
        self.tailGap = tailGap
        cursor = ledger.counters.head - 1
        storedThrough = ledger.counters.next - 1
    }

    var number: Int64 { ledger.number }
    /// What the file calls it.
    var name: DeliveryClass { ledger.name }
    var counters: OutboxFile.Counters { ledger.counters }
    var epochs: Epochs { ledger.epochs }
    /// Settled since the last commit: a crash would deliver them again.
    var unrecorded: Int { ledger.unrecorded }
    private func id(_ sequence: Int64) -> MessageID { MessageID(stream: number, sequence: sequence) }

    /// There may be stored messages that were not handed out. What lies there decides, not how many are counted: no row
    /// is passed over because a counter is wrong. False for certain once ``claim`` has looked.
    var hasBacklog: Bool { cursor < storedThrough }
    /// There may be something that `claim` could hand out.
    var hasUnclaimed: Bool { hasBacklog || unstored.waiting > 0 }
    /// On their way.
    var claimedCount: Int { storedWindow.count + liveWindow.count }
    var count: Int64 { counters.count + Int64(unstored.count) - (isTailExtended ? 1 : 0) }
    var bytes: Int64 { counters.bytes + unstored.bytes - (isTailExtended ? Self.gapBytes : 0) }
    /// Stored messages that are on their way.
    var storedUnderWay: Int { storedWindow.count + liveStoredCount }

    /// Whether a message that comes now could go upstream before its class wants it stored. Where it has to wait behind
    /// stored ones, or where there is no upstream, it is stored as soon as possible instead.
    func isLive(isAttached: Bool) -> Bool {
        isAttached && limits.commitAfter > .zero && (!hasBacklog || limits.order == .interleave)
    }

    // MARK: Taking in

    private var maximumBytes: Int64 { min(limits.maximumBytes, spaceLimit) }

    /// What is stored stays: short of space, only what comes has to find its place in it, and in a little more, so that
    /// what need not be stored has a way through.
    /// - Parameter room: by so many bytes the stream may still grow.
    mutating func grow(byAtMost room: Int64) {
        let (limit, overflow) = counters.bytes.addingReportingOverflow(room)
        if overflow || limit > .max - Self.spaceSlack {
            spaceLimit = .max
        } else {
            // Short for long, the little more is granted once.
            spaceLimit = room == 0 ? min(spaceLimit, limit + Self.spaceSlack) : limit + Self.spaceSlack
        }
    }
    private static let spaceSlack: Int64 = 64 << 10

    /// Whether the class has room for what is new.
    private func hasRoom(for bytes: Int64) -> Bool {
        guard limits.overflow != .dropOldest else { return true }
        return self.bytes + bytes <= maximumBytes && limits.maximumCount.map { count + 1 <= $0 } != false
    }

    /// Takes the message under the next sequence. Whether the class refuses it is asked before.
    mutating func add(_ message: Message, receipt: Receipt, now: Instant) {
        let bytes = OutboxStore.bytes(of: message)
        var message = message
        if let expiry = limits.expiry { message.expiry = min(message.expiry ?? expiry, expiry) }
        rate.took(bytes, now: now)
        unstored.append(
            UnstoredMessages.Item(
                sequence: ledger.useSequence(), message: message, bytes: bytes, taken: now, receipt: receipt))
    }

    /// Takes what another stream of its class has in memory alone, under sequences of its own.
    mutating func takeOver(_ old: Stream) {
        for place in 0..<old.unstored.placeCount where !old.unstored[place].isSettled {
            let item = old.unstored[place]
            guard let gap = item.gap else {
                add(item.message, receipt: item.receipt, now: item.taken)
                continue
            }
            var renamed = gap
            renamed.first = counters.next
            renamed.last = counters.next + gap.last - gap.first
            lose(renamed, at: item.message.time, item.receipts, now: item.taken)
        }
        rate = old.rate
    }

    /// Leaves the message out if the class is full and wants that; its sequence tells the consumer.
    /// - Parameter receipt: whose acknowledgement waits for the record, where the message is dropped.
    /// - Returns: whether it was left out.
    mutating func leavesOut(_ message: Message, receipt: Receipt, now: Instant) -> Bool {
        guard !hasRoom(for: OutboxStore.bytes(of: message)) else { return false }
        // Who is refused knows it, and may well come again soon: the record need not be stored each time.
        let isRefused = limits.overflow == .rejectNewest
        lose(
            1, from: message.time, to: message.time, isRefused ? .none : receipt,
            now: isRefused ? now + Self.refusalPatience : now)
        return true
    }
    private static let refusalPatience = Duration.seconds(5)

    /// Messages are lost that would come now; their sequences tell the consumer.
    /// - Parameters:
    ///   - receipt: whose acknowledgement waits until that is safe.
    ///   - now: from when on it waits to be stored.
    mutating func lose(
        _ count: Int64, from: Timestamp, to: Timestamp, reason: Gap.Reason = .overflow, _ receipt: Receipt = .none,
        now: Instant
    ) {
        let gap = Gap(
            count: count, first: counters.next, last: counters.next + count - 1, from: from.unixNanoseconds,
            to: to.unixNanoseconds, reason: reason)
        lose(gap, at: to, receipt == .none ? [] : [receipt], now: now)
    }

    /// - Parameter gap: of the next sequences.
    private mutating func lose(_ gap: Gap, at time: Timestamp, _ receipts: [Receipt], now: Instant) {
        ledger.useSequences(of: gap)
        let epochs = epochs
        let isExtended = unstored.extendLast(by: gap, time: time, receipts: receipts, taken: now) { last in
            epochs.areTogether(last, gap.last)
        }
        guard !isExtended else { return }
        unstored.append(
            UnstoredMessages.Item(
                sequence: gap.last,
                message: Message(topic: "", payload: [], deliveryClass: deliveryClass, time: time),
                record: .init(gap, receipts: receipts), bytes: Self.gapBytes, taken: now, receipt: .none))
    }

    /// The file is to know the stream: something else there refers to it.
    mutating func mustBeKnown() { ledger.mustBeKnown() }

    /// From the next message that goes out on, sequences count under another epoch.
    mutating func begin(_ epoch: UInt64) {
        ledger.begin(Epoch(first: unstored.peek()?.first ?? counters.next, value: epoch))
    }

    // MARK: Inside a transaction

    /// What a commit did to a stream, for the original once it has succeeded.
    struct Stored {
        /// Places of ``unstored`` that are stored now.
        var places: Int
        var receipts: [Receipt]
    }

    /// Stores the first `places` of the messages in memory, drops what the bounds do not allow, and writes what has
    /// changed.
    /// - Parameter needsRoom: the last commit failed, perhaps for want of room: what is settled goes first.
    mutating func commit(
        _ places: Int, needsRoom: Bool = false, _ file: OutboxFile, now: Instant, opened: Instant
    ) throws(SQLiteError) -> Stored {
        if needsRoom { try ledger.makeRoom(in: file) }
        let stored = try store(places, file)
        try enforceBounds(file, now: now, opened: opened)
        try writeCounters(file, stored: places)
        return stored
    }

    /// Every transaction that changed the stream ends with it.
    /// - Parameter places: so many of the messages in memory are stored.
    mutating func writeCounters(_ file: OutboxFile, stored places: Int = 0) throws(SQLiteError) {
        try ledger.write(to: file, unstored: places < unstored.placeCount ? unstored[places].first : nil)
    }

    /// The counters, or rows to be deleted, differ from the file.
    var differsFromFile: Bool { ledger.differs }

    private mutating func store(_ places: Int, _ file: OutboxFile) throws(SQLiteError) -> Stored {
        var stored = Stored(places: places, receipts: [])
        guard places > 0 else { return stored }
        stored.receipts.reserveCapacity(places)
        var claimed: (count: Int, last: MessageID?) = (0, nil)
        var isAllClaimed = true
        let isContinuous = !hasBacklog
        for place in 0..<places {
            let item = unstored[place]
            guard !item.isSettled else { continue }
            if let gap = item.gap {
                try store(gap, at: item.message.time, isUnderWay: place < unstored.handedOutPlaces, file)
                stored.receipts += item.record?.receipts ?? []
            } else {
                try file.insert(item.message, id: id(item.sequence))
                ledger.change(rows: 1, bytes: item.bytes, at: item.sequence)
            }
            stored.receipts.append(item.receipt)
            if place < unstored.handedOutPlaces {
                claimed = (claimed.count + 1, id(item.sequence))
            } else {
                isAllClaimed = false
            }
        }
        storedThrough = unstored[places - 1].sequence
        if isContinuous {
            if let last = claimed.last {
                for item in liveWindow.removeAll(through: last) { storedWindow.append(item.id, bytes: item.bytes) }
                liveStoredCount = 0
                cursor = last.sequence
            }
            if isAllClaimed { cursor = storedThrough }
            oldestUnclaimed = nil
        } else {
            liveStoredCount += claimed.count
        }
        return stored
    }

    /// The commit has succeeded: what it stored is in memory no longer.
    mutating func forgetStored(_ stored: Stored) { if stored.places > 0 { unstored.removeFirst(stored.places) } }

    /// As one with the record before it where that is not on its way either: while much is lost, there is one record.
    private mutating func store(
        _ gap: Gap, at time: Timestamp, isUnderWay: Bool, _ file: OutboxFile
    ) throws(SQLiteError) {
        var gap = gap
        if let tail = tailGap, !isUnderWay, isExtended(tail, by: gap) {
            var merged = tail
            merged.append(gap)
            gap = merged
            _ = try file.delete(from: id(tail.last), to: id(tail.last))
            ledger.change(rows: -1, bytes: -Self.gapBytes, at: tail.last)
        }
        ledger.change(rows: 1, bytes: Self.gapBytes, at: gap.last)
        try file.insert(gap, stream: number, boot: file.boot, time: time)
        tailGap = gap
    }

    /// Whether one record can stand for the stored one and the one behind it.
    private func isExtended(_ tail: Gap, by gap: Gap) -> Bool {
        tail.last + 1 == gap.first && tail.last > cursor && !ledger.isSettled(id(tail.last))
            && epochs.areTogether(tail.last, gap.last)
    }

    /// The first thing in memory is a record that will be one with a stored one.
    private var isTailExtended: Bool {
        guard let tailGap, unstored.handedOutPlaces == 0, let gap = unstored.first?.gap else { return false }
        return isExtended(tailGap, by: gap)
    }

    /// Drops the oldest messages that are expired or that the class has no room for, and leaves a gap record in their
    /// place. Gap records on the way are merged into it, so that there is never more than one where one can stand.
    private mutating func enforceBounds(_ file: OutboxFile, now: Instant, opened: Instant) throws(SQLiteError) {
        let isFull = limits.overflow == .dropOldest && isOver(rows: counters.count, bytes: counters.bytes)
        let isExpired = try hasExpired(file, now: now, opened: opened)
        guard isFull || isExpired else { return }
        var place = cursor
        while let next = try dropRun(after: place, through: nil, file, now: now, opened: opened) { place = next }
    }

    /// Drops stored messages up to `last` that are not on their way, ``dropLimit`` of them at most, and leaves a gap
    /// record. Inside a transaction, on a copy.
    /// - Returns: how many it were; 0 when there are no more.
    mutating func purge(
        through last: Int64, _ file: OutboxFile, now: Instant, opened: Instant
    ) throws(SQLiteError) -> Int64 {
        let before = counters.dropped
        var place = cursor
        while counters.dropped == before,
            let next = try dropRun(after: place, through: last, file, now: now, opened: opened)
        { place = next }
        return counters.dropped - before
    }

    private func isOver(rows: Int64, bytes: Int64) -> Bool {
        bytes > maximumBytes || limits.maximumCount.map { rows > $0 } == true
    }

    /// Drops one run of messages, all of one epoch.
    /// - Parameter purged: everything up to this is dropped; `nil`: what the bounds do not allow.
    /// - Returns: where the next epoch's run may begin; `nil` when this was the last.
    private mutating func dropRun(
        after place: Int64, through purged: Int64?, _ file: OutboxFile, now: Instant, opened: Instant
    ) throws(SQLiteError) -> Int64? {
        var gap: Gap?
        var dropped: Int64 = 0
        var rows: Int64 = 0
        var last: OutboxFile.Head?
        // The counters as they are with what was dropped so far.
        var left = ledger
        var isAtEpoch = false
        try file.rows(after: id(place)) { head, row throws(SQLiteError) in
            if ledger.isSettled(head.id) { return true }
            if liveStoredCount > 0, liveWindow.contains(head.id) { return false }
            if let gap, !epochs.areTogether(gap.last, head.id.sequence) {
                isAtEpoch = true
                return false
            }
            let lost: Gap
            if head.isGap {
                lost = Self.record(head, row.payload)
            } else {
                let reason: Gap.Reason
                if let purged {
                    guard head.id.sequence <= purged else { return false }
                    reason = .purged
                } else if hasExpired(head, file, now: now, opened: opened) {
                    reason = .expired
                } else {
                    let isOver = isOver(rows: left.counters.count + 1, bytes: left.counters.bytes + Self.gapBytes)
                    guard limits.overflow == .dropOldest, isOver else { return false }
                    reason = .overflow
                }
                guard dropped < Self.dropLimit else { return false }
                let unix = head.time.unixNanoseconds
                lost = Gap(
                    count: 1, first: head.id.sequence, last: head.id.sequence, from: unix, to: unix, reason: reason)
                dropped += 1
            }
            if gap == nil { gap = lost } else { gap?.append(lost) }
            rows += 1
            left.change(rows: -1, bytes: -head.bytes, at: head.id.sequence)
            last = head
            return true
        }
        // A lone gap record with nothing to drop behind it stays as it is.
        guard let gap, let last else { return nil }
        guard dropped > 0 || rows > 1 else { return isAtEpoch ? gap.last : nil }
        _ = try file.delete(from: id(place + 1), to: last.id)
        try file.insert(gap, stream: number, boot: last.boot, time: last.time)
        left.forgetSettled(from: id(place + 1), through: last.id)
        left.change(rows: 1, bytes: Self.gapBytes, at: gap.last)
        left.noteDropped(dropped)
        ledger = left
        oldestUnclaimed = nil
        if gap.last >= tailGap?.last ?? 0 { tailGap = gap }
        return isAtEpoch ? gap.last : nil
    }

    // MARK: Handing out

    /// Hands out the next messages, as far as the budget goes.
    mutating func claim(
        atMost limit: Int, atMostStored storedLimit: Int, stored: inout Int, _ budget: inout ClaimBudget,
        _ file: OutboxFile, now: Instant, opened: Instant, isDiskFailing: Bool, gapTopic: (DeliveryClass) -> String,
        into claimed: inout [OutboxStore.Claimed]
    ) throws(SQLiteError) {
        var left = limit
        if limits.order == .interleave {
            claimUnstored(&left, &budget, file, now: now, gapTopic: gapTopic, into: &claimed)
        }
        if left > 0, stored > 0, hasBacklog {
            let count = try claimStored(
                atMost: min(left, stored, storedLimit), &budget, file, now: now, opened: opened,
                isDiskFailing: isDiskFailing, gapTopic: gapTopic, into: &claimed)
            left -= count
            stored -= count
        }
        if left > 0, !hasBacklog {
            claimUnstored(&left, &budget, file, now: now, gapTopic: gapTopic, into: &claimed)
        }
    }

    private mutating func claimUnstored(
        _ left: inout Int, _ budget: inout ClaimBudget, _ file: OutboxFile, now: Instant,
        gapTopic: (DeliveryClass) -> String, into claimed: inout [OutboxStore.Claimed]
    ) {
        while left > 0, var item = unstored.peek() {
            var remaining: Duration?
            if let expiry = item.message.expiry {
                let left = expiry - (now - item.message.time.instant)
                if left > .zero { remaining = left } else { item = expire(item) }
            }
            guard budget.take(Int(item.bytes - OutboxStore.bytesPerMessage)) else { return }
            unstored.take()
            liveWindow.append(id(item.sequence), bytes: item.bytes)
            var message = item.message
            if let gap = item.gap {
                message = self.message(of: gap, at: item.message.time, gapTopic: gapTopic)
            } else {
                // This boot's: nothing that would have to be read.
                try? file.restamp(&message, boot: file.boot)
            }
            var next = self.claimed(id(item.sequence), boot: file.bootName, message, isHistorical: false)
            next.remaining = remaining
            claimed.append(next)
            left -= 1
        }
    }

    /// Puts a gap record in the place of a message in memory that is of no use any more.
    private mutating func expire(_ item: UnstoredMessages.Item) -> UnstoredMessages.Item {
        ledger.noteDropped(1)
        let gap = Self.record(inPlaceOf: item.sequence, item.message.time, reason: .expired)
        unstored.replace(item.sequence, with: gap, bytes: Self.gapBytes)
        return unstored.item(at: item.sequence) ?? item
    }

    /// A gap record for one message.
    private static func record(inPlaceOf sequence: Int64, _ time: Timestamp, reason: Gap.Reason) -> Gap {
        let unix = time.unixNanoseconds
        return Gap(count: 1, first: sequence, last: sequence, from: unix, to: unix, reason: reason)
    }

    /// A gap record as it goes upstream.
    private func message(of gap: Gap, at time: Timestamp, gapTopic: (DeliveryClass) -> String) -> Message {
        let payload = gap.payload(deliveryClass: deliveryClass, epoch: epochs.epoch(of: gap.last))
        return Message(topic: gapTopic(deliveryClass), payload: payload, deliveryClass: deliveryClass, time: time)
    }

    private func claimed(_ id: MessageID, boot: BootID, _ message: Message, isHistorical: Bool) -> OutboxStore.Claimed {
        let epoch = epochs.epoch(of: id.sequence)
        return OutboxStore.Claimed(
            id: id, stream: deliveryClass.name, epoch: epoch.value, sequence: id.sequence - epoch.first + 1, boot: boot,
            isHistorical: isHistorical, message: message)
    }

    private mutating func claimStored(
        atMost limit: Int, _ budget: inout ClaimBudget, _ file: OutboxFile, now: Instant, opened: Instant,
        isDiskFailing: Bool, gapTopic: (DeliveryClass) -> String, into claimed: inout [OutboxStore.Claimed]
    ) throws(SQLiteError) -> Int {
        var taken: [OutboxStore.Claimed] = []
        /// What comes into the window, in order.
        var entering: [(id: MessageID, bytes: Int64)] = []
        var adopted = 0
        var passed: MessageID?
        var remaining = budget
        var boot = (number: Int64.min, id: BootID(""))
        let isHistorical = limits.order == .interleave
        let isAtEnd = try file.rows(after: id(cursor)) { head, row throws(SQLiteError) in
            if ledger.isSettled(head.id) {
                passed = head.id
                return true
            }
            // What went out of memory and was stored since belongs to the stored ones once the cursor has passed it.
            if liveStoredCount > adopted, liveWindow.contains(head.id) {
                entering.append((head.id, head.bytes))
                adopted += 1
                passed = head.id
                return true
            }
            let left = head.expiry.map { $0 - age(head, file, now: now, opened: opened) }
            let isExpired = left.map { $0 <= .zero } == true
            // What is of no use any more gives way in a transaction of its own, which makes one record of a run of them.
            // Without one, each of them is told by itself, and nothing has to be written.
            if isExpired, !isDiskFailing { return false }
            guard taken.count < limit, remaining.take(Int(head.bytes - OutboxStore.bytesPerMessage)) else {
                return false
            }
            try row.check()
            if boot.number != head.boot { boot = (head.boot, try file.bootID(head.boot)) }
            var message = Message(
                topic: "", payload: row.payload, retain: row.retain, deliveryClass: deliveryClass, time: head.time,
                expiry: head.expiry, properties: row.properties
            )
            if head.isGap {
                message.topic = gapTopic(deliveryClass)
                let record = Self.record(head, message.payload)
                message.payload = record.payload(
                    deliveryClass: deliveryClass, epoch: epochs.epoch(of: head.id.sequence))
            } else if isExpired {
                let record = Self.record(inPlaceOf: head.id.sequence, head.time, reason: .expired)
                message = self.message(of: record, at: head.time, gapTopic: gapTopic)
            } else {
                message.topic = row.topic
                message.format = row.format
                try file.restamp(&message, boot: head.boot)
            }
            var next = self.claimed(head.id, boot: boot.id, message, isHistorical: isHistorical)
            next.isStored = true
            next.remaining = isExpired ? nil : left
            taken.append(next)
            entering.append((head.id, head.bytes))
            passed = head.id
            return true
        }
        // Behind the last row there is nothing to look for any more.
        if isAtEnd { passed = max(passed ?? id(0), id(storedThrough)) }
        guard let passed else { return 0 }
        for (id, bytes) in entering { storedWindow.append(id, bytes: bytes) }
        if adopted > 0 {
            _ = liveWindow.removeAll(through: passed)
            liveStoredCount -= adopted
        }
        cursor = passed.sequence
        oldestUnclaimed = nil
        budget = remaining
        claimed += taken
        return taken.count
    }

    /// Takes note that the upstream has it.
    /// - Parameter receipts: gets whose acknowledgement waited for it.
    mutating func settle(_ id: MessageID, now: Instant, _ receipts: inout Receipts) {
        if let (bytes, _) = storedWindow.settle(id) {
            settleStored(id, bytes, head: storedWindow.first?.id.sequence ?? cursor + 1)
            departures.took(bytes, now: now)
            return
        }
        guard let (bytes, _) = liveWindow.settle(id) else { return }
        if id.sequence > storedThrough {
            guard let item = unstored.settle(id.sequence) else { return }
            receipts.isSafe(item.receipt)
            if let record = item.record { for receipt in record.receipts { receipts.isSafe(receipt) } }
            return
        }
        liveStoredCount -= 1
        settleStored(id, bytes, head: counters.head)
    }

    // MARK: Setting aside

    /// The upstream will never take a message that is on its way: it is set aside, and a gap record takes its place.
    /// Inside a transaction, on a copy. Whose acknowledgement waited for the message waits for the record.
    /// - Returns: the record, which is on its way instead; `nil` when the message is not on its way or is such a record
    ///   itself.
    mutating func setAside(
        _ id: MessageID, reason: String, _ file: OutboxFile, gapTopic: (DeliveryClass) -> String
    ) throws(SQLiteError) -> OutboxStore.Claimed? {
        let isStored = storedWindow.contains(id) || (liveWindow.contains(id) && id.sequence <= storedThrough)
        if isStored {
            guard let head = try file.message(at: id), !head.isGap else { return nil }
            try file.moveToRefused(id, reason: reason)
            let gap = Self.record(inPlaceOf: id.sequence, head.time, reason: .refused)
            let message = message(of: gap, at: head.time, gapTopic: gapTopic)
            try file.insert(gap, stream: number, boot: head.boot, time: head.time)
            ledger.change(rows: 0, bytes: Self.gapBytes - head.bytes, at: id.sequence)
            storedWindow.resize(id, bytes: Self.gapBytes)
            liveWindow.resize(id, bytes: Self.gapBytes)
            let boot = try file.bootID(head.boot)
            return claimed(id, boot: boot, message, isHistorical: false)
        }
        guard liveWindow.contains(id), let item = unstored.item(at: id.sequence) else { return nil }
        guard let record = leaveOut(item, file, gapTopic: gapTopic) else { return nil }
        try file.insertRefused(item.message, stream: number, reason: reason)
        return record
    }

    /// The same where nothing can be written: the message is told of and not kept.
    mutating func leaveOut(
        _ id: MessageID, _ file: OutboxFile, gapTopic: (DeliveryClass) -> String
    ) throws(SQLiteError) -> OutboxStore.Claimed? {
        if storedWindow.contains(id) || (liveWindow.contains(id) && id.sequence <= storedThrough) {
            guard !leftOut.contains(id), let head = try file.message(at: id), !head.isGap else { return nil }
            leftOut.insert(id)
            let gap = Self.record(inPlaceOf: id.sequence, head.time, reason: .refused)
            let message = message(of: gap, at: head.time, gapTopic: gapTopic)
            let boot = try file.bootID(head.boot)
            return claimed(id, boot: boot, message, isHistorical: false)
        }
        guard liveWindow.contains(id), let item = unstored.item(at: id.sequence) else { return nil }
        return leaveOut(item, file, gapTopic: gapTopic)
    }

    /// Puts the record in the place of a message in memory.
    private mutating func leaveOut(
        _ item: UnstoredMessages.Item, _ file: OutboxFile, gapTopic: (DeliveryClass) -> String
    ) -> OutboxStore.Claimed? {
        let id = id(item.sequence)
        guard item.gap == nil else { return nil }
        let gap = Self.record(inPlaceOf: item.sequence, item.message.time, reason: .refused)
        unstored.replace(item.sequence, with: gap, bytes: Self.gapBytes)
        liveWindow.resize(id, bytes: Self.gapBytes)
        let message = message(of: gap, at: item.message.time, gapTopic: gapTopic)
        return claimed(id, boot: file.bootName, message, isHistorical: false)
    }

    /// - Parameter head: rows below this are settled.
    private mutating func settleStored(_ id: MessageID, _ bytes: Int64, head: Int64) {
        leftOut.remove(id)
        if id.sequence == tailGap?.last { tailGap = nil }
        ledger.settle(id, bytes: bytes, head: head)
    }

    /// What was handed out and not settled is handed out again.
    mutating func release() {
        storedWindow.removeAll()
        liveWindow.removeAll()
        leftOut = []
        liveStoredCount = 0
        unstored.release()
        cursor = counters.head - 1
        oldestUnclaimed = nil
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

    // MARK: Taking back in

    /// Puts a message that was set aside, by its number among those, at the end of the stream. Inside a transaction, on a copy; nothing of the
    /// stream is in memory alone.
    /// - Returns: `false` when the class has no room for it.
    mutating func takeBack(_ number: Int64, bytes: Int64, _ file: OutboxFile) throws(SQLiteError) -> Bool {
        guard !isOver(rows: counters.count + 1, bytes: counters.bytes + bytes) else { return false }
        let sequence = ledger.useSequence()
        try file.moveFromRefused(number, to: id(sequence))
        ledger.change(rows: 1, bytes: bytes, at: sequence)
        storedThrough = sequence
        tailGap = nil
        return true
    }

    // MARK: Looking

    /// Calls `body` with what waits after `sequence`, in order, until it returns `false`; messages on their way are
    /// among them.
    func look(
        after sequence: Int64, _ file: OutboxFile, _ body: (OutboxStore.Waiting) -> Bool
    ) throws(SQLiteError) {
        var isOver = false
        let start = max(sequence, counters.head - 1)
        try file.rows(after: id(start)) { head, row throws(SQLiteError) in
            guard !ledger.isSettled(head.id) else { return true }
            var message = Message(
                topic: "", payload: row.payload, retain: row.retain, deliveryClass: deliveryClass, time: head.time,
                expiry: head.expiry, properties: row.properties)
            if head.isGap {
                message.payload = Self.record(head, message.payload).payload(
                    deliveryClass: deliveryClass, epoch: epochs.epoch(of: head.id.sequence))
            } else {
                message.topic = row.topic
                message.format = row.format
            }
            isOver = !body(waiting(head.id, boot: try file.bootID(head.boot), message, isGap: head.isGap))
            return !isOver
        }
        guard !isOver else { return }
        for place in 0..<unstored.placeCount {
            let item = unstored[place]
            guard item.sequence > sequence, !item.isSettled else { continue }
            var message = item.message
            if let gap = item.gap {
                message.payload = gap.payload(deliveryClass: deliveryClass, epoch: epochs.epoch(of: gap.last))
            }
            guard body(waiting(id(item.sequence), boot: file.bootName, message, isGap: item.gap != nil)) else { return }
        }
    }

    private func waiting(_ id: MessageID, boot: BootID, _ message: Message, isGap: Bool) -> OutboxStore.Waiting {
        let epoch = epochs.epoch(of: id.sequence)
        return OutboxStore.Waiting(
            id: id, epoch: epoch.value, sequence: id.sequence - epoch.first + 1, boot: boot, isGap: isGap,
            message: message)
    }

    /// Whether the first message that could be dropped has waited for too long.
    mutating func hasExpired(_ file: OutboxFile, now: Instant, opened: Instant) throws(SQLiteError) -> Bool {
        guard hasBacklog else { return false }
        if oldestUnclaimed == nil { oldestUnclaimed = try file.firstMessage(after: id(cursor)) }
        guard let oldestUnclaimed else { return false }
        return hasExpired(oldestUnclaimed, file, now: now, opened: opened)
    }

    private func hasExpired(_ head: OutboxFile.Head, _ file: OutboxFile, now: Instant, opened: Instant) -> Bool {
        guard limits.maximumAge != nil || head.expiry != nil else { return false }
        let age = age(head, file, now: now, opened: opened)
        return limits.maximumAge.map { age > $0 } == true || head.expiry.map { age >= $0 } == true
    }

    /// Elapsed time since the message was taken; of an earlier boot's message only what this process has seen of it.
    /// The wall clock has no say.
    private func age(_ head: OutboxFile.Head, _ file: OutboxFile, now: Instant, opened: Instant) -> Duration {
        now - (head.boot == file.boot ? head.time.instant : opened)
    }

    /// The counters may be wrong: ``countRows(_:)`` is to be called until it returns an outcome.
    var isInDoubt: Bool { ledger.isInDoubt }

    /// Counts some more rows of a stream in doubt.
    /// - Returns: `nil` while there are more.
    mutating func countRows(_ file: OutboxFile) throws(SQLiteError) -> RowCount.Outcome? { try ledger.countRows(file) }

    func backlog(_ file: OutboxFile, now: Instant, opened: Instant) throws(SQLiteError) -> ClassBacklog {
        let stored = counters.count > 0 ? try file.firstMessage(after: id(counters.head - 1)) : nil
        // Counters in doubt may say anything.
        var backlog = ClassBacklog(
            deliveryClass: name, count: max(0, count), bytes: max(0, bytes), claimed: claimedCount,
            unstored: Int64(unstored.count), dropped: counters.dropped, setAside: try file.refusedCount(number))
        if let stored {
            backlog.oldest = stored.time
            backlog.oldestAge = age(stored, file, now: now, opened: opened)
        } else if let first = unstored.first {
            backlog.oldest = first.message.time
            backlog.oldestAge = now - first.message.time.instant
        }
        let rate = rate.value(now: now)
        backlog.messagesPerSecond = rate.messages
        backlog.bytesPerSecond = rate.bytes
        if counters.count > 0 {
            // In order, what comes meanwhile waits behind it.
            let arriving = limits.order == .inOrder ? rate.messages : 0
            let net = departures.value(now: now).messages - arriving
            if net > 0 { backlog.timeToDrain = .milliseconds(Int64(min(Double(counters.count) / net, 1e12) * 1_000)) }
        }
        backlog.timeLeft = timeLeft(at: rate, oldest: backlog.oldestAge)
        return backlog
    }

    /// How long the class takes in what comes at this rate before it loses something, were nothing to leave.
    private func timeLeft(at rate: ArrivalRate.Value, oldest: Duration?) -> Duration? {
        guard rate.messages > 0 else { return nil }
        var seconds = Double(max(0, maximumBytes - bytes)) / rate.bytes
        if let maximum = limits.maximumCount { seconds = min(seconds, Double(max(0, maximum - count)) / rate.messages) }
        let left = Duration.milliseconds(Int64(min(seconds, 1e12) * 1_000))
        guard let maximumAge = limits.maximumAge else { return left }
        return max(.zero, min(left, maximumAge - (oldest ?? .zero)))
    }
}
