internal import Database
internal import Readings

/// The outbox's statements and what its file says; no rules. Owned by the ``OutboxStore`` actor, never shared.
final class OutboxFile {
    /// `message.format` of a gap record; the other values are `Message.Format`'s.
    static let gapFormat: Int64 = 255

    /// What the `stream` table holds for one class.
    struct Counters: Hashable, Sendable {
        /// The sequence of the next message; counted from 1.
        var next: Int64 = 1
        /// Rows below this sequence are settled, and only wait to be removed.
        var head: Int64 = 1
        /// Rows that are not settled, gap records included, and their bytes.
        var count: Int64 = 0
        var bytes: Int64 = 0
        var dropped: Int64 = 0
    }

    /// One row of `message`, without topic and payload.
    struct Head: Hashable, Sendable {
        var id: MessageID
        var isGap: Bool
        var bytes: Int64
        /// Number of the boot that `time.instant` belongs to.
        var boot: Int64
        var time: Timestamp
        /// Elapsed time after which the message is of no use.
        var expiry: Duration?
    }

    /// What the file says of one class's stream.
    struct StoredStream: Sendable {
        var number: Int64
        var name: DeliveryClass
        var counters: Counters
        var epochs: Epochs
    }

    let connection: Connection
    /// The number of this boot.
    let boot: Int64
    let bootName: BootID
    /// Whether the file knows this boot already. It is told with the first message: opening the store writes nothing,
    /// so that a backlog can be drained though the disk is full.
    private var isBootStored: Bool
    private var boots: [Int64: (name: BootID, offset: Int64?)] = [:]
    /// What the wall clock is ahead of the boot clock in this boot, in nanoseconds, once that is known.
    private(set) var offset: Int64?
    /// What the file knows of it.
    private var storedOffset: Int64?
    /// A change of less is not worth a write.
    private static let offsetTolerance: Int64 = 1_000_000_000
    /// The file knows that messages of sequences beyond ``Counters/next`` may have gone upstream: a process that finds
    /// this at its start begins a new epoch.
    private(set) var isAhead: Bool
    /// The epoch of streams that are made.
    let epoch: UInt64
    /// Whether the counters in the file are known to be right, as long as its processes come to an end by closing it.
    private(set) var isCounted: Bool

    private let insertRow: Statement
    private let deleteRange: Statement
    private let selectAfter: Statement
    private let selectHead: Statement
    private let selectTail: Statement
    private let updateCounters: Statement
    private let selectBoot: Statement
    private let insertRefused: Statement
    private let moveRefused: Statement

    /// The version of the file's schema, after a look whether its tables are there; 0 of a file that is new.
    static func version(_ connection: borrowing Connection) throws(SQLiteError) -> Int64 {
        let opening = "open the outbox \(connection.path)"
        let version = try connection.integer("PRAGMA user_version", doing: opening)
        guard (0...Int64(outboxSchema.current)).contains(version) else { return version }
        // Each with the version that it came with.
        let tables = outboxTables.filter { $0.version <= version }.map { "'\($0.name)'" }.joined(separator: ", ")
        let found = try connection.integer(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table'\(version > 0 ? " AND name IN (\(tables))" : "")",
            doing: opening)
        guard found == outboxTables.count(where: { $0.version <= version }) else {
            throw SQLiteError(
                condition: .corrupt, doing: opening,
                reason: version > 0
                    ? "tables are missing from the file" : "there are tables in a file that says it is new")
        }
        return version
    }

