internal import Database
internal import Glibc
internal import Readings

extension DeliveryClass {
    /// The class whose messages a salvage brought into this one; `nil` for an ordinary class.
    var salvaged: DeliveryClass? {
        guard let mark = name.firstIndex(of: OutboxStore.salvageMark) else { return nil }
        return DeliveryClass(String(name[..<mark]))
    }
}

/// What can be read of a damaged file comes into streams of its own, beside what is new: class `telemetry` of the first
/// damaged file is `telemetry~1` here. On the wire the messages keep stream, epoch and sequence; what is missing between
/// them becomes gap records.
extension OutboxStore {
    /// Stands in no name of a class.
    static let salvageMark: Character = "~"

    /// What came of one damaged file.
    package struct Salvage: Hashable, Sendable {
        /// Where it lies now.
        package var file: String
        /// Messages that wait once more, and those that are known to be lost.
        package var saved: Int64
        package var lost: Int64

        package init(file: String, saved: Int64, lost: Int64) {
            self.file = file
            self.saved = saved
            self.lost = lost
        }
    }

    /// Damaged files that are still to be salvaged, with their numbers, the oldest first.
    package nonisolated var damagedFiles: [(path: String, number: Int)] {
        let path = configuration.path
        var found: [(path: String, number: Int)] = []
        var number = 1
        while true {
            let damaged = "\(path).corrupt-\(number)"
            if access(damaged, F_OK) == 0 {
                found.append((damaged, number))
            } else if access("\(path).salvaged-\(number)", F_OK) != 0 {
                return found
            }
            number += 1
        }
    }

    /// Brings in what can be read of a damaged file, and renames it to `….salvaged-N`. Lets other work through in
    /// between: a file of any size takes its time, and nothing waits for it.
    /// - Throws: when the new file cannot be written; another call begins again.
    package func salvage(_ path: String, number: Int) async throws(OutboxError) -> Salvage {
        let suffix = "\(Self.salvageMark)\(number)"
        var report = Salvage(file: path.replacingCorrupt, saved: 0, lost: 0)
        let file = try openFile()
        if try perform({ () throws(SQLiteError) in try file.hasStream(endingIn: suffix) }) {
            Self.markSalvaged(path, number: number)
            return report
        }
        while try transaction(file, { () throws(SQLiteError) in try file.deleteStrayRows() }) { await Task.yield() }
        let base = try transaction(file) { () throws(SQLiteError) in try file.largestNumbers() }
        var found = try await readRows(path, into: file, base: base)
        for stream in found.streams {
            var walk = SalvageWalk(stream)
            while try transaction(file, { () throws(SQLiteError) in try walk.proceed(file) }) { await Task.yield() }
            found.finished.append(walk)
            report.saved += walk.saved
            report.lost += walk.lost
        }
        let finished = found
        let made = try transaction(file) { () throws(SQLiteError) in
            try finished.finish(file, suffix: suffix) { name in streams.first { $0.name == name }?.number }
        }
        streams += made.map { Stream($0, limits: configuration.limits(of: $0.name), tailGap: nil) }
        noteEpochs()
        Self.markSalvaged(path, number: number)
        if !made.isEmpty { available() }
        return report
    }

    /// Pages that are read between two breaths.
    private static let pagesPerStep = 64
    private static let bytesPerStep = 4 << 20

    private func readRows(
        _ path: String, into file: OutboxFile, base: (stream: Int64, boot: Int64)
    ) async throws(OutboxError) -> SalvagedFile {
        let damaged: DamagedFile
        do throws(DamagedFile.Failure) {
            damaged = try DamagedFile(path)
        } catch {
            throw .salvage(error)
        }
        var found = SalvagedFile(base: base)
        try await readRows(0..<damaged.pageCount, into: file, &found) { page, body in
            damaged.records(onPage: page + 1, body)
        }
        // After what is certain: of two rows with the same number the first one stays.
        try await readRows(damaged.doubtfulPages, into: file, &found) { page, body in
            damaged.records(onDoubtfulPage: page, body)
        }
        return found
    }

    private func readRows(
        _ pages: some RandomAccessCollection<UInt32>, into file: OutboxFile, _ found: inout SalvagedFile,
        records: (UInt32, (TableRecord) -> Void) -> Void
    ) async throws(OutboxError) {
        var rest = pages[...]
        while !rest.isEmpty {
            var bytes = 0
            for _ in 0..<Self.pagesPerStep where bytes < Self.bytesPerStep {
                guard let page = rest.popFirst() else { break }
                records(page) { bytes += found.add($0) }
            }
            let rows = found.takeRows()
            if !rows.messages.isEmpty || !rows.refused.isEmpty {
                try transaction(file) { () throws(SQLiteError) in
                    try file.insert(rows.messages)
                    try file.insert(rows.refused)
                }
            }
            await Task.yield()
        }
    }

    private static func markSalvaged(_ path: String, number: Int) {
        let target = path.replacingCorrupt
        // The log last: were there a cut in between, the next opening sees to it.
        rename(path, target)
        rename("\(path)-wal", "\(target)-wal")
    }

    /// - Throws: also when another file has taken the place of this one meanwhile: its streams have other numbers.
    private func transaction<R>(
        _ file: OutboxFile, _ body: () throws(SQLiteError) -> R
    ) throws(OutboxError) -> R {
        guard try openFile() === file else { throw problem ?? .closed }
        return try perform { () throws(SQLiteError) in
            try file.transaction(doing: "salvage messages into", body)
        }
    }
}

extension String {
    /// Of a damaged file's path: where it lies once it is salvaged.
    fileprivate var replacingCorrupt: String {
        guard let dot = lastIndex(of: "."), let dash = lastIndex(of: "-") else { return self }
        return "\(self[..<dot]).salvaged\(self[dash...])"
    }
}
