internal import Readings

/// A run of messages of one stream that were lost: to a bound, to damage, or because somebody wanted it.
///
/// It waits in the stream in their place: its sequence is that of the last message it speaks for. A consumer that
/// has not seen that message moves on to `last + 1`; one that has can ignore the record, for in an ordered stream it
/// then has the earlier ones too.
struct Gap: Hashable, Sendable {
    /// Why messages were lost. A record that swallowed another carries both reasons.
    struct Reason: OptionSet, Hashable, Sendable {
        var rawValue: Int64
        /// The class was full.
        static let overflow = Reason(rawValue: 1)
        /// They had waited for longer than the class allows.
        static let expired = Reason(rawValue: 2)
        /// The upstream will never take them.
        static let refused = Reason(rawValue: 4)
        /// Somebody emptied the queue by hand.
        static let purged = Reason(rawValue: 8)
        /// They stood in a file that was damaged.
        static let damaged = Reason(rawValue: 16)
        /// They could not be made.
        static let invalid = Reason(rawValue: 32)
    }

    /// Messages lost; less than the range of sequences where one inside it had got through.
    var count: Int64
    /// First and last sequence.
    var first: Int64
    var last: Int64
    /// Wall-clock times of the first and last message, Unix nanoseconds.
    var from: Int64
    var to: Int64
    var reason: Reason

    /// Extends the record by what directly follows it.
    mutating func append(_ next: Gap) {
        count += next.count
        last = next.last
        to = next.to
        reason.formUnion(next.reason)
    }
}

extension Gap {
    /// Bytes of a stored record.
    static let storedByteCount = 48

    /// The record as its row's payload: six integers, little-endian.
    var stored: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.storedByteCount)
        for value in [count, first, last, from, to, reason.rawValue] {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    /// - Returns: `nil` when the bytes are no stored record.
    init?(stored bytes: [UInt8]) {
        guard bytes.count == Self.storedByteCount else { return nil }
        func integer(_ index: Int) -> Int64 {
            bytes.withUnsafeBytes { Int64(littleEndian: $0.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)) }
        }
        self.init(
            count: integer(0), first: integer(1), last: integer(2), from: integer(3), to: integer(4),
            reason: Reason(rawValue: integer(5))
        )
    }

    /// What the consumer reads, in the sequences of its epoch. Class names are letters, digits, `-` and `_`: nothing
    /// needs escaping.
    func payload(deliveryClass: DeliveryClass, epoch: Epoch) -> [UInt8] {
        let first = first - epoch.first + 1
        let last = last - epoch.first + 1
        var reasons: [String] = []
        if reason.contains(.overflow) { reasons.append("overflow") }
        if reason.contains(.expired) { reasons.append("expired") }
        if reason.contains(.refused) { reasons.append("refused") }
        if reason.contains(.purged) { reasons.append("purged") }
        if reason.contains(.damaged) { reasons.append("damaged") }
        if reason.contains(.invalid) { reasons.append("invalid") }
        let text =
            #"{"gap":{"class":"\#(deliveryClass.name)","count":\#(count),"first_seq":\#(first),"last_seq":\#(last),"#
            + #""from":"\#(rfc3339(unixNanoseconds: from))","to":"\#(rfc3339(unixNanoseconds: to))","#
            + #""reason":"\#(reasons.joined(separator: "+"))"}}"#
        return Array(text.utf8)
    }
}
