internal import Database

/// Counts a stream's rows in small steps while the stream is in use.
///
/// Rows up to ``position`` are counted. What changes there meanwhile is told to ``rowsChanged(rows:bytes:at:)``, and
/// what changes beyond it is met later: in the end the count is that of the rows which are there then.
struct RowCount {
    /// What the rows said, beside what the counters had said.
    struct Outcome: Hashable, Sendable {
        let counted: OutboxFile.Counters
        let told: OutboxFile.Counters
    }

    /// A few milliseconds' worth.
    static let rowsPerStep = 2_000

    private(set) var rows: Int64 = 0
    private(set) var bytes: Int64 = 0
    private var position: Int64

    /// - Parameter sequence: rows behind this one are counted.
    init(after sequence: Int64) { position = sequence }

    /// The stream's rows at `sequence` have become more or fewer.
    mutating func rowsChanged(rows: Int64, bytes: Int64, at sequence: Int64) {
        guard sequence <= position else { return }
        self.rows += rows
        self.bytes += bytes
    }

    /// One step.
    /// - Parameter isWaiting: whether a row waits; settled ones are not counted.
    /// - Returns: whether all are counted.
    mutating func proceed(
        _ file: OutboxFile, stream: Int64, isWaiting: (MessageID) -> Bool
    ) throws(SQLiteError) -> Bool {
        var next = self
        var seen = 0
        let isOver = try file.rows(after: MessageID(stream: stream, sequence: position)) { header, _ in
            if isWaiting(header.id) {
                next.rows += 1
                next.bytes += header.bytes
            }
            next.position = header.id.sequence
            seen += 1
            return seen < Self.rowsPerStep
        }
        self = next
        return isOver
    }
}
