internal import Database
internal import MQTT

/// The statements for sessions and retained messages, and what their rows say; no rules. Owned by the ``StateStore``
/// actor, never shared.
final class SessionFile {
    private let file: StateFile
    private var path: String { file.connection.path }
    /// The running kernel's boot: instants of another one cannot be compared with now.
    private let boot: String
    /// Row numbers by session.
    private var rows: [SessionID: Int64] = [:]

    private let upsertSession: Statement
    private let updateSession: Statement
    private let deleteSession: Statement
    private let upsertSubscription: Statement
    private let deleteSubscription: Statement
    private let insertMessage: Statement
    private let deleteMessage: Statement
    private let insertQueued: Statement
    private let updateQueued: Statement
    private let deleteQueued: Statement
    private let insertReceived: Statement
    private let deleteReceived: Statement
    private let upsertRetained: Statement
    private let deleteRetained: Statement

    init(_ file: StateFile, boot: String) throws(SQLiteError) {
        self.file = file
        self.boot = boot
        let doing = "keep the sessions in \(file.connection.path)"
        upsertSession = try Statement(
            """
            INSERT INTO session(client, expiry, boot, away, will, will_delay, user) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
            ON CONFLICT(client) DO UPDATE SET
                expiry = ?2, boot = ?3, away = ?4, will = ?5, will_delay = ?6, user = ?7
            RETURNING id
            """, on: file.connection, doing: doing)
        updateSession = try Statement(
            """
            UPDATE session SET client = ?1, expiry = ?2, boot = ?3, away = ?4, will = ?5, will_delay = ?6, user = ?7
            WHERE id = ?8
            """, on: file.connection, doing: doing)
        deleteSession = try Statement("DELETE FROM session WHERE id = ?", on: file.connection, doing: doing)
        upsertSubscription = try Statement(
            "INSERT OR REPLACE INTO subscription(session, filter, options, identifier) VALUES(?, ?, ?, ?)",
            on: file.connection, doing: doing)
        deleteSubscription = try Statement(
            "DELETE FROM subscription WHERE session = ? AND filter = ?", on: file.connection, doing: doing)
        insertMessage = try Statement(
            "INSERT OR REPLACE INTO message(id, boot, received, publish) VALUES(?, ?, ?, ?)", on: file.connection,
            doing: doing)
        deleteMessage = try Statement("DELETE FROM message WHERE id = ?", on: file.connection, doing: doing)
        insertQueued = try Statement(
            """
            INSERT OR REPLACE INTO queued(session, number, message, qos, retain, identifiers, packet_identifier, phase)
            VALUES(?, ?, ?, ?, ?, ?, 0, 0)
            """, on: file.connection, doing: doing)
        updateQueued = try Statement(
            """
            UPDATE queued SET packet_identifier = ?3, phase = ?4, message = iif(?4 = 3, 0, message)
            WHERE session = ?1 AND number = ?2
            """, on: file.connection, doing: doing)
        deleteQueued = try Statement(
            "DELETE FROM queued WHERE session = ? AND number = ?", on: file.connection, doing: doing)
        insertReceived = try Statement(
            "INSERT OR IGNORE INTO received(session, packet_identifier) VALUES(?, ?)", on: file.connection, doing: doing
        )
        deleteReceived = try Statement(
            "DELETE FROM received WHERE session = ? AND packet_identifier = ?", on: file.connection, doing: doing)
        upsertRetained = try Statement(
            "INSERT OR REPLACE INTO retained(topic, boot, stored, publish) VALUES(?, ?, ?, ?)", on: file.connection,
            doing: doing)
        deleteRetained = try Statement("DELETE FROM retained WHERE topic = ?", on: file.connection, doing: doing)
    }

    // MARK: Writing

    /// Makes the changes durable, all of them or none. Cost: one sync.
    func apply(_ changes: [SessionChange]) throws(SQLiteError) {
        try transaction { () throws(SQLiteError) in
            for change in changes { try apply(change) }
        }
    }

    /// Makes `everything`, and what `others` writes, durable in the place of all that is in the file. Cost: one sync, and
    /// a write of all that is there.
    func rewrite(
        _ everything: [SessionChange], others: () throws(SQLiteError) -> Void
    ) throws(SQLiteError) {
        try transaction { () throws(SQLiteError) in
            for table in ["session", "message", "retained"] {
                try file.connection.execute("DELETE FROM \(table)", doing: "empty \(path)")
            }
            rows = [:]
            try others()
            for change in everything { try apply(change) }
        }
    }

    private func transaction(_ body: () throws(SQLiteError) -> Void) throws(SQLiteError) {
        let known = rows
        do throws(SQLiteError) {
            try file.connection.transaction(doing: "keep the sessions in \(path)", body)
        } catch {
            rows = known
            throw error
        }
    }