    /// Brings the schema of a file up to date, or makes it. Cost: a few pages, whatever the backlog.
    init(_ opened: consuming Connection, boot: BootID) throws(SQLiteError) {
        let path = opened.path
        let opening = "open the outbox \(path)"
        connection = opened
        try outboxSchema.migrate(connection)

        if try connection.integer("SELECT count(*) FROM store", doing: opening) == 0 {
            try connection.execute(
                "INSERT INTO store(id, epoch, counted) VALUES(1, \(Epoch.random(first: 1).value), 1)",
                doing: "write the epoch of \(path)")
        }
        isAhead = try connection.integer("SELECT ahead FROM store", doing: opening) != 0
        isCounted = try connection.integer("SELECT counted FROM store", doing: opening) != 0
        epoch = UInt64(clamping: try connection.integer("SELECT epoch FROM store", doing: opening))
        bootName = boot
        let findBoot = try Statement(
            "SELECT id, name = ?1, offset FROM boot ORDER BY name = ?1 DESC, id DESC LIMIT 1", on: connection,
            doing: "read the boots of \(path)"
        )
        try findBoot.bind(boot.name, at: 1)
        let hasBoot = try findBoot.step()
        isBootStored = hasBoot && findBoot.integer(at: 1) != 0
        storedOffset = isBootStored && !findBoot.isNull(at: 2) ? findBoot.integer(at: 2) : nil
        offset = storedOffset
        self.boot = isBootStored ? findBoot.integer(at: 0) : (hasBoot ? findBoot.integer(at: 0) : 0) + 1
        findBoot.reset()

        let columns = "id, format, boot, instant, unix, quality, topic, payload, retain, expiry, properties, checksum"
        insertRow = try Statement(
            """
            INSERT INTO message(\(columns)) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """, on: connection, doing: "append to the outbox \(path)")
        deleteRange = try Statement(
            "DELETE FROM message WHERE id BETWEEN ? AND ?", on: connection,
            doing: "remove messages from the outbox \(path)")
        selectAfter = try Statement(
            "SELECT \(columns) FROM message WHERE id > ? AND id <= ? ORDER BY id", on: connection,
            doing: "read the outbox \(path)")
        selectHead = try Statement(
            "SELECT \(columns) FROM message WHERE id > ? AND id <= ? AND format <> ? ORDER BY id LIMIT 1",
            on: connection, doing: "read the head of the outbox \(path)")
        selectTail = try Statement(
            "SELECT \(columns) FROM message WHERE id = ?", on: connection, doing: "read the tail of the outbox \(path)")
        updateCounters = try Statement(
            """
            INSERT INTO stream(id, class, next, count, bytes, dropped, head) VALUES(?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT(id) DO UPDATE SET next = excluded.next, count = excluded.count, bytes = excluded.bytes,
                dropped = excluded.dropped, head = excluded.head
            """, on: connection, doing: "count in the outbox \(path)")
        insertRefused = try Statement(
            """
            INSERT INTO refused(\(Self.refusedColumns)) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """, on: connection, doing: "set a message aside in \(path)")
        moveRefused = try Statement(
            """
            INSERT INTO refused(\(Self.refusedColumns))
            SELECT ?, ?, format, retain, boot, instant, unix, quality, topic, payload, expiry, properties FROM message
            WHERE id = ?
            """, on: connection, doing: "set a message aside in \(path)")
        selectBoot = try Statement(
            "SELECT name, offset FROM boot WHERE id = ?", on: connection, doing: "read the boots of the outbox \(path)")
    }

    /// A transaction of the outbox. What it wrote and what memory knows of it stand or fall together.
    func transaction<R>(doing: String, _ body: () throws(SQLiteError) -> R) throws(SQLiteError) -> R {
        let wasBootStored = isBootStored
        let wasAhead = isAhead
        let wasCounted = isCounted
        let oldOffset = storedOffset
        do throws(SQLiteError) {
            return try connection.transaction(doing: "\(doing) the outbox \(connection.path)", body)
        } catch {
            isBootStored = wasBootStored
            isAhead = wasAhead
            isCounted = wasCounted
            storedOffset = oldOffset
            throw error
        }
    }

    /// Tells the file of this boot, if it does not know it. Inside a transaction.
    func ensureBootIsStored() throws(SQLiteError) { if !isBootStored { try storeBoot() } }

    /// Tells the file of this boot, and lets it forget those that no message belongs to any more.
    private func storeBoot() throws(SQLiteError) {
        let doing = "note this boot in \(connection.path)"
        if try connection.integer("SELECT EXISTS (SELECT 1 FROM message UNION ALL SELECT 1 FROM refused)", doing: doing)
            == 0
        {
            try connection.execute("DELETE FROM boot", doing: doing)
        }
        let insert = try Statement("INSERT INTO boot(id, name) VALUES(?, ?)", on: connection, doing: doing)
        try insert.bind(boot, at: 1)
        try insert.bind(bootName.name, at: 2)
        try insert.run()
        isBootStored = true
        storedOffset = nil
    }

