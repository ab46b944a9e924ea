internal import Glibc

/// A write-ahead log, read without SQLite (sqlite.org/walformat.html): the pages that belong to transactions which were
/// committed, and whether SQLite finds all of those.
///
/// SQLite takes a log for ended at its first damaged frame, as it must: a power cut leaves the last transaction in any
/// state, some of its frames written and others not. But every commit is synced before the next transaction begins.
/// Where a whole transaction stands beyond a damaged frame's own, something was damaged that had been synced. Here a
/// damaged frame is left out then, and those after it count when they are sound in themselves.
final class WriteAheadLog {
    private let file: Int32
    let pageSize: Int
    /// Pages of the database after the last commit.
    let databasePages: UInt32
    /// Where in the file each page's newest content is.
    private let places: [UInt32: Int]
    /// The same of transactions at the end that have a commit, but are damaged, or were never synced, or were written
    /// over: nobody can tell.
    private let doubtfulPlaces: [UInt32: Int]
    /// Committed transactions lie beyond a damaged frame: SQLite leaves them out.
    let isDamaged: Bool
    /// Something of this log lies beyond the last commit that SQLite finds: of a transaction that never was committed,
    /// or of one that is damaged.
    let endsEarly: Bool

    private static let frameHeaderSize = 24
    /// A log larger than this is not this program's.
    private static let sizeLimit = 1 << 30

    /// Cost: reads the log once.
    /// - Parameter pageSize: what the database says; it counts where the log's header is damaged.
    /// - Returns: `nil` when there is no log, or none that anything can be told from.
    init?(_ path: String, pageSize told: Int?) {
        guard let (file, fileSize) = try? DamagedFile.open(path) else { return nil }
        let size = min(fileSize, Self.sizeLimit)
        guard let header = Header(file, size: size, pageSize: told) else {
            close(file)
            return nil
        }
        let pageSize = header.pageSize
        var scan = Scan(header)
        var place = Header.size
        while place < size {
            // What is left of a frame that was cut off says at most whose it was.
            let head = PageBytes(DamagedFile.read(file, at: place, count: min(Self.frameHeaderSize, size - place)))
            let content = place + Self.frameHeaderSize
            if content + pageSize <= size, scan.isOwn(head) {
                scan.add(head, DamagedFile.read(file, at: content, count: pageSize), at: content)
            } else {
                scan.skip(head)
            }
            place = content + pageSize
        }
        self.file = file
        self.pageSize = pageSize
        databasePages = scan.databasePages
        places = scan.committed
        doubtfulPlaces = scan.doubtful
        isDamaged = scan.isDamaged
        endsEarly = scan.endsEarly
    }

    deinit { close(file) }

    /// `nil` when the log does not have it.
    func page(_ number: UInt32) -> [UInt8]? {
        places[number].map { DamagedFile.read(file, at: $0, count: pageSize) }
    }

    /// Pages that stand in transactions which may or may not have been committed.
    var doubtfulPages: [UInt32] { doubtfulPlaces.keys.sorted() }

    func doubtfulPage(_ number: UInt32) -> [UInt8]? {
        doubtfulPlaces[number].map { DamagedFile.read(file, at: $0, count: pageSize) }
    }

    // MARK: Header

    /// What the frames are held against.
    private struct Header {
        static let size = 32

        let pageSize: Int
        let isBigEndian: Bool
        let salts: [UInt8]
        /// How often the log was begun anew; each time the first salt grew by one.
        let generation: UInt32
        /// What the first frame's checksum goes on from. Two where the header contradicts itself.
        let sums: [Checksum]
        let isSound: Bool

        init?(_ file: Int32, size: Int, pageSize told: Int?) {
            let bytes = DamagedFile.read(file, at: 0, count: Self.size)
            guard bytes.count == Self.size else { return nil }
            let header = PageBytes(bytes)
            let magic = header.integer32(at: 0) ?? 0
            let isKnown = magic & ~1 == 0x377F_0682
            // Where it is damaged: logs are not carried from one machine to another.
            isBigEndian = isKnown ? magic & 1 == 1 : UInt32(bigEndian: 1) == 1
            let stored = Checksum(header.integer32(at: 24) ?? 0, header.integer32(at: 28) ?? 0)
            var computed = Checksum(0, 0)
            computed.add(bytes[..<24], isBigEndian: isBigEndian)
            let own = Int(header.integer32(at: 8) ?? 0)
            let isPageSize = (512...65_536).contains(own) && own & (own - 1) == 0
            isSound = isKnown && isPageSize && computed == stored
            if !isSound, let told {
                pageSize = told
            } else if isPageSize {
                pageSize = own
            } else {
                return nil
            }
            generation = header.integer32(at: 12) ?? 0
            sums = isSound ? [stored] : [stored, computed]
            guard let salts = isSound ? Array(bytes[16..<24]) : Self.salts(file, size: size, pageSize: pageSize) else {
                return nil
            }
            self.salts = salts
        }

