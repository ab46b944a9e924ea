internal import Glibc
internal import Linux

/// The pages of a database file that SQLite does not open any more, and of its write-ahead log, read without SQLite
/// (sqlite.org/fileformat2.html). Nothing is written. For one owner at a time.
///
/// Every page is looked at for itself: neither the header nor the tree above a page is needed to read it.
package final class DamagedFile {
    /// Why the file cannot be read at all.
    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        package var path: String
        /// errno; `EISDIR` and `ENODEV` of something that is no file.
        package var code: Int32

        package var reason: String {
            switch code {
            case EISDIR: "it is a folder and not a file"
            case ENODEV: "it is neither a file nor a folder"
            default: ErrnoText.text(code)
            }
        }

        /// What a person can do.
        package var remedy: String {
            switch code {
            case EISDIR, ENODEV: "move it to another folder: only damaged files have such names"
            case EACCES, EPERM: "let the service's user read it (chown)"
            case EMFILE, ENFILE: "raise LimitNOFILE= in the unit"
            default: "check the storage (journalctl -k)"
            }
        }

        package var description: String { "cannot read the damaged file \(path): \(reason)\n  try: \(remedy)" }
    }

    private let file: Int32
    private let log: WriteAheadLog?
    private let pageSize: Int
    /// Of a page, what SQLite uses.
    private let usableSize: Int
    /// Pages are counted from 1.
    package let pageCount: UInt32
    /// Pages that were not in use: what stands in them was deleted.
    private var freePages: Set<UInt32> = []

    /// What this program's files have.
    private static let usualPageSize = 4_096
    /// More free pages than this are looked at like the others: what they hold may come once more.
    private static let freePageLimit = 1 << 20

    /// Opens something for reading if it is a file. Does not wait, whatever it is.
    static func open(_ path: String) throws(Failure) -> (file: Int32, size: Int) {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw Failure(path: path, code: errno) }
        var information = stat()
        let code = fstat(file, &information) == 0 ? 0 : errno
        guard code == 0, information.st_mode & S_IFMT == S_IFREG else {
            close(file)
            let isFolder = information.st_mode & S_IFMT == S_IFDIR
            throw Failure(path: path, code: code != 0 ? code : isFolder ? EISDIR : ENODEV)
        }
        return (file, Int(information.st_size))
    }

    /// - Parameter path: its log lies beside it with `-wal` appended, if there is one.
    /// - Throws: also when there is a log that cannot be read: without it the newest of the file would be missing.
    package init(_ path: String) throws(Failure) {
        do throws(Failure) {
            close(try Self.open("\(path)-wal").file)
        } catch {
            guard error.code == ENOENT else { throw error }
        }
        let (file, size) = try Self.open(path)
        self.file = file
        let header = PageBytes(Self.read(file, at: 0, count: 100))
        let told = header.startsWithMagic ? header.integer16(at: 16) : 0
        let isSize = told == 1 || told >= 512 && told & (told - 1) == 0
        let log = WriteAheadLog(
            "\(path)-wal", pageSize: isSize ? (told == 1 ? 65_536 : told) : Self.usualPageSize)
        self.log = log
        pageSize = isSize ? (told == 1 ? 65_536 : told) : log?.pageSize ?? Self.usualPageSize
        usableSize = isSize ? pageSize - header.integer8(at: 20) : pageSize
        let pages = UInt32(clamping: (size + pageSize - 1) / pageSize)
        pageCount = max(pages, log?.databasePages ?? 0)
        readFreePages()
    }

    deinit { close(file) }

    /// Calls `body` with each record of a table's leaf page; not at all when the page is none or cannot be read.
    package func records(onPage number: UInt32, _ body: (TableRecord) -> Void) {
        guard !freePages.contains(number) else { return }
        records(on: page(number), number, isDoubtful: false, body)
    }

    /// Pages that stand in transactions at the log's end of which nobody can tell whether they were committed: what they
    /// have besides is better had than not, and does not take the place of what is certain.
    package var doubtfulPages: [UInt32] { log?.doubtfulPages ?? [] }

    /// The same as ``records(onPage:_:)`` for what stands in one of ``doubtfulPages``.
    package func records(onDoubtfulPage number: UInt32, _ body: (TableRecord) -> Void) {
        records(on: page(number, isDoubtful: true), number, isDoubtful: true, body)
    }

    private func records(on page: PageBytes, _ number: UInt32, isDoubtful: Bool, _ body: (TableRecord) -> Void) {
        let start = number == 1 ? 100 : 0
        let kind = page.integer8(at: start)
        guard kind == Self.tableLeaf || kind == Self.indexLeaf else { return }
        let cells = page.integer16(at: start + 3)
        for cell in 0..<min(cells, pageSize / 4) {
            let place = page.integer16(at: start + 8 + 2 * cell)
            guard place > start, place < usableSize else { continue }
            if let record = record(page, at: place, isTable: kind == Self.tableLeaf, isDoubtful: isDoubtful) {
                body(record)
            }
        }
    }
    private static let tableLeaf = 0x0D
    private static let indexLeaf = 0x0A

    /// Section 1.6, "B-tree Pages": the cell's layout and how much of its payload lies elsewhere.
    private func record(_ page: PageBytes, at place: Int, isTable: Bool, isDoubtful: Bool) -> TableRecord? {
        var cursor = place
        guard let size = page.variableInteger(at: &cursor), size > 0, size <= Int64(pageCount) * Int64(usableSize)
        else {
            return nil
        }
        let total = Int(size)
        var rowID: Int64 = 0
        if isTable {
            guard let id = page.variableInteger(at: &cursor) else { return nil }
            rowID = id
        }
        let most = isTable ? usableSize - 35 : (usableSize - 12) * 64 / 255 - 23
        var local = total
        if total > most {
            let least = (usableSize - 12) * 32 / 255 - 23
            let fitting = least + (total - least) % (usableSize - 4)
            local = fitting <= most ? fitting : least
        }
        guard var payload = page.bytes(at: cursor, count: local) else { return nil }
        if total > local {
            guard isTable, let next = page.integer32(at: cursor + local),
                appendOverflow(from: next, upTo: total, isDoubtful: isDoubtful, to: &payload)
            else { return nil }
        }
        return TableRecord(rowID: rowID, payload: PageBytes(payload))
    }

    private func appendOverflow(
        from first: UInt32, upTo total: Int, isDoubtful: Bool, to payload: inout [UInt8]
    ) -> Bool {
        var next = first
        while payload.count < total {
            guard next > 0, next <= pageCount else { return false }
            let page = page(next, isDoubtful: isDoubtful)
            let count = min(usableSize - 4, total - payload.count)
            guard let following = page.integer32(at: 0), let bytes = page.bytes(at: 4, count: count) else {
                return false
            }
            payload += bytes
            next = following
        }
        // The last page of a chain says so.
        return next == 0
    }

    /// Section 1.5, "The Freelist". A chain that is damaged ends it.
    private func readFreePages() {
        let header = page(1)
        guard header.startsWithMagic, var trunk = header.integer32(at: 32) else { return }
        while trunk > 1, trunk <= pageCount, !freePages.contains(trunk), freePages.count < Self.freePageLimit {
            let page = page(trunk)
            guard let next = page.integer32(at: 0), let count = page.integer32(at: 4),
                count <= usableSize / 4 - 2
            else { return }
            freePages.insert(trunk)
            for place in 0..<Int(count) { freePages.insert(page.integer32(at: 8 + 4 * place) ?? 0) }
            trunk = next
        }
    }

    private func page(_ number: UInt32, isDoubtful: Bool = false) -> PageBytes {
        if isDoubtful, let page = log?.doubtfulPage(number) { return PageBytes(page) }
        if let log, let page = log.page(number) { return PageBytes(page) }
        return PageBytes(Self.read(file, at: (Int(number) - 1) * pageSize, count: pageSize))
    }

    /// As many bytes as can be read.
    static func read(_ file: Int32, at offset: Int, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = pread(file, buffer.baseAddress?.advanced(by: filled), count - filled, off_t(offset + filled))
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { return }
                filled += got
            }
        }
    }
}