    /// The wall clock is trusted, and this much ahead of the boot clock. What was believed before may have been wrong.
    func note(offset: Int64) { self.offset = offset }

    /// The file has messages of this boot and does not know yet what their wall time is.
    var mustStoreOffset: Bool {
        guard let offset, isBootStored else { return false }
        guard let storedOffset else { return true }
        let (change, overflow) = offset.subtractingReportingOverflow(storedOffset)
        return overflow || change.magnitude >= Self.offsetTolerance
    }

    /// Tells the file, if it must know. Inside a transaction.
    func storeOffset() throws(SQLiteError) {
        guard mustStoreOffset, let offset else { return }
        try connection.execute(
            "UPDATE boot SET offset = \(offset) WHERE id = \(boot)", doing: "note the time in \(connection.path)")
        storedOffset = offset
    }

    /// Writes ``isAhead``. Inside a transaction.
    func setAhead(_ value: Bool) throws(SQLiteError) {
        guard value != isAhead else { return }
        try connection.execute(
            "UPDATE store SET ahead = \(value ? 1 : 0)", doing: "note what is on its way in \(connection.path)")
        isAhead = value
    }

    /// Writes ``isCounted``. Inside a transaction.
    func setCounted(_ value: Bool) throws(SQLiteError) {
        guard value != isCounted else { return }
        try connection.execute(
            "UPDATE store SET counted = \(value ? 1 : 0)", doing: "note what is counted in \(connection.path)")
        isCounted = value
    }

    /// Writes a stream's epochs in the place of those in the file. Inside a transaction.
    private func writeEpochs(_ epochs: Epochs, stream: Int64) throws(SQLiteError) {
        let doing = "write the epochs of \(connection.path)"
        try connection.execute("DELETE FROM epoch WHERE stream = \(stream)", doing: doing)
        for epoch in epochs.all {
            try connection.execute(
                "INSERT INTO epoch(stream, first, value) VALUES(\(stream), \(epoch.first), \(epoch.value))",
                doing: doing)
        }
    }

    /// The streams in the file, by their numbers.
    func streams() throws(SQLiteError) -> [StoredStream] {
        let doing = "read the streams of \(connection.path)"
        var epochs: [Int64: [Epoch]] = [:]
        let selectEpochs = try Statement(
            "SELECT stream, first, value FROM epoch ORDER BY stream, first", on: connection, doing: doing)
        while try selectEpochs.step() {
            epochs[selectEpochs.integer(at: 0), default: []].append(
                Epoch(first: selectEpochs.integer(at: 1), value: UInt64(clamping: selectEpochs.integer(at: 2))))
        }
        selectEpochs.reset()
        var streams: [StoredStream] = []
        let select = try Statement(
            "SELECT id, class, next, head, count, bytes, dropped FROM stream ORDER BY id", on: connection, doing: doing)
        while try select.step() {
            guard let epochs = epochs[select.integer(at: 0)] else {
                throw SQLiteError(condition: .corrupt, doing: doing, reason: "a stream is without an epoch")
            }
            streams.append(
                StoredStream(
                    number: select.integer(at: 0), name: DeliveryClass(select.text(at: 1)),
                    counters: Counters(
                        next: select.integer(at: 2), head: select.integer(at: 3), count: select.integer(at: 4),
                        bytes: select.integer(at: 5), dropped: select.integer(at: 6)
                    ),
                    epochs: Epochs(epochs)
                ))
        }
        select.reset()
        return streams
    }

    /// The largest number of a stream that the file knows, or has rows of.
    func largestStreamNumber() throws(SQLiteError) -> Int64 {
        let doing = "read the streams of \(connection.path)"
        return max(
            try connection.integer("SELECT max(id) FROM stream", doing: doing),
            MessageID(rawValue: try connection.integer("SELECT max(id) FROM message", doing: doing)).stream)
    }

    /// Whether the stream has rows that are not settled.
    func hasRows(of stream: StoredStream) throws(SQLiteError) -> Bool {
        let before = MessageID(stream: stream.number, sequence: stream.counters.head - 1)
        return try !rows(after: before) { _, _ in false }
    }

