internal import Database
internal import Glibc
internal import Readings

/// A file that has been opened, with what memory keeps of it.
struct Opening {
    var file: OutboxFile
    var streams: [Stream]
    /// Streams that are made later are numbered from here on.
    var nextStreamNumber: Int64 = 1

    /// Opens the file; a damaged one is moved aside first, and so is one whose moving aside was cut short.
    /// - Parameter first: streams that are made are numbered from here on.
    static func make(
        _ configuration: OutboxStore.Configuration, streamsFrom first: Int64 = 1
    ) throws(OutboxError) -> (Opening, Recovery?) {
        let unfinished = try moving { () throws(QuarantineError) in try finishQuarantine(configuration.path) }
            .map { Recovery(quarantined: $0, reason: "a damaged file was not yet moved aside with its log") }
        let isNew = !exists(configuration.path) && !exists("\(configuration.path)-wal")
        do throws(SQLiteError) {
            return (try Opening(configuration, streamsFrom: first), unfinished)
        } catch {
            // Half of a new file would be taken for a damaged one. Nothing was in it.
            if isNew { for suffix in ["-wal", ""] { unlink(configuration.path + suffix) } }
            guard error.condition == .corrupt, !isNew else { throw .database(error) }
            let recovery = Recovery(quarantined: try moveAside(configuration.path), reason: error.reason)
            do throws(SQLiteError) {
                return (try Opening(configuration, streamsFrom: first), recovery)
            } catch {
                throw .database(error)
            }
        }
    }

    /// Streams of a file have smaller numbers.
    private static let memoryNumbers: Int64 = 20_000
    private static let memoryNumbersPerPeriod: Int64 = 300

    /// Takes the place of a file where none can be opened: it takes nothing, so that everything stays in memory, and
    /// nothing is told to be safe, until the upstream has it.
    /// - Parameter period: how often that has happened. Numbers of streams differ from period to period, and from those of
    ///   files: what was handed out of one is not to be taken for a message of another.
    static func inMemory(_ configuration: OutboxStore.Configuration, period: Int) throws(OutboxError) -> Opening {
        do throws(SQLiteError) {
            let first = memoryNumbers + Int64(period % 40) * memoryNumbersPerPeriod
            let opening = try Opening(try Connection.open(Connection.memory), configuration, streamsFrom: first)
            try opening.file.connection.refuseWrites()
            return opening
        } catch {
            throw .database(error)
        }
    }

    static func moveAside(_ path: String) throws(OutboxError) -> String {
        try moving { () throws(QuarantineError) in try quarantine(path) }
    }

    private static func moving<R>(_ body: () throws(QuarantineError) -> R) throws(OutboxError) -> R {
        do throws(QuarantineError) {
            return try body()
        } catch {
            throw .quarantine(path: error.path, code: error.code)
        }
    }

    private init(_ configuration: OutboxStore.Configuration, streamsFrom first: Int64) throws(SQLiteError) {
        var options = Connection.Options()
        options.lockTimeoutMilliseconds = configuration.lockTimeoutMilliseconds
        options.maximumPages = configuration.maximumPages
        options.checksLog = true
        // Unknown while the file could not even be looked at.
        var version: Int64?
        do throws(SQLiteError) {
            let connection = try Connection.open(configuration.path, options: options)
            version = try OutboxFile.version(connection)
            try self.init(connection, configuration, streamsFrom: first)
        } catch {
            // The statements fit a sound file of that version; of a new one they make it.
            guard version != 0, error.contradictsFile else { throw error }
            throw SQLiteError(
                condition: .corrupt, extendedCode: error.extendedCode, doing: error.doing, reason: error.reason)
        }
    }

    private init(
        _ connection: consuming Connection, _ configuration: OutboxStore.Configuration, streamsFrom first: Int64
    ) throws(SQLiteError) {
        // Messages were on their way that the file knows nothing of, or may have been: nobody can tell which sequences
        // are used.
        let isUncertain = connection.logEndedEarly
        let hadLog = connection.hadLog
        let file = try OutboxFile(connection, boot: configuration.boot)
        let epoch = isUncertain || file.isAhead ? Epoch.random(first: 1).value : nil
        // The last process did not close the file, or one of an earlier version had it: its counters are in doubt.
        let isInDoubt = hadLog || !file.isCounted
        var streams: [Stream] = []
        var drained: [Int64] = []
        for stored in try file.streams() {
            // What a salvage brought and has gone upstream needs no stream any more. The rows decide: counters may be wrong.
            if stored.name.salvaged != nil, stored.counters.count <= 0, try !file.hasRows(of: stored) {
                drained.append(stored.number)
                continue
            }
            let last = MessageID(stream: stored.number, sequence: stored.counters.next - 1)
            streams.append(
                Stream(
                    StreamLedger(stored, isNew: false, isInDoubt: isInDoubt),
                    limits: configuration.limits(of: stored.name),
                    tailGap: stored.counters.next > stored.counters.head ? try file.gap(at: last) : nil))
        }
        // Should that fail, the next start does it.
        if !drained.isEmpty {
            try? file.transaction(doing: "forget drained streams of") { () throws(SQLiteError) in
                for number in drained { try file.forgetStream(number) }
            }
        }
        var number = max(first, try file.largestStreamNumber() + 1)
        let known = Set(streams.map(\.name))
        for name in configuration.classes.keys.sorted(by: { $0.name < $1.name }) where !known.contains(name) {
            streams.append(Self.newStream(name, number: number, file, limits: configuration.limits(of: name)))
            number += 1
        }
        if let epoch { for index in streams.indices { streams[index].begin(epoch) } }
        self.file = file
        self.streams = streams
        nextStreamNumber = number
    }

    /// A stream that the file gets to know with the first message.
    static func newStream(
        _ name: DeliveryClass, number: Int64, _ file: OutboxFile, limits: ClassLimits
    ) -> Stream {
        let stored = OutboxFile.StoredStream(
            number: number, name: name, counters: OutboxFile.Counters(),
            epochs: Epochs([Epoch(first: 1, value: file.epoch)]))
        return Stream(StreamLedger(stored, isNew: true), limits: limits, tailGap: nil)
    }
}

private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
