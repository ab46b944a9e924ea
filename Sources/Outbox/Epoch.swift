/// From where on sequences count under which epoch.
///
/// A new epoch begins wherever it cannot be proven that the sequences go on: in a new file, and after a process has
/// ended while messages were on their way that the file knew nothing of. Its first message has sequence 1, so that a
/// consumer can tell that it has all of an epoch's messages from the first on.
struct Epoch: Hashable, Sendable {
    /// The place in the stream, as ``MessageID/sequence`` counts, that is 1 in this epoch.
    var first: Int64
    /// Random, 1 ..< 2⁵³, so that it survives a consumer that reads JSON numbers as doubles.
    var value: UInt64

    /// A value as it goes over the wire: 16 hexadecimal digits.
    static func digits(of value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    static func random(first: Int64) -> Epoch { Epoch(first: first, value: .random(in: 1..<1 << 53)) }
}

/// One stream's epochs, those that stored messages may belong to.
struct Epochs: Hashable, Sendable {
    /// Ascending, never empty.
    private(set) var all: [Epoch]

    init(_ all: [Epoch]) {
        precondition(!all.isEmpty, "a stream has an epoch")
        self.all = all
    }

    /// The one that a place in the stream belongs to.
    func epoch(of sequence: Int64) -> Epoch { all.last { $0.first <= sequence } ?? all[0] }

    /// Whether no epoch begins after `a` up to `b`.
    func areTogether(_ a: Int64, _ b: Int64) -> Bool { epoch(of: a) == epoch(of: b) }

    /// Begins a new one. One that never got a message gives way to it.
    mutating func begin(_ epoch: Epoch) {
        all.removeAll { $0.first >= epoch.first }
        all.append(epoch)
    }

    /// Forgets those that ended before `sequence`.
    mutating func forget(before sequence: Int64) {
        let current = epoch(of: sequence)
        all.removeAll { $0.first < current.first }
    }
}
