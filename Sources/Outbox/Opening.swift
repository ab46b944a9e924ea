internal import Database
internal import Readings

/// A file that has been opened, with what memory keeps of it.
struct Opening {
    var file: OutboxFile
    var streams: [Stream]

    /// Opens the file; a damaged one is moved aside first, and so is one whose moving aside was cut short.
    /// - Parameter first: streams that are made are numbered from here on.
    static func make(
        _ configuration: OutboxStore.Configuration, streamsFrom first: Int64 = 1
    ) throws(OutboxError) -> (Opening, Recovery?) {
        let unfinished = try moving { () throws(QuarantineError) in try finishQuarantine(configuration.path) }
            .map { Recovery(quarantined: $0, reason: "a damaged file was not yet moved aside with its log") }
        do throws(SQLiteError) {
            return (try Opening(configuration, streamsFrom: first), unfinished)
        } catch {
            guard error.condition == .corrupt else { throw .database(error) }
            let recovery = Recovery(quarantined: try moveAside(configuration.path), reason: error.reason)
            do throws(SQLiteError) {
                return (try Opening(configuration, streamsFrom: first), recovery)
            } catch {
                throw .database(error)
            }
        }
    }

    /// Stands in for a file where none can be made: it takes nothing, so that everything stays in memory, and nothing is
    /// told to be safe, until the upstream has it.
    static func standIn(
        _ configuration: OutboxStore.Configuration, streamsFrom first: Int64
    ) throws(OutboxError) -> Opening {
        do throws(SQLiteError) {
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
        let file = try OutboxFile(connection, boot: configuration.boot)
        let epoch = isUncertain || file.isAhead ? Epoch.random(first: 1).value : nil
        var streams: [Stream] = []
        for stored in try file.streams(Array(configuration.classes.keys), numberedFrom: first) {
            let last = MessageID(stream: stored.number, sequence: stored.counters.next - 1)
            var stream = Stream(
                stored, limits: configuration.limits(of: stored.name),
                tailGap: stored.counters.next > stored.counters.head ? try file.gap(at: last) : nil)
            if let epoch { stream.begin(epoch) }
            streams.append(stream)
        }
        // What a salvage brought and has gone upstream needs no stream any more. Should that fail, the next start does it.
        let drained = streams.filter { $0.name.salvaged != nil && $0.count == 0 }
        if !drained.isEmpty {
            try? file.transaction(doing: "forget drained streams of") { () throws(SQLiteError) in
                for stream in drained { try file.forgetStream(stream.number) }
            }
        }
        self.file = file
        self.streams = streams.filter { $0.name.salvaged == nil || $0.count > 0 }
    }
}
