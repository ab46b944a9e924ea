internal import Database
internal import Readings

/// What the file holds of one stream: its counters, its epochs, and which of its rows are settled and not deleted yet.
///
/// Counters reach the file in one way only, ``write(to:unstored:)``: it deletes in the same transaction the rows that
/// the counters leave out. At every instant, and so after every crash, the counters in the file count exactly the rows
/// from ``Counters/head`` on.
///
/// A value: a transaction works on a copy, which takes the original's place when the COMMIT has succeeded.
struct StreamLedger {
    typealias Counters = OutboxFile.Counters

    /// What is written of a stream. Only ``write(to:unstored:)`` makes one, after it has deleted what is left out.
    struct Record {
        let number: Int64
        let name: DeliveryClass
        let counters: Counters
        /// `nil` when the file has them already.
        let epochs: Epochs?

        fileprivate init(number: Int64, name: DeliveryClass, counters: Counters, epochs: Epochs?) {
            self.number = number
            self.name = name
            self.counters = counters
            self.epochs = epochs
        }
    }

    /// Settled rows below the head are deleted when there are so many, or none but them: their pages are written once
    /// each time.
    private static let garbageLimit: Int64 = 1_000

    let number: Int64
    /// What the file calls the stream.
    let name: DeliveryClass
    /// What the file says or, where ``differs`` is set, is to say.
    private(set) var counters: Counters
    private(set) var epochs: Epochs
    /// Settled rows at or beyond the head that are still in the file.
    private var settledRows: Set<MessageID> = []
    /// Rows below the head that are still in the file, as far as is known.
    private var garbage: Int64
    /// Settled since the last write: a crash would deliver them again.
    private(set) var unrecorded = 0
    private var countersDiffer = false
    private var epochsDiffer = false
    /// The rows are being counted, because the file's counters are in doubt.
    private var recount: RowCount?

    /// - Parameters:
    ///   - isNew: the file does not have the stream; it gets it with the first write.
    ///   - isInDoubt: the counters may be wrong: ``countRows(_:)`` is to be called until it returns an outcome.
    init(_ stored: OutboxFile.StoredStream, isNew: Bool, isInDoubt: Bool = false) {
        number = stored.number
        name = stored.name
        counters = stored.counters
        epochs = stored.epochs
        // A crash may have left some; one range removes them all.
        garbage = stored.counters.head > 1 ? 1 : 0
        epochsDiffer = isNew
        if isInDoubt { recount = RowCount(after: stored.counters.head - 1) }
    }

    private func id(_ sequence: Int64) -> MessageID { MessageID(stream: number, sequence: sequence) }

    /// A write would change the file.
    var differs: Bool { countersDiffer || !settledRows.isEmpty }
    /// Nobody knows yet whether the counters are right.
    var isInDoubt: Bool { recount != nil }

    // MARK: Sequences

    /// Uses up the next sequence.
    mutating func useSequence() -> Int64 {
        defer { counters.next += 1 }
        countersDiffer = true
        return counters.next
    }

    /// Uses up the sequences of a gap record.
    mutating func useSequences(of gap: Gap) {
        counters.next = gap.last + 1
        noteDropped(gap.count)
    }

    /// So many messages were lost; gap records speak for them.
    mutating func noteDropped(_ count: Int64) {
        counters.dropped += count
        countersDiffer = true
    }

    /// From the sequence `epoch.first` on, sequences count under another epoch.
    mutating func begin(_ epoch: Epoch) {
        epochs.begin(epoch)
        epochsDiffer = true
        countersDiffer = true
    }

    /// The file is to know the stream, though nothing of it is to be told.
    mutating func mustBeKnown() { countersDiffer = countersDiffer || epochsDiffer }

    // MARK: Rows

    /// Rows at `sequence` have come to wait, or wait no more, in the transaction that this copy belongs to.
    mutating func change(rows: Int64, bytes: Int64, at sequence: Int64) {
        counters.count += rows
        counters.bytes += bytes
        countersDiffer = true
        recount?.rowsChanged(rows: rows, bytes: bytes, at: sequence)
    }

    /// A row that waits is settled. It is deleted by the next write.
    /// - Parameter head: rows below this are settled.
    mutating func settle(_ id: MessageID, bytes: Int64, head: Int64) {
        if head > counters.head {
            counters.head = head
            garbage += 1
        }
        if id.sequence >= head {
            settledRows.insert(id)
        } else if !settledRows.isEmpty {
            // Those that the head has passed go with what lies below it.
            let kept = settledRows.filter { $0.sequence >= head }
            garbage += Int64(settledRows.count - kept.count)
            settledRows = kept
        }
        change(rows: -1, bytes: -bytes, at: id.sequence)
        unrecorded += 1
    }

    /// Whether a row that is in the file is settled.
    func isSettled(_ id: MessageID) -> Bool { settledRows.contains(id) }

    /// The rows between the two, both included, were deleted in the transaction that this copy belongs to.
    mutating func forgetSettled(from first: MessageID, through last: MessageID) {
        guard !settledRows.isEmpty else { return }
        settledRows = settledRows.filter { $0 < first || $0 > last }
    }

    // MARK: Writing

    /// Deletes settled rows before the space is needed for others. Inside a transaction, which ends with
    /// ``write(to:unstored:)``.
    mutating func makeRoom(in file: OutboxFile) throws(SQLiteError) {
        if garbage > 0 { try deleteGarbage(file) }
        try deleteSettledRows(file)
    }

    /// Writes what differs from the file, after deleting the rows that the counters leave out. Inside a transaction.
    /// - Parameter unstored: the first sequence that is in memory alone; `nil` for none. It and later ones are not used
    ///   up in the file: a crash would lose them without their having been anywhere.
    mutating func write(to file: OutboxFile, unstored first: Int64?) throws(SQLiteError) {
        if garbage >= Self.garbageLimit || (garbage > 0 && counters.count == 0 && !isInDoubt) {
            try deleteGarbage(file)
        }
        try deleteSettledRows(file)
        unrecorded = 0
        guard countersDiffer else { return }
        var written = counters
        if let first { written.next = first }
        if epochsDiffer { epochs.forget(before: counters.head) }
        try file.write(Record(number: number, name: name, counters: written, epochs: epochsDiffer ? epochs : nil))
        epochsDiffer = false
        countersDiffer = written.next != counters.next
    }

    private mutating func deleteGarbage(_ file: OutboxFile) throws(SQLiteError) {
        _ = try file.delete(from: id(0), to: id(counters.head - 1))
        garbage = 0
    }

    private mutating func deleteSettledRows(_ file: OutboxFile) throws(SQLiteError) {
        guard !settledRows.isEmpty else { return }
        for id in settledRows { _ = try file.delete(from: id, to: id) }
        settledRows = []
    }

    // MARK: Counting

    /// Counts some more rows of a stream in doubt. Outside of transactions. Cost: reads up to ``RowCount/rowsPerStep``
    /// rows.
    /// - Returns: `nil` while there are more.
    mutating func countRows(_ file: OutboxFile) throws(SQLiteError) -> RowCount.Outcome? {
        guard var recount else { return RowCount.Outcome(counted: counters, told: counters) }
        let isOver = try recount.proceed(file, stream: number) { $0.sequence >= counters.head && !isSettled($0) }
        self.recount = isOver ? nil : recount
        guard isOver else { return nil }
        let told = counters
        (counters.count, counters.bytes) = (recount.rows, recount.bytes)
        if counters != told { countersDiffer = true }
        return RowCount.Outcome(counted: counters, told: told)
    }
}
