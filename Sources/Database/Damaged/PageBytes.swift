/// Bytes of a database file, read with care: whatever they say, nothing outside of them is touched.
struct PageBytes: Hashable, Sendable {
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var count: Int { bytes.count }

    /// The file begins as a database does (sqlite.org/fileformat2.html, section 1.3.1).
    var startsWithMagic: Bool { bytes.starts(with: "SQLite format 3\0".utf8) }

    /// 0 beyond the end.
    func integer8(at place: Int) -> Int { bytes.indices.contains(place) ? Int(bytes[place]) : 0 }

    /// Big-endian; 0 beyond the end.
    func integer16(at place: Int) -> Int { integer8(at: place) << 8 | integer8(at: place + 1) }

    /// Big-endian.
    func integer32(at place: Int) -> UInt32? {
        guard place >= 0, place + 4 <= bytes.count else { return nil }
        return bytes[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    func bytes(at place: Int, count: Int) -> [UInt8]? {
        guard place >= 0, count >= 0, place <= bytes.count - count else { return nil }
        return Array(bytes[place..<place + count])
    }

    /// One to nine bytes, the most significant first (section 1.6, "varint").
    func variableInteger(at place: inout Int) -> Int64? {
        var value: UInt64 = 0
        for index in 0..<9 {
            guard bytes.indices.contains(place) else { return nil }
            let byte = bytes[place]
            place += 1
            if index == 8 { return Int64(bitPattern: value << 8 | UInt64(byte)) }
            value = value << 7 | UInt64(byte & 0x7F)
            if byte < 0x80 { return Int64(bitPattern: value) }
        }
        return nil
    }
}
