/// Names one stored message: which stream it belongs to and its place in it.
///
/// The number is the row's key: the stream's number in the upper bits, the sequence in the lower 48. Rows of one
/// stream therefore lie side by side, in order, and need no second index.
package struct MessageID: Hashable, Comparable, Sendable {
    package var rawValue: Int64

    package init(rawValue: Int64) { self.rawValue = rawValue }

    init(stream: Int64, sequence: Int64) { rawValue = stream << Self.sequenceBits | sequence }

    package static func < (a: MessageID, b: MessageID) -> Bool { a.rawValue < b.rawValue }

    /// 2.8 × 10¹⁴ messages: 890 years at 10,000 per second.
    static let sequenceBits: Int64 = 48

    var stream: Int64 { rawValue >> Self.sequenceBits }
    /// Counted from 1.
    package var sequence: Int64 { rawValue & (1 << Self.sequenceBits - 1) }
}
