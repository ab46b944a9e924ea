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

    /// Until what could not be brought in is tried again.
    private static let salvagePauses = Duration.seconds(30)...Duration.seconds(3_600)

    /// Brings in every damaged file, those that an earlier process left and those that come, until the task is
    /// cancelled. Each file is one by itself: one that cannot be read is reported and tried again, and keeps no other
    /// from being brought in. For one task.
    package func salvageDamagedFiles() async {
        var pauses = GrowingPause(Self.salvagePauses)
        while !Task.isCancelled, !isClosed {
            let isDone = await salvageOnce()
            if isDone { pauses = GrowingPause(Self.salvagePauses) }
            await damage.wait(atMost: isDone ? nil : pauses.next())
        }
    }

    /// - Returns: whether nothing is left to be brought in.
    private func salvageOnce() async -> Bool {
        let found = quarantinedFiles()
        // Nothing could be written: the file that is opened later raises ``damage``.
        guard condition.memoryOnly == nil else { return found.isEmpty }
        var isDone = true
        for damaged in found where !Task.isCancelled {
            do throws(OutboxError) {
                let salvage = try await salvage(damaged.path, number: damaged.number)
                noteSalvage(damaged.path, nil)
                noticed(.salvaged(salvage))
            } catch {
                isDone = false
                noteSalvage(damaged.path, error)
            }
        }
        return isDone
    }

    /// A folder that cannot be looked at is a problem like a file that cannot be read.
    private func quarantinedFiles() -> [(path: String, number: Int)] {
        let path = configuration.path
        do throws(QuarantineError) {
            let found = try QuarantinedFiles(of: path).damaged.map { (path: "\(path).corrupt-\($0)", number: $0) }
            forgetSalvageProblems(exceptOf: Set(found.map(\.path)))
            return found
        } catch {
            noteSalvage(path, .quarantine(path: path, code: error.code))
            return []
        }
    }

    /// Damaged files that are still to be salvaged, with their numbers, the oldest first.
    package nonisolated var damagedFiles: [(path: String, number: Int)] {
        let path = configurationPath
        return ((try? QuarantinedFiles(of: path).damaged) ?? []).map { ("\(path).corrupt-\($0)", $0) }
    }

    /// Brings in what can be read of a damaged file, and renames it to `….salvaged-N`. Lets other work through in
    /// between: a file of any size takes its time, and nothing waits for it.
    /// - Throws: when the damaged file cannot be read or the new one not be written; another call begins again.
    package func salvage(_ path: String, number: Int) async throws(OutboxError) -> Salvage {
        // Another file that had the number was brought in before: its streams may still be there.
        let isTaken = access("\(configuration.path).salvaged-\(number)", F_OK) == 0
        let mark = isTaken ? (try? QuarantinedFiles(of: configuration.path))?.freeNumber ?? number : number
        let suffix = "\(Self.salvageMark)\(mark)"
        var report = Salvage(file: path, saved: 0, lost: 0)
        let file = try openFile()
        if try perform({ () throws(SQLiteError) in try file.hasStream(endingIn: suffix) }) {
            report.file = try finishSalvage(number: number)
            return report
        }
        let damaged: DamagedFile
        do throws(DamagedFile.Failure) {
            damaged = try DamagedFile(path)
        } catch {
            throw .salvage(error)
        }
        let job = SalvageJob(file: file, path: path, streamsMade: streamsMade)
        while try transaction(job, { () throws(SQLiteError) in try file.deleteStrayRows() }) { await Task.yield() }
        var base = try transaction(job) { () throws(SQLiteError) in try file.largestNumbers() }
        // The file gets to know some streams with their first message.
        base.stream = max(base.stream, streams.map(\.number).max() ?? 0)
        var found = SalvagedFile(base: base)
        try await readRows(0..<damaged.pageCount, job, &found) { page, body in damaged.records(onPage: page + 1, body) }
        // After what is certain: of two rows with the same number the first one stays.
        try await readRows(damaged.doubtfulPages, job, &found) { page, body in
            damaged.records(onDoubtfulPage: page, body)
        }
        for stream in found.streams {
            var walk = SalvageWalk(stream)
            while try transaction(job, { () throws(SQLiteError) in try walk.proceed(file) }) { await Task.yield() }
            found.finished.append(walk)
            report.saved += walk.saved
            report.lost += walk.lost
        }
        let finished = found
        try check(job)
        let made = try perform { () throws(SQLiteError) in
            try change(file, doing: "salvage messages into") { drafts throws(SQLiteError) in
                // What was refused is theirs from now on.
                for index in drafts.indices { drafts[index].mustBeKnown() }
                return try finished.finish(file, suffix: suffix) { name in streams.first { $0.name == name }?.number }
            }
        }
        add(made.map { Stream($0, limits: limits(of: $0.name), tailGap: nil) })
        if !made.isEmpty { available() }
        report.file = try finishSalvage(number: number)
        return report
    }

    /// What a salvage goes on with after it let other work through.
    private struct SalvageJob {
        let file: OutboxFile
        let path: String
        let streamsMade: Int
    }

    /// - Throws: when another file has taken the place of this one meanwhile, or a stream has come: numbers that the
    ///   salvage wants to use may be taken.
    private func check(_ job: SalvageJob) throws(OutboxError) {
        guard try openFile() === job.file else { throw problem ?? .closed }
        guard streamsMade == job.streamsMade else { throw .salvageInterrupted(path: job.path) }
    }

    private func transaction<R>(
        _ job: SalvageJob, _ body: () throws(SQLiteError) -> R
    ) throws(OutboxError) -> R {
        try check(job)
        return try perform { () throws(SQLiteError) in
            try job.file.transaction(doing: "salvage messages into", body)
        }
    }

    /// Pages that are read between two breaths.
    private static let pagesPerStep = 64
    private static let bytesPerStep = 4 << 20

    private func readRows(
        _ pages: some RandomAccessCollection<UInt32>, _ job: SalvageJob, _ found: inout SalvagedFile,
        records: (UInt32, (TableRecord) -> Void) -> Void
    ) async throws(OutboxError) {
        var rest = pages[...]
        while !rest.isEmpty {
            var bytes = 0
            for _ in 0..<Self.pagesPerStep where bytes < Self.bytesPerStep {
                guard let page = rest.popFirst() else { break }
                records(page) { bytes += found.add($0) }
            }
            reserveStreamNumbers(through: found.lastStreamNumber)
            let rows = found.takeRows()
            if !rows.messages.isEmpty || !rows.refused.isEmpty {
                try transaction(job) { () throws(SQLiteError) in
                    try job.file.insert(rows.messages)
                    try job.file.insert(rows.refused)
                }
            }
            await Task.yield()
        }
    }

    private func finishSalvage(number: Int) throws(OutboxError) -> String {
        do throws(QuarantineError) {
            return try Database.finishSalvage(configuration.path, number: number)
        } catch {
            throw .quarantine(path: error.path, code: error.code)
        }
    }
}
