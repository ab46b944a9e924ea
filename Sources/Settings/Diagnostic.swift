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

    package static func < (a: SourcePosition, b: SourcePosition) -> Bool {
        (a.line, a.column) < (b.line, b.column)
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

/// Collects diagnostics, so that all mistakes are told at once. Not Sendable: one reader fills it.
package final class Diagnostics {
    private var found: [Diagnostic] = []

    package init() {}

    /// All of them: by file in the order they were read, then by place.
    package var list: [Diagnostic] {
        var order: [String: Int] = [:]
        for diagnostic in found where diagnostic.position != nil {
            let file = diagnostic.position?.file ?? ""
            if order[file] == nil { order[file] = order.count }
        }
        return found.enumerated().sorted { a, b in
            guard let first = a.element.position, let second = b.element.position else {
                return a.element.position == nil && b.element.position != nil
                    || a.offset < b.offset && b.element.position == nil
            }
            let files = (order[first.file] ?? 0, order[second.file] ?? 0)
            return files.0 != files.1 ? files.0 < files.1 : first != second ? first < second : a.offset < b.offset
        }.map(\.element)
    }

    package var hasErrors: Bool { found.contains { $0.severity == .error } }

    package func error(_ message: String, at position: SourcePosition? = nil) {
        add(Diagnostic(.error, message, at: position))
    }

    package func warning(_ message: String, at position: SourcePosition? = nil) {
        add(Diagnostic(.warning, message, at: position))
    }

    package func add(_ diagnostic: Diagnostic) { found.append(diagnostic) }
}
