internal import Glibc

/// The pages in a write-ahead log that belong to transactions which were committed (sqlite.org/fileformat2.html,
/// section 4).
///
/// SQLite takes a log for ended at its first damaged frame. Here a damaged frame is left out, and those after it count
/// when they are sound in themselves.
final class WriteAheadLog {
    private let file: Int32
    let pageSize: Int
    /// Pages of the database after the last commit.
    let databasePages: UInt32
    /// Where in the file each page's newest content is.
    private let places: [UInt32: Int]

    private static let headerSize = 32
    private static let frameHeaderSize = 24
    /// A log larger than this is not this program's.
    private static let sizeLimit = 1 << 30

    /// - Returns: `nil` when there is no log, or none that anything can be told from.
    init?(_ path: String) {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        let size = min(Int(lseek(file, 0, SEEK_END)), Self.sizeLimit)
        let header = PageBytes(DamagedFile.read(file, at: 0, count: Self.headerSize))
        let magic = header.integer32(at: 0) ?? 0
        let pageSize = Int(header.integer32(at: 8) ?? 0)
        guard magic & ~1 == 0x377F_0682, (512...65_536).contains(pageSize), pageSize & (pageSize - 1) == 0 else {
            close(file)
            return nil
        }
        let isBigEndian = magic & 1 == 1
        var sum = Checksum(header.integer32(at: 24) ?? 0, header.integer32(at: 28) ?? 0)
        var places: [UInt32: Int] = [:]
        var uncommitted: [UInt32: Int] = [:]
        var databasePages: UInt32 = 0
        var place = Self.headerSize
        while place + Self.frameHeaderSize + pageSize <= size {
            let frame = DamagedFile.read(file, at: place, count: Self.frameHeaderSize + pageSize)
            let head = PageBytes(frame)
            guard let number = head.integer32(at: 0), let committed = head.integer32(at: 4),
                head.bytes(at: 8, count: 8) == header.bytes(at: 16, count: 8)
            else { break }
            let told = Checksum(head.integer32(at: 16) ?? 0, head.integer32(at: 20) ?? 0)
            sum.add(frame[..<8], isBigEndian: isBigEndian)
            sum.add(frame[Self.frameHeaderSize...], isBigEndian: isBigEndian)
            if sum == told {
                uncommitted[number] = place + Self.frameHeaderSize
                if committed > 0 {
                    places.merge(uncommitted) { $1 }
                    uncommitted = [:]
                    databasePages = committed
                }
            }
            sum = told
            place += Self.frameHeaderSize + pageSize
        }
        self.file = file
        self.pageSize = pageSize
        self.databasePages = databasePages
        self.places = places
    }

    deinit { close(file) }

    /// `nil` when the log does not have it.
    func page(_ number: UInt32) -> [UInt8]? {
        places[number].map { DamagedFile.read(file, at: $0, count: pageSize) }
    }

    /// Section 4.2, "Checksum Algorithm".
    private struct Checksum: Equatable {
        private var first: UInt32
        private var second: UInt32

        init(_ first: UInt32, _ second: UInt32) { (self.first, self.second) = (first, second) }

        mutating func add(_ bytes: ArraySlice<UInt8>, isBigEndian: Bool) {
            bytes.withUnsafeBytes { bytes in
                for place in stride(from: 0, to: bytes.count - 7, by: 8) {
                    first &+= Self.word(bytes, place, isBigEndian) &+ second
                    second &+= Self.word(bytes, place + 4, isBigEndian) &+ first
                }
            }
        }

        private static func word(_ bytes: UnsafeRawBufferPointer, _ place: Int, _ isBigEndian: Bool) -> UInt32 {
            let word = bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)
            return isBigEndian ? UInt32(bigEndian: word) : UInt32(littleEndian: word)
        }
    }
}