        /// The first that two frames agree on.
        private static func salts(_ file: Int32, size: Int, pageSize: Int) -> [UInt8]? {
            let frameSize = WriteAheadLog.frameHeaderSize + pageSize
            var last: [UInt8]?
            for place in stride(from: Self.size, through: size - frameSize, by: frameSize) {
                let head = PageBytes(DamagedFile.read(file, at: place, count: 16))
                // Zeros are nobody's.
                let salts = head.integer32(at: 0) == 0 ? nil : head.bytes(at: 8, count: 8)
                if let salts, salts == last { break }
                last = salts ?? last
            }
            return last
        }
    }

    // MARK: Frames

    /// Goes along the frames and tells what was committed.
    private struct Scan {
        private let header: Header
        private(set) var committed: [UInt32: Int] = [:]
        private(set) var doubtful: [UInt32: Int] = [:]
        private(set) var databasePages: UInt32 = 0
        private(set) var isDamaged = false
        private(set) var endsEarly = false

        /// Sound frames since the last commit.
        private var pending: [UInt32: Int] = [:]
        /// What the next frame's checksum goes on from.
        private var sums: [Checksum]
        /// SQLite has stopped by now.
        private var isBroken: Bool
        /// All frames since the last commit, or since the header, were sound, the first of them too.
        private var isWhole = true
        private var count = 0
        /// The last frame, where it ended a transaction.
        private var lastCommit: (page: UInt32, content: [UInt8], isSound: Bool)?

        init(_ header: Header) {
            self.header = header
            sums = header.sums
            isBroken = !header.isSound
        }

        func isOwn(_ head: PageBytes) -> Bool { head.bytes(at: 8, count: 8) == header.salts }

        /// A frame of another generation, or one that is damaged beyond recognition, or the rest of one.
        mutating func skip(_ head: PageBytes) {
            sums = [Checksum(head.integer32(at: 16) ?? 0, head.integer32(at: 20) ?? 0)]
            isBroken = true
            isWhole = false
            count = 0
            lastCommit = nil
            guard let salt = head.integer32(at: 8), let own = PageBytes(header.salts).integer32(at: 0) else { return }
            let age = own &- salt
            if age == 0 || age > header.generation { endsEarly = true }
        }

        /// A frame with this log's salts.
        /// - Parameter place: where in the file its page stands.
        mutating func add(_ head: PageBytes, _ content: [UInt8], at place: Int) {
            let number = head.integer32(at: 0) ?? 0
            let pages = head.integer32(at: 4) ?? 0
            let told = Checksum(head.integer32(at: 16) ?? 0, head.integer32(at: 20) ?? 0)
            let isSound =
                number > 0
                && sums.contains { sum in
                    var sum = sum
                    sum.add((head.bytes(at: 0, count: 8) ?? [])[...], isBigEndian: header.isBigEndian)
                    sum.add(content[...], isBigEndian: header.isBigEndian)
                    return sum == told
                }
            sums = [told]
            count += 1
            if isSound {
                pending[number] = place
            } else {
                (isBroken, isWhole) = (true, false)
            }
            // Until a commit says otherwise.
            endsEarly = true
            guard pages > 0 else {
                lastCommit = nil
                return
            }
            // Where the disk does not promise to leave the rest of a sector alone, SQLite repeats the last frame up to the
            // end of the sector, and syncs there: the rest of that frame is synced with the next transaction only.
            let isRepeated = count == 1 && lastCommit?.page == number
            if isSound {
                let isNew = !isRepeated || lastCommit.map { $0.isSound && $0.content != content } == true
                commit(pages: pages, isWhole: isWhole && isNew)
            }
            lastCommit = (number, content, isSound)
            isWhole = isSound || !isRepeated
            count = 0
        }

        /// - Parameter isWhole: the transaction is, and is not the repeated end of another one.
        private mutating func commit(pages: UInt32, isWhole: Bool) {
            databasePages = pages
            if isBroken {
                // It follows another one's commit, which had been synced by then: all before it had been written. In a
                // transaction that a cut or an error took something is missing.
                guard isWhole else {
                    doubtful.merge(pending) { $1 }
                    pending = [:]
                    return
                }
                isDamaged = true
                committed.merge(doubtful) { $1 }
                doubtful = [:]
            } else {
                endsEarly = false
            }
            committed.merge(pending) { $1 }
            pending = [:]
        }
    }

    /// Section 4, "Checksum Algorithm".
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
