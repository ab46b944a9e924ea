internal import CSQLite

/// A prepared statement: compiled once, run many times.
///
/// Used like SQLite itself: bind, ``step()`` until it says `false`, ``reset()``. A statement that stands on a row
/// keeps a transaction open, so a reader that stops early must reset.
package struct Statement: ~Copyable {
    private let handle: OpaquePointer
    /// What a failing step tells a person, to follow "cannot".
    private let doing: String

    /// - Parameter doing: what running it means, to follow "cannot": `append to the outbox`.
    package init(_ sql: String, on connection: borrowing Connection, doing: String) throws(SQLiteError) {
        var raw: OpaquePointer?
        let flags = UInt32(SQLITE_PREPARE_PERSISTENT)
        let code = sqlite3_prepare_v3(connection.handle, sql, -1, flags, &raw, nil)
        guard code == SQLITE_OK, let raw else {
            throw SQLiteError(handle: connection.handle, code: code, doing: doing)
        }
        handle = raw
        self.doing = doing
    }

    deinit { sqlite3_finalize(handle) }

    /// Binds an integer to the parameter `index`, counted from 1.
    package func bind(_ value: Int64, at index: Int32) throws(SQLiteError) {
        try check(sqlite3_bind_int64(handle, index, value))
    }

    package func bindNull(at index: Int32) throws(SQLiteError) { try check(sqlite3_bind_null(handle, index)) }

    /// Binds a copy of the text.
    package func bind(_ text: String, at index: Int32) throws(SQLiteError) {
        var text = text
        try check(
            text.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) {
                    csqlite_bind_text_transient(handle, index, $0.baseAddress, Int32(clamping: $0.count))
                }
            }
        )
    }

    /// Binds a copy of the bytes.
    package func bind(_ bytes: [UInt8], at index: Int32) throws(SQLiteError) {
        // An empty array's buffer may have no address, which SQLite would take for NULL.
        if bytes.isEmpty { return try check(sqlite3_bind_zeroblob(handle, index, 0)) }
        try check(
            bytes.withUnsafeBytes {
                csqlite_bind_blob_transient(handle, index, $0.baseAddress, Int32(clamping: $0.count))
            }
        )
    }

    /// Binds text and blob without copying them, runs the statement once to its end and resets it.
    ///
    /// The hot path of an append: both values live for exactly as long as SQLite reads them.
    package func run(
        text: String, at textIndex: Int32, blob: [UInt8], at blobIndex: Int32
    ) throws(SQLiteError) {
        defer { reset() }
        var text = text
        // An empty array's buffer may have no address, which SQLite would take for NULL.
        let code = text.withUTF8 { utf8 in
            blob.withUnsafeBytes { bytes in
                utf8.withMemoryRebound(to: CChar.self) { characters -> Int32 in
                    var code = csqlite_bind_text_static(
                        handle, textIndex, characters.baseAddress, Int32(clamping: characters.count)
                    )
                    guard code == SQLITE_OK else { return code }
                    code =
                        bytes.isEmpty
                        ? sqlite3_bind_zeroblob(handle, blobIndex, 0)
                        : csqlite_bind_blob_static(
                            handle, blobIndex, bytes.baseAddress, Int32(clamping: bytes.count)
                        )
                    return code == SQLITE_OK ? sqlite3_step(handle) : code
                }
            }
        }
        guard code == SQLITE_DONE || code == SQLITE_ROW else { throw error(code) }
    }

    /// Runs the statement to its next row.
    /// - Returns: `false` when there is none left.
    package func step() throws(SQLiteError) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code: throw error(code)
        }
    }

    /// Runs a statement that returns no rows, and resets it.
    package func run() throws(SQLiteError) {
        defer { reset() }
        while try step() {}
    }

    /// Makes the statement ready to run again; what is bound stays bound. An error of the last step was thrown by it
    /// already and is not repeated.
    package func reset() { sqlite3_reset(handle) }

    package func isNull(at column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    /// The integer in `column`, counted from 0, of the row the statement stands on.
    package func integer(at column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    /// The column's length in bytes (UTF-8 for text); reads no more of a blob than its header.
    package func byteCount(at column: Int32) -> Int { Int(sqlite3_column_bytes(handle, column)) }

    /// Adds the bytes of a text or blob column, without copying them.
    package func add(_ column: Int32, to checksum: inout Checksum) {
        guard let start = sqlite3_column_blob(handle, column) else { return }
        checksum.add(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }

    /// A copy of the text in `column`; ill-formed UTF-8 is repaired.
    package func text(at column: Int32) -> String {
        guard let bytes = sqlite3_column_text(handle, column) else { return "" }
        let count = Int(sqlite3_column_bytes(handle, column))
        return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    /// A copy of the blob in `column`.
    package func bytes(at column: Int32) -> [UInt8] {
        guard let start = sqlite3_column_blob(handle, column) else { return [] }
        let count = Int(sqlite3_column_bytes(handle, column))
        return [UInt8](UnsafeRawBufferPointer(start: start, count: count))
    }

    private func check(_ code: Int32) throws(SQLiteError) {
        guard code == SQLITE_OK else { throw error(code) }
    }

    private func error(_ code: Int32) -> SQLiteError {
        SQLiteError(handle: sqlite3_db_handle(handle), code: code, doing: doing)
    }
}
