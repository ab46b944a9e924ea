/// The history of one file's schema: the n-th entry brings a file of version n to version n + 1.
///
/// The version stands in the file's header (`PRAGMA user_version`). Entries are never edited once released; a change
/// is a new entry.
package struct Migrations: Sendable {
    private let steps: [String]

    /// - Parameter steps: SQL scripts in order; the first makes an empty file a file of version 1.
    package init(_ steps: [String]) { self.steps = steps }

    /// More versions than any program will have: a bit that has turned over in the header does not make a newer file.
    private static let limit = 256

    /// The version that this program writes.
    package var current: Int { steps.count }

    /// Brings the file to the current version, one transaction per step; a file that is there already is not written.
    /// - Throws: `.newerSchema` when the file is of a later version than this program knows. It is left as it is.
    package func migrate(_ connection: borrowing Connection) throws(SQLiteError) {
        let doing = "bring \(connection.path) to schema version \(current)"
        let found = Int(try connection.integer("PRAGMA user_version", doing: doing))
        guard (0..<Self.limit).contains(found) else {
            throw SQLiteError(
                condition: .corrupt, doing: doing, reason: "its schema version is \(found), which no program wrote"
            )
        }
        guard found <= current else {
            throw SQLiteError(
                condition: .newerSchema, doing: "use the database \(connection.path)",
                reason: "it has schema version \(found), this program knows versions up to \(current)"
            )
        }
        for version in found..<current {
            try connection.transaction(doing: doing) { () throws(SQLiteError) in
                try connection.execute(steps[version], doing: doing)
                try connection.execute("PRAGMA user_version=\(version + 1)", doing: doing)
            }
        }
    }
}
