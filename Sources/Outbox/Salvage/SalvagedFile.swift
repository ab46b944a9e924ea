internal import Database
internal import Readings

/// What was found in a damaged file, under the numbers that it has in the new one. Its rows are written as they are
/// found; this keeps the rest.
struct SalvagedFile {
    /// A stream of the damaged file, as far as it is known.
    struct FoundStream {
        /// In the new file.
        var number: Int64
        var name: DeliveryClass
        /// `nil` where its row could not be read.
        var counters: OutboxFile.Counters?
        var epochs: Epochs
    }

    private let base: (stream: Int64, boot: Int64)
    private var sorted = SalvagedRows()
    private var messages: [SalvagedRows.Row] = []
    private var refused: [SalvagedRows.Refused] = []
    /// Streams of which there are rows, by the damaged file's numbers.
    private var seen: Set<Int64> = []
    var finished: [SalvageWalk] = []

    init(base: (stream: Int64, boot: Int64)) { self.base = base }

    /// - Returns: bytes of what is to be written.
    mutating func add(_ record: TableRecord) -> Int {
        switch sorted.sort(record) {
        case .message(var row):
            let stream = base.stream + row.id.stream
            guard stream < 1 << (63 - MessageID.sequenceBits) else { return 0 }
            seen.insert(row.id.stream)
            row.id = MessageID(stream: stream, sequence: row.id.sequence)
            row.boot += base.boot
            let bytes = row.payload.count
            messages.append(row)
            return bytes
        case .refused(var refused):
            refused.stream += base.stream
            refused.row.boot += base.boot
            self.refused.append(refused)
            return refused.row.payload.count
        case .other: return 0
        }
    }

    /// The largest number that a stream has here.
    var lastStreamNumber: Int64 { base.stream + (seen.max() ?? 0) }

    /// What was found since the last call.
    mutating func takeRows() -> (messages: [SalvagedRows.Row], refused: [SalvagedRows.Refused]) {
        defer { (messages, refused) = ([], []) }
        return (messages, refused)
    }

    /// The streams with something to tell: rows, or messages that should be there.
    var streams: [FoundStream] {
        var found: [FoundStream] = []
        let numbers = seen.union(sorted.streams.filter { $0.value.counters.count > 0 }.keys)
        for number in numbers.sorted() {
            let told = sorted.streams[number]
            let epochs = (sorted.epochs[number] ?? []).sorted { $0.first < $1.first }
            found.append(
                FoundStream(
                    number: base.stream + number, name: DeliveryClass(told?.name ?? DeliveryClass.telemetry.name),
                    counters: told?.counters,
                    // Without it nobody can tell what the sequences counted under.
                    epochs: Epochs(epochs.isEmpty ? [Epoch.random(first: 1)] : epochs)))
        }
        return found
    }

    /// Makes the streams known to the file: from then on they are drained like others. Inside a transaction.
    /// - Parameter number: of a class's own stream.
    func finish(
        _ file: OutboxFile, suffix: String, number: (DeliveryClass) -> Int64?
    ) throws(SQLiteError) -> [StreamLedger] {
        for (number, boot) in sorted.boots {
            try file.insertBoot(base.boot + number, name: boot.name + suffix, offset: boot.offset)
        }
        var made: [StreamLedger] = []
        var names: Set<DeliveryClass> = []
        for walk in finished where walk.counters.count > 0 {
            var name = DeliveryClass(walk.stream.name.name + suffix)
            // Two streams whose names are lost would be the same class.
            if !names.insert(name).inserted {
                name = DeliveryClass("\(walk.stream.name.name)-\(walk.stream.number)\(suffix)")
            }
            names.insert(name)
            var ledger = StreamLedger(
                OutboxFile.StoredStream(
                    number: walk.stream.number, name: name, counters: walk.counters, epochs: walk.stream.epochs),
                isNew: true)
            ledger.mustBeKnown()
            try ledger.write(to: file, unstored: nil)
            made.append(ledger)
        }
        for (old, told) in sorted.streams {
            if let own = number(DeliveryClass(told.name)) {
                try file.moveRefused(fromStream: base.stream + old, toStream: own)
            }
        }
        return made
    }
}