    /// Writes one message of this boot. Inside a transaction.
    func insert(_ message: Message, id: MessageID) throws(SQLiteError) {
        try bind(id: id, format: Int64(message.format.rawValue), boot: boot, time: message.time)
        try insertRow.bind(message.retain ? 1 : 0, at: 9)
        try insertRow.run(
            topic: message.topic, at: 7, payload: message.payload, at: 8,
            expiry: message.expiry?.wholeNanoseconds, at: 10, properties: message.properties?.stored, at: 11,
            checksumAt: 12)
    }

    /// Writes a gap record in the place of the last message it speaks for. Inside a transaction.
    func insert(_ gap: Gap, stream: Int64, boot: Int64, time: Timestamp) throws(SQLiteError) {
        try bind(id: MessageID(stream: stream, sequence: gap.last), format: Self.gapFormat, boot: boot, time: time)
        try insertRow.bind(0, at: 9)
        try insertRow.run(
            topic: "", at: 7, payload: gap.stored, at: 8, expiry: nil, at: 10, properties: nil, at: 11, checksumAt: 12)
    }

    private func bind(id: MessageID, format: Int64, boot: Int64, time: Timestamp) throws(SQLiteError) {
        if boot == self.boot { try ensureBootIsStored() }
        try insertRow.bind(id.rawValue, at: 1)
        try insertRow.bind(format, at: 2)
        try insertRow.bind(boot, at: 3)
        try insertRow.bind(time.instant.nanoseconds, at: 4)
        try insertRow.bind(time.unixNanoseconds, at: 5)
        try insertRow.bind(time.quality.stored, at: 6)
    }

    /// Deletes every row between the two, both included. Inside a transaction.
    /// - Returns: how many there were.
    func delete(from first: MessageID, to last: MessageID) throws(SQLiteError) -> Int64 {
        try deleteRange.bind(first.rawValue, at: 1)
        try deleteRange.bind(last.rawValue, at: 2)
        try deleteRange.run()
        return connection.changes
    }

    /// Puts a message that is not stored among those that the upstream refused. Inside a transaction.
    func insertRefused(_ message: Message, stream: Int64, reason: String) throws(SQLiteError) {
        try ensureBootIsStored()
        try insertRefused.bind(stream, at: 1)
        try insertRefused.bind(reason, at: 2)
        try insertRefused.bind(Int64(message.format.rawValue), at: 3)
        try insertRefused.bind(message.retain ? 1 : 0, at: 4)
        try insertRefused.bind(boot, at: 5)
        try insertRefused.bind(message.time.instant.nanoseconds, at: 6)
        try insertRefused.bind(message.time.unixNanoseconds, at: 7)
        try insertRefused.bind(message.time.quality.stored, at: 8)
        try insertRefused.run(
            topic: message.topic, at: 9, payload: message.payload, at: 10,
            expiry: message.expiry?.wholeNanoseconds, at: 11, properties: message.properties?.stored, at: 12)
        try trimRefused()
    }

    /// Moves a stored message among those that the upstream refused. Inside a transaction.
    func moveToRefused(_ id: MessageID, reason: String) throws(SQLiteError) {
        try moveRefused.bind(id.stream, at: 1)
        try moveRefused.bind(reason, at: 2)
        try moveRefused.bind(id.rawValue, at: 3)
        try moveRefused.run()
        _ = try delete(from: id, to: id)
        try trimRefused()
    }

    /// The oldest give way: a topic that the cloud does not allow must not fill the disk.
    private func trimRefused() throws(SQLiteError) {
        try connection.execute(
            "DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - \(Self.keptRefused)",
            doing: "trim what was refused in \(connection.path)")
    }

    private static let keptRefused = 1_000
    static let refusedColumns =
        "stream, reason, format, retain, boot, instant, unix, quality, topic, payload, expiry, properties"

    /// How many messages of a stream were refused and are kept.
    func refusedCount(_ stream: Int64) throws(SQLiteError) -> Int64 {
        try connection.integer(
            "SELECT count(*) FROM refused WHERE stream = \(stream)", doing: "count what was refused")
    }

