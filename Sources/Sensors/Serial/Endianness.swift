/// Which byte of a number of several bytes comes first on the line.
package enum Endianness: Hashable, Sendable {
    /// The most significant one.
    case big
    /// The least significant one.
    case little
}

extension Endianness {
    /// The unsigned number in `bytes`, of which there are at most 8.
    func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        switch self {
        case .big: bytes.reduce(0) { $0 << 8 | UInt64($1) }
        case .little: bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
    }
}
