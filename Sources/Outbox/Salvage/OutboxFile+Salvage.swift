internal import Database
internal import Readings

/// What a salvage writes into the new file.
extension OutboxFile {
    /// Rows of streams that the file does not know: what a salvage left that was cut short. Inside a transaction.
    /// - Returns: whether there may be more.
    func deleteStrayRows() throws(SQLiteError) -> Bool {
        let doing = "remove what an earlier salvage left in \(connection.path)"
        var known: [Int64] = []
        let select = try Statement("SELECT id FROM stream ORDER BY id", on: connection, doing: doing)
        while try select.step() { known.append(select.integer(at: 0)) }
        select.reset()
        var first: Int64 = 0
        for next in known + [1 << (63 - MessageID.sequenceBits)] {
            if next > first {
                let end =
                    next == 1 << (63 - MessageID.sequenceBits)
                    ? Int64.max : MessageID(stream: next, sequence: 0).rawValue
                try connection.execute(
                    """
                    DELETE FROM message WHERE id IN (SELECT id FROM message WHERE id >= \(
                        MessageID(stream: first, sequence: 0).rawValue) AND id < \(end) LIMIT 10000)
                    """, doing: doing)
                if connection.changes > 0 { return true }
            }
            first = next + 1
        }
        return false
    }

    /// The largest numbers of a stream and of a boot that are in use; this boot's is among them. Inside a transaction.
    func largestNumbers() throws(SQLiteError) -> (stream: Int64, boot: Int64) {
        try ensureBootIsStored()
        let doing = "prepare a salvage into \(connection.path)"
        return (
            try largestStreamNumber(),
            try connection.integer("SELECT max(id) FROM boot", doing: doing)
        )
    }

    /// Whether the file has a stream of that salvage already.
    func hasStream(endingIn suffix: String) throws(SQLiteError) -> Bool {
        let doing = "look for an earlier salvage in \(connection.path)"
        let select = try Statement(
            "SELECT count(*) FROM stream WHERE class LIKE '%' || ?", on: connection, doing: doing)
        try select.bind(suffix, at: 1)
        defer { select.reset() }
        return try select.step() && select.integer(at: 0) > 0
    }

    /// Writes rows that were found; one that is there already stays. Inside a transaction.
    func insert(_ rows: [SalvagedRows.Row]) throws(SQLiteError) {
        let insert = try Statement(
            """
            INSERT OR IGNORE INTO message(id, format, boot, instant, unix, quality, retain, topic, payload, expiry,
                properties, checksum)
            VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """, on: connection, doing: "salvage messages into \(connection.path)")
        for row in rows {
            try insert.bind(row.id.rawValue, at: 1)
            try insert.bind(row.format, at: 2)
            try insert.bind(row.boot, at: 3)
            try insert.bind(row.instant, at: 4)
            try insert.bind(row.unix, at: 5)
            try insert.bind(row.quality, at: 6)
            try insert.bind(row.retain, at: 7)
            try insert.run(
                topic: row.topic, at: 8, payload: row.payload, at: 9, expiry: row.expiry, at: 10,
                properties: row.properties, at: 11, checksumAt: 12)
        }
    }

    /// Writes rows of `refused` that were found. Inside a transaction.
    func insert(_ refused: [SalvagedRows.Refused]) throws(SQLiteError) {
        guard !refused.isEmpty else { return }
        let insert = try Statement(
            "INSERT INTO refused(\(Self.refusedColumns)) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", on: connection,
            doing: "salvage refused messages into \(connection.path)")
        for refused in refused {
            try insert.bind(refused.stream, at: 1)
            try insert.bind(refused.reason, at: 2)
            try insert.bind(refused.row.format, at: 3)
            try insert.bind(refused.row.retain, at: 4)
            try insert.bind(refused.row.boot, at: 5)
            try insert.bind(refused.row.instant, at: 6)
            try insert.bind(refused.row.unix, at: 7)
            try insert.bind(refused.row.quality, at: 8)
            try insert.run(
                topic: refused.row.topic, at: 9, payload: refused.row.payload, at: 10, expiry: refused.row.expiry,
                at: 11, properties: refused.row.properties, at: 12)
        }
    }

    /// Hands what was refused in a stream over to another. Inside a transaction.
    func moveRefused(fromStream old: Int64, toStream new: Int64) throws(SQLiteError) {
        try connection.execute(
            "UPDATE refused SET stream = \(new) WHERE stream = \(old)",
            doing: "salvage refused messages into \(connection.path)")
    }

    func insertBoot(_ number: Int64, name: String, offset: Int64?) throws(SQLiteError) {
        let doing = "salvage boots into \(connection.path)"
        let insert = try Statement(
            "INSERT OR IGNORE INTO boot(id, name, offset) VALUES(?, ?, ?)", on: connection, doing: doing)
        try insert.bind(number, at: 1)
        try insert.bind(name, at: 2)
        if let offset { try insert.bind(offset, at: 3) }
        try insert.run()
    }

    /// Forgets a stream that a salvage made and that is drained. Inside a transaction.
    func forgetStream(_ number: Int64) throws(SQLiteError) {
        let doing = "forget a drained stream of \(connection.path)"
        try connection.execute("DELETE FROM epoch WHERE stream = \(number)", doing: doing)
        try connection.execute("DELETE FROM stream WHERE id = \(number)", doing: doing)
    }
}
