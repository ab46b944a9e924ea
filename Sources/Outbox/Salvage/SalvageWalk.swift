internal import Database
internal import Readings

/// Walks along a salvaged stream, counts it, and puts gap records where messages are missing.
struct SalvageWalk {
    let stream: SalvagedFile.FoundStream
    private(set) var counters = OutboxFile.Counters()
    private(set) var saved: Int64 = 0
    private(set) var lost: Int64 = 0
    /// The next place that is to be there; `nil` before the first row where nobody knows.
    private var expected: Int64?
    private var place: Int64 = 0
    private var isPastHead = false
    /// Of the last row.
    private var last: (boot: Int64, time: Timestamp)?

    /// Rows that are looked at between two breaths.
    private static let rowsPerStep = 10_000

    init(_ stream: SalvagedFile.FoundStream) {
        self.stream = stream
        expected = stream.counters?.head
    }

    private func id(_ sequence: Int64) -> MessageID { MessageID(stream: stream.number, sequence: sequence) }

    /// One step. Inside a transaction, on a copy that takes the original's place when it has succeeded: the caller has
    /// begun anew otherwise.
    /// - Returns: whether there is more to do.
    mutating func proceed(_ file: OutboxFile) throws(SQLiteError) -> Bool {
        if !isPastHead {
            // What was settled may still stand in pages.
            if let head = expected, head > 1 { _ = try file.delete(from: id(0), to: id(head - 1)) }
            isPastHead = true
        }
        var missing: [(gap: Gap, boot: Int64, time: Timestamp)] = []
        var rows = 0
        let start = place
        try file.rows(after: id(start)) { head, row throws(SQLiteError) in
            rows += 1
            let known = head.isGap ? Gap(stored: row.payload) : nil
            note(head, first: known?.first ?? head.id.sequence, file, into: &missing)
            return rows < Self.rowsPerStep
        }
        let isOver = rows < Self.rowsPerStep
        if isOver { noteEnd(file, into: &missing) }
        for (gap, boot, time) in missing {
            try file.insert(gap, stream: stream.number, boot: boot, time: time)
            counters.count += 1
            counters.bytes += OutboxStore.bytesPerMessage + Int64(Gap.storedByteCount)
            counters.dropped += gap.count
            lost += gap.count
        }
        return !isOver
    }

    private mutating func note(
        _ head: OutboxFile.Head, first: Int64, _ file: OutboxFile,
        into missing: inout [(gap: Gap, boot: Int64, time: Timestamp)]
    ) {
        let sequence = head.id.sequence
        if counters.count == 0, missing.isEmpty { counters.head = min(expected ?? first, first) }
        addGaps(from: expected ?? first, through: min(first, sequence) - 1, before: head, file, into: &missing)
        expected = max(expected ?? 0, sequence + 1)
        place = sequence
        last = (head.boot, head.time)
        counters.count += 1
        counters.bytes += head.bytes
        counters.next = sequence + 1
        if !head.isGap { saved += 1 }
    }

    private mutating func noteEnd(
        _ file: OutboxFile, into missing: inout [(gap: Gap, boot: Int64, time: Timestamp)]
    ) {
        guard let told = stream.counters, let expected, told.next > expected, told.count > 0 else { return }
        if counters.count == 0, missing.isEmpty { counters.head = expected }
        addGaps(from: expected, through: told.next - 1, before: nil, file, into: &missing)
        counters.next = told.next
    }

    /// One record for each epoch that the missing ones belong to.
    private func addGaps(
        from first: Int64, through end: Int64, before next: OutboxFile.Head?, _ file: OutboxFile,
        into missing: inout [(gap: Gap, boot: Int64, time: Timestamp)]
    ) {
        var start = first
        while start <= end {
            let following = stream.epochs.all.first { $0.first > start }?.first ?? .max
            let through = min(end, following - 1)
            // Perhaps nothing is left that says when.
            let time =
                next?.time ?? last?.time
                ?? Timestamp(instant: Instant(nanoseconds: 0), unixNanoseconds: 0, quality: .unsynced)
            missing.append(
                (
                    Gap(
                        count: through - start + 1, first: start, last: through,
                        from: (last?.time ?? time).unixNanoseconds, to: time.unixNanoseconds, reason: .damaged),
                    next?.boot ?? last?.boot ?? file.boot, time
                ))
            start = through + 1
        }
    }
}