    /// One message that the upstream refused.
    struct Refused {
        /// Names it; counted up.
        var number: Int64
        var stream: Int64
        var boot: Int64
        var reason: String
        /// Of class `""`: the stream says which.
        var message: Message
    }

    /// Calls `body` with the messages that the upstream refused, after `number`, until it returns `false`.
    /// - Parameter stream: of this stream only.
    func refused(
        after number: Int64, stream: Int64?, _ body: (Refused) throws(SQLiteError) -> Bool
    ) throws(SQLiteError) {
        let select = try Statement(
            """
            SELECT id, stream, format, retain, boot, instant, unix, quality, reason, topic, payload, expiry, properties
            FROM refused
            WHERE id > ? AND (?2 IS NULL OR stream = ?2) ORDER BY id
            """, on: connection, doing: "read what was refused in \(connection.path)")
        try select.bind(number, at: 1)
        if let stream { try select.bind(stream, at: 2) }
        defer { select.reset() }
        while try select.step() {
            let message = Message(
                topic: select.text(at: 9), payload: select.bytes(at: 10),
                format: Message.Format(rawValue: UInt8(clamping: select.integer(at: 2))) ?? .opaque,
                retain: select.integer(at: 3) != 0, deliveryClass: DeliveryClass(""),
                time: Timestamp(
                    instant: Instant(nanoseconds: select.integer(at: 5)), unixNanoseconds: select.integer(at: 6),
                    quality: TimeQuality(stored: select.integer(at: 7))),
                expiry: select.duration(at: 11), properties: select.properties(at: 12))
            let refused = Refused(
                number: select.integer(at: 0), stream: select.integer(at: 1), boot: select.integer(at: 4),
                reason: select.text(at: 8), message: message)
            guard try body(refused) else { return }
        }
    }

    /// What the upstream refused, with the bytes that each counts in a class.
    func refusedSizes(stream: Int64?) throws(SQLiteError) -> [(number: Int64, stream: Int64, bytes: Int64)] {
        let condition = stream.map { " WHERE stream = \($0)" } ?? ""
        let select = try Statement(
            "SELECT id, stream, topic, payload, properties FROM refused\(condition) ORDER BY id", on: connection,
            doing: "read what was refused in \(connection.path)")
        var found: [(number: Int64, stream: Int64, bytes: Int64)] = []
        while try select.step() {
            let bytes = Int64(select.byteCount(at: 2) + select.byteCount(at: 3) + select.byteCount(at: 4))
            found.append((select.integer(at: 0), select.integer(at: 1), OutboxStore.bytesPerMessage + bytes))
        }
        return found
    }

    /// Makes a message that was refused one that waits. Inside a transaction.
    func moveFromRefused(_ number: Int64, to id: MessageID) throws(SQLiteError) {
        let doing = "take a message back in \(connection.path)"
        let select = try Statement(
            "SELECT topic, payload, properties FROM refused WHERE id = ?", on: connection, doing: doing)
        try select.bind(number, at: 1)
        var checksum = Checksum()
        if try select.step() { for column in Int32(0)...2 { select.add(column, to: &checksum) } }
        select.reset()
        let copy = try Statement(
            """
            INSERT INTO message(id, checksum, format, retain, boot, instant, unix, quality, topic, payload, expiry,
                properties)
            SELECT ?, ?, format, retain, boot, instant, unix, quality, topic, payload, expiry, properties FROM refused
            WHERE id = ?
            """, on: connection, doing: doing)
        try copy.bind(id.rawValue, at: 1)
        try copy.bind(checksum.stored, at: 2)
        try copy.bind(number, at: 3)
        try copy.run()
        try connection.execute("DELETE FROM refused WHERE id = \(number)", doing: doing)
    }

    /// Deletes what was refused. Inside a transaction.
    /// - Parameter stream: of this stream only.
    /// - Returns: how many it were.
    func deleteRefused(stream: Int64?) throws(SQLiteError) -> Int64 {
        let condition = stream.map { " WHERE stream = \($0)" } ?? ""
        try connection.execute(
            "DELETE FROM refused\(condition)", doing: "delete what was refused in \(connection.path)")
        return connection.changes
    }

