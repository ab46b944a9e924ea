import _StringProcessing

/// A regular expression with at least one named group, as settings write it: `T=(?<temperature>[-0-9.]+)`.
///
/// Unchecked because of `regex` only: a `Regex` is an immutable program once made, but its type is not marked
/// Sendable for the sake of custom components written in code, which a pattern from a file cannot hold.
package struct NamedExpression: @unchecked Sendable {
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case syntax(String)
        case noNamedGroup

        package var description: String {
            switch self {
            case .syntax(let reason): "not a regular expression: \(reason)"
            case .noNamedGroup: "the expression needs a named group, as in \"T=(?<temperature>[-0-9.]+)\""
            }
        }
    }

    package let pattern: String
    private let regex: Regex<AnyRegexOutput>

    package init(_ pattern: String) throws(Failure) {
        let regex: Regex<AnyRegexOutput>
        do {
            regex = try Regex(pattern)
        } catch {
            throw .syntax("\(error)")
        }
        // The group names are known only from a match; what opens one is plain to see, `(?<=` and `(?<!` left out.
        let opensGroup = pattern.split(separator: "(?").dropFirst().contains { rest in
            let name = rest.first == "P" ? rest.dropFirst() : rest
            return name.first == "<" && name.dropFirst().first.map { $0.isLetter || $0 == "_" } == true
        }
        guard opensGroup else { throw .noNamedGroup }
        self.pattern = pattern
        self.regex = regex
    }

    /// The named groups of the first match, in the pattern's order; groups that did not take part are left out.
    func firstMatch(in text: String) -> [(name: String, text: Substring)]? {
        guard let match = try? regex.firstMatch(in: text) else { return nil }
        return match.output.compactMap { group in
            guard let name = group.name, let text = group.substring else { return nil }
            return (name, text)
        }
    }
}