    /// A user's sessions were deleted with the user: what still comes of them is nobody's.
    func forget(sessionsOf user: String) {
        for id in rows.keys where id.user.map({ $0.utf8.elementsEqual(user.utf8) }) == true { rows[id] = nil }
    }

    private func apply(_ change: SessionChange) throws(SQLiteError) {
        switch change {
        case .session(let record): try save(record)
        case .sessionEnded(let id):
            guard let row = rows.removeValue(forKey: id) else { return }
            try deleteSession.bind(row, at: 1)
            try deleteSession.run()
        case .subscription(let id, let filter, let options, let identifier):
            guard let row = rows[id] else { return }
            try upsertSubscription.bind(row, at: 1)
            try upsertSubscription.bind(filter, at: 2)
            try upsertSubscription.bind(Int64(options), at: 3)
            try upsertSubscription.bind(Int64(identifier ?? 0), at: 4)
            try upsertSubscription.run()
        case .subscriptionEnded(let id, let filter):
            guard let row = rows[id] else { return }
            try deleteSubscription.bind(row, at: 1)
            try deleteSubscription.bind(filter, at: 2)
            try deleteSubscription.run()
        case .message(let number, let publish, let receivedAt):
            try insertMessage.bind(Int64(number), at: 1)
            try insertMessage.bind(boot, at: 2)
            try insertMessage.bind(receivedAt, at: 3)
            try insertMessage.bind(PublishBlob.encode(publish), at: 4)
            try insertMessage.run()
        case .messageEnded(let number):
            try deleteMessage.bind(Int64(number), at: 1)
            try deleteMessage.run()
        case .queued(let id, let number, let message, let qos, let retain, let identifiers):
            guard let row = rows[id] else { return }
            try insertQueued.bind(row, at: 1)
            try insertQueued.bind(Int64(number), at: 2)
            try insertQueued.bind(Int64(message), at: 3)
            try insertQueued.bind(Int64(qos.rawValue), at: 4)
            try insertQueued.bind(retain ? 1 : 0, at: 5)
            try insertQueued.bind(identifiers.map { "\($0)" }.joined(separator: ","), at: 6)
            try insertQueued.run()
        case .inFlight(let id, let number, let packetIdentifier, let phase):
            guard let row = rows[id] else { return }
            try updateQueued.bind(row, at: 1)
            try updateQueued.bind(Int64(number), at: 2)
            try updateQueued.bind(Int64(packetIdentifier), at: 3)
            try updateQueued.bind(Int64(phase.rawValue), at: 4)
            try updateQueued.run()
        case .dequeued(let id, let number): try run(deleteQueued, id, Int64(number))
        case .received(let id, let identifier): try run(insertReceived, id, Int64(identifier))
        case .released(let id, let identifier): try run(deleteReceived, id, Int64(identifier))
        case .retained(let publish, let storedAt):
            try upsertRetained.bind(publish.topic, at: 1)
            try upsertRetained.bind(boot, at: 2)
            try upsertRetained.bind(storedAt, at: 3)
            try upsertRetained.bind(PublishBlob.encode(publish), at: 4)
            try upsertRetained.run()
        case .retainedEnded(let topic):
            try deleteRetained.bind(topic, at: 1)
            try deleteRetained.run()
        }
    }

    /// Runs a statement of a session's row and one number.
    private func run(_ statement: borrowing Statement, _ id: SessionID, _ number: Int64) throws(SQLiteError) {
        guard let row = rows[id] else { return }
        try statement.bind(row, at: 1)
        try statement.bind(number, at: 2)
        try statement.run()
    }

    private func save(_ record: SessionRecord) throws(SQLiteError) {
        guard let row = rows[record.id] else {
            try bind(record, to: upsertSession)
            defer { upsertSession.reset() }
            if try upsertSession.step() { rows[record.id] = upsertSession.integer(at: 0) }
            while try upsertSession.step() {}
            return
        }
        try bind(record, to: updateSession)
        try updateSession.bind(row, at: 8)
        try updateSession.run()
    }

    private func bind(_ record: SessionRecord, to statement: borrowing Statement) throws(SQLiteError) {
        let will = record.will?.publish
        try statement.bind(Self.name(of: record.id), at: 1)
        try statement.bind(Int64(record.expiryInterval), at: 2)
        try statement.bind(boot, at: 3)
        try statement.bind(record.awaySince ?? -1, at: 4)
        try statement.bind(will.map { PublishBlob.encode($0.0) } ?? [], at: 5)
        try statement.bind(Int64(will?.delay ?? 0), at: 6)
        try statement.bind(record.id.user ?? "", at: 7)
    }

    // MARK: Names