    /// The row at `id`.
    func message(at id: MessageID) throws(SQLiteError) -> Head? {
        try selectTail.bind(id.rawValue, at: 1)
        defer { selectTail.reset() }
        return try selectTail.step() ? Self.head(selectTail) : nil
    }

    /// Writes a stream's counters, and makes the stream where there is none. Inside a transaction; for
    /// ``StreamLedger/write(to:unstored:)``, which alone can make a record.
    func write(_ record: StreamLedger.Record) throws(SQLiteError) {
        try updateCounters.bind(record.number, at: 1)
        try updateCounters.bind(record.name.name, at: 2)
        try updateCounters.bind(record.counters.next, at: 3)
        try updateCounters.bind(record.counters.count, at: 4)
        try updateCounters.bind(record.counters.bytes, at: 5)
        try updateCounters.bind(record.counters.dropped, at: 6)
        try updateCounters.bind(record.counters.head, at: 7)
        try updateCounters.run()
        if let epochs = record.epochs { try writeEpochs(epochs, stream: record.number) }
    }

    /// Walks a stream's rows after `id` in order until `body` returns `false`.
    ///
    /// `body` gets the row and a way to copy its topic and payload, valid for that call only. It must not change the
    /// table.
    /// - Returns: whether there are no more rows behind those that `body` got.
    @discardableResult
    func rows(
        after id: MessageID, _ body: (Head, borrowing Row) throws(SQLiteError) -> Bool
    ) throws(SQLiteError) -> Bool {
        try selectAfter.bind(id.rawValue, at: 1)
        try selectAfter.bind(id.endOfStream.rawValue, at: 2)
        defer { selectAfter.reset() }
        let row = Row(file: self)
        while try selectAfter.step() {
            guard try body(Self.head(selectAfter), row) else { return false }
        }
        return true
    }

    /// The row that a walk stands on.
    struct Row: ~Copyable {
        fileprivate unowned let file: OutboxFile

        var topic: String { file.selectAfter.text(at: 6) }
        var payload: [UInt8] { file.selectAfter.bytes(at: 7) }
        var format: Message.Format {
            Message.Format(rawValue: UInt8(clamping: file.selectAfter.integer(at: 1))) ?? .opaque
        }
        var retain: Bool { file.selectAfter.integer(at: 8) != 0 }
        var properties: MessageProperties? { file.selectAfter.properties(at: 10) }

        /// Looks whether topic, payload and properties are still what was written.
        func check() throws(SQLiteError) {
            guard !file.selectAfter.isNull(at: 11) else { return }
            var checksum = Checksum()
            for column: Int32 in [6, 7, 10] { file.selectAfter.add(column, to: &checksum) }
            guard checksum.stored == file.selectAfter.integer(at: 11) else {
                throw SQLiteError(
                    condition: .corrupt, doing: "read the outbox \(file.connection.path)",
                    reason: "a message is not what was written: its checksum does not match")
            }
        }
    }

    /// The first message after `id` in its stream that is no gap record.
    func firstMessage(after id: MessageID) throws(SQLiteError) -> Head? {
        try selectHead.bind(id.rawValue, at: 1)
        try selectHead.bind(id.endOfStream.rawValue, at: 2)
        try selectHead.bind(Self.gapFormat, at: 3)
        defer { selectHead.reset() }
        return try selectHead.step() ? Self.head(selectHead) : nil
    }

    /// The gap record that stands at `id`, if that is what stands there.
    func gap(at id: MessageID) throws(SQLiteError) -> Gap? {
        try selectTail.bind(id.rawValue, at: 1)
        defer { selectTail.reset() }
        guard try selectTail.step(), Self.head(selectTail).isGap else { return nil }
        return Gap(stored: selectTail.bytes(at: 7))
    }

    /// The name of a boot that a row refers to.
    func bootID(_ number: Int64) throws(SQLiteError) -> BootID {
        number == boot ? bootName : try knownBoot(number).name
    }

    /// Gives a message its wall time that was taken before the clock was trusted in its boot, if it is known by now.
    func restamp(_ message: inout Message, boot number: Int64) throws(SQLiteError) {
        guard message.time.quality == .unsynced,
            let offset = number == boot ? offset : try knownBoot(number).offset
        else { return }
        let (unix, overflow) = message.time.instant.nanoseconds.addingReportingOverflow(offset)
        if !overflow { message.restamp(unixNanoseconds: unix) }
    }

