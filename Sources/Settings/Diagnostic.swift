/// A place in a settings file; line and column count from 1, the column in Unicode scalars.
package struct SourcePosition: Hashable, Sendable, Comparable, CustomStringConvertible {
    package var file: String
    package var line: Int
    package var column: Int

    package init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// `file:line:column`, as editors understand it.
    package var description: String { "\(file):\(line):\(column)" }

    /// By the name of the file, then by place. ``Diagnostics`` orders files as they were read instead.
    package static func < (a: SourcePosition, b: SourcePosition) -> Bool {
        (a.file, a.line, a.column) < (b.file, b.line, b.column)
    }
}

/// One mistake, or one thing worth a second look, with its place.
package struct Diagnostic: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Severity: String, Hashable, Sendable {
        case error
        case warning
    }

    package var severity: Severity
    /// `nil` when it is not about a place, as a file that cannot be read.
    package var position: SourcePosition?
    package var message: String

    package init(_ severity: Severity, _ message: String, at position: SourcePosition? = nil) {
        self.severity = severity
        self.position = position
        self.message = message
    }

    package var description: String {
        (position.map { "\($0): " } ?? "") + "\(severity.rawValue): \(message)"
    }
}