    /// What the column `client` holds: one name for each session. Neither a client identifier nor a user name has a
    /// NUL. Earlier versions wrote the identifier alone.
    private static func name(of id: SessionID) -> String { id.user.map { "\(id.client)\0\($0)" } ?? id.client }

    private static func id(named name: String, user: String) -> SessionID {
        let client = name.utf8.firstIndex(of: 0).map { String(name[..<$0]) } ?? name
        return SessionID(client: client, user: user.isEmpty ? nil : user)
    }

    // MARK: Reading

    /// Everything in the file.
    /// - Parameters:
    ///   - now: nanoseconds on the boot clock.
    ///   - stored: gets what can be read; where this throws, what was read before the damage.
    func load(now: Int64, into stored: inout StoredSessions) throws(SQLiteError) {
        let doing = "read the sessions in \(path)"
        try readMessages(
            "SELECT id, boot, received, publish FROM message ORDER BY id", now: now, into: &stored.messages)
        var index: [Int64: Int] = [:]
        let sessions = try Statement(
            "SELECT id, client, expiry, boot, away, will, will_delay, user FROM session ORDER BY id",
            on: file.connection,
            doing: doing)
        while try sessions.step() {
            let id = Self.id(named: sessions.text(at: 1), user: sessions.text(at: 7))
            rows[id] = sessions.integer(at: 0)
            index[sessions.integer(at: 0)] = stored.sessions.count
            let away = sessions.integer(at: 4)
            let will = sessions.bytes(at: 5)
            stored.sessions.append(
                StoredSessions.Session(
                    record: SessionRecord(
                        id: id, expiryInterval: UInt32(clamping: sessions.integer(at: 2)),
                        // Time while the machine was off is not known: it counts from now.
                        awaySince: away < 0 ? nil : sessions.text(at: 3) == boot ? away : now,
                        will: PublishBlob.decode(will).map {
                            Will($0, delay: UInt32(clamping: sessions.integer(at: 6)))
                        })))
        }
        let subscriptions = try Statement(
            "SELECT session, filter, options, identifier FROM subscription", on: file.connection, doing: doing)
        while try subscriptions.step() {
            guard let place = index[subscriptions.integer(at: 0)] else { continue }
            let identifier = subscriptions.integer(at: 3)
            stored.sessions[place].subscriptions.append(
                StoredSessions.Subscription(
                    filter: subscriptions.text(at: 1), options: UInt8(clamping: subscriptions.integer(at: 2)),
                    identifier: identifier == 0 ? nil : UInt32(clamping: identifier)))
        }
        let queued = try Statement(
            """
            SELECT session, number, message, qos, retain, identifiers, packet_identifier, phase FROM queued
            ORDER BY session, number
            """, on: file.connection, doing: doing)
        while try queued.step() {
            guard let place = index[queued.integer(at: 0)] else { continue }
            let message = queued.integer(at: 2)
            let identifier = queued.integer(at: 6)
            stored.sessions[place].queue.append(
                StoredSessions.Queued(
                    number: UInt64(clamping: queued.integer(at: 1)), message: message == 0 ? nil : UInt64(message),
                    qos: QoS(rawValue: UInt8(clamping: queued.integer(at: 3))) ?? .atLeastOnce,
                    retain: queued.integer(at: 4) != 0,
                    subscriptionIdentifiers: queued.text(at: 5).split(separator: ",").compactMap { UInt32($0) },
                    packetIdentifier: identifier == 0 ? nil : UInt16(clamping: identifier),
                    phase: OutboundWindow.Phase(rawValue: UInt8(clamping: queued.integer(at: 7)))))
        }
        let received = try Statement(
            "SELECT session, packet_identifier FROM received", on: file.connection, doing: doing)
        while try received.step() {
            guard let place = index[received.integer(at: 0)] else { continue }
            stored.sessions[place].received.append(UInt16(clamping: received.integer(at: 1)))
        }
        // Last, because they are the most of the file: damage among them costs no session.
        try readMessages("SELECT 0, boot, stored, publish FROM retained", now: now, into: &stored.retained)
    }

    /// Appends what can be read; where this throws, what stands before the damage.
    private func readMessages(
        _ sql: String, now: Int64, into messages: inout [StoredSessions.Message]
    ) throws(SQLiteError) {
        let statement = try Statement(sql, on: file.connection, doing: "read the messages in \(path)")
        while try statement.step() {
            guard let publish = PublishBlob.decode(statement.bytes(at: 3)) else { continue }
            let waited = statement.text(at: 1) == boot ? max(0, now - statement.integer(at: 2)) : 0
            messages.append(
                StoredSessions.Message(
                    number: UInt64(clamping: statement.integer(at: 0)), publish: publish, waitedNanoseconds: waited))
        }
    }
}
