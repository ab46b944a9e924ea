/// Collects diagnostics, so that all mistakes are told at once. Not Sendable: one reader fills it.
///
/// What is told twice counts once. At most ``limit`` are kept; of the rest only the number is.
package final class Diagnostics {
    /// More than this nobody reads.
    package static let limit = 1_000

    private var found: [Diagnostic] = []
    private var seen: Set<Diagnostic> = []
    private var files: [String: Int] = [:]
    /// How many were told beyond ``limit``.
    package private(set) var omitted = 0
    package private(set) var hasErrors = false

    package init() {}

    /// All of them: those without a place, then by file in the order the files were read, then by place.
    package var list: [Diagnostic] {
        let ordered = found.enumerated().map { (order: order(of: $0.element, told: $0.offset), diagnostic: $0.element) }
        var list = ordered.sorted { $0.order < $1.order }.map(\.diagnostic)
        if omitted > 0 { list.append(Diagnostic(hasErrors ? .error : .warning, "\(omitted) more are not shown")) }
        return list
    }

    private func order(of diagnostic: Diagnostic, told: Int) -> (Int, Int, Int, Int) {
        guard let position = diagnostic.position else { return (-1, 0, 0, told) }
        return (files[position.file] ?? files.count, position.line, position.column, told)
    }

    /// Whether further ones are only counted, so that costly hints can be saved.
    var isFull: Bool { found.count >= Self.limit }

    /// Says that `file` is being read: what is told of it stands behind what is told of files read before.
    func reads(_ file: String) {
        if files[file] == nil { files[file] = files.count }
    }

    package func error(_ message: String, at position: SourcePosition? = nil) {
        add(Diagnostic(.error, message, at: position))
    }

    package func warning(_ message: String, at position: SourcePosition? = nil) {
        add(Diagnostic(.warning, message, at: position))
    }

    package func add(_ diagnostic: Diagnostic) {
        hasErrors = hasErrors || diagnostic.severity == .error
        if let file = diagnostic.position?.file { reads(file) }
        guard !isFull else {
            omitted += 1
            return
        }
        if seen.insert(diagnostic).inserted { found.append(diagnostic) }
    }
}