    private func knownBoot(_ number: Int64) throws(SQLiteError) -> (name: BootID, offset: Int64?) {
        if let known = boots[number] { return known }
        try selectBoot.bind(number, at: 1)
        defer { selectBoot.reset() }
        let isKnown = try selectBoot.step()
        // What a salvage brought has its file's number behind it: names are unique.
        let boot = (
            name: BootID(isKnown ? String(selectBoot.text(at: 0).prefix { $0 != OutboxStore.salvageMark }) : ""),
            offset: isKnown && !selectBoot.isNull(at: 1) ? selectBoot.integer(at: 1) : nil
        )
        boots[number] = boot
        return boot
    }

    /// Bytes in the file that are free to be used; 0 when it does not say.
    var freeBytes: Int64 {
        ((try? connection.integer("PRAGMA freelist_count", doing: "look at \(connection.path)")) ?? 0) * 4_096
    }

    /// Gives free pages back to the file system, a few megabytes at a time. Meant for an empty queue: the pages at
    /// the file's end are then free already, and nothing has to be moved. Keeps some for the next outage.
    func giveBackPages() throws(SQLiteError) {
        let doing = "shrink \(connection.path)"
        let free = try connection.integer("PRAGMA freelist_count", doing: doing)
        guard free > Self.keptPages else { return }
        let pages = min(free - Self.keptPages, Self.pagesPerStep)
        try connection.execute("PRAGMA incremental_vacuum(\(pages))", doing: doing)
    }

    /// 4 MiB.
    private static let keptPages: Int64 = 1024
    private static let pagesPerStep: Int64 = 1024

    private static func head(_ row: borrowing Statement) -> Head {
        Head(
            id: MessageID(rawValue: row.integer(at: 0)), isGap: row.integer(at: 1) == gapFormat,
            bytes: OutboxStore.bytesPerMessage
                + Int64(row.byteCount(at: 6) + row.byteCount(at: 7) + row.byteCount(at: 10)),
            boot: row.integer(at: 2),
            time: Timestamp(
                instant: Instant(nanoseconds: row.integer(at: 3)), unixNanoseconds: row.integer(at: 4),
                quality: TimeQuality(stored: row.integer(at: 5))
            ),
            expiry: row.duration(at: 9)
        )
    }
}

extension Statement {
    fileprivate func duration(at column: Int32) -> Duration? {
        isNull(at: column) ? nil : .nanoseconds(integer(at: column))
    }

    fileprivate func properties(at column: Int32) -> MessageProperties? {
        isNull(at: column) ? nil : MessageProperties(stored: bytes(at: column))
    }

    /// Runs an insertion of a message.
    /// - Parameter checksumAt: where the table keeps one.
    func run(
        topic: String, at topicIndex: Int32, payload: [UInt8], at payloadIndex: Int32, expiry: Int64?,
        at expiryIndex: Int32, properties: [UInt8]?, at propertiesIndex: Int32, checksumAt checksumIndex: Int32? = nil
    ) throws(SQLiteError) {
        if let expiry { try bind(expiry, at: expiryIndex) } else { try bindNull(at: expiryIndex) }
        if let properties { try bind(properties, at: propertiesIndex) } else { try bindNull(at: propertiesIndex) }
        if let checksumIndex {
            var checksum = Checksum()
            checksum.add(topic)
            checksum.add(payload)
            if let properties { checksum.add(properties) }
            try bind(checksum.stored, at: checksumIndex)
        }
        try run(text: topic, at: topicIndex, blob: payload, at: payloadIndex)
    }
}

extension MessageID {
    /// The largest key of the stream.
    fileprivate var endOfStream: MessageID { MessageID(rawValue: rawValue | (1 << Self.sequenceBits - 1)) }
}

extension TimeQuality {
    /// As the `quality` column holds it.
    fileprivate var stored: Int64 {
        switch self {
        case .synced: 0
        case .restamped: 1
        case .unsynced: 2
        }
    }

    fileprivate init(stored: Int64) {
        switch stored {
        case 0: self = .synced
        case 1: self = .restamped
        default: self = .unsynced
        }
    }
}
