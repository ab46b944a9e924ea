/// The topic a rule maps to: plain levels, `{gateway}`, `{topic}`, `{device}`, and `+` and `#`, which take over what
/// the rule's filter matched there, in order.
package struct TopicTemplate: Hashable, Sendable, CustomStringConvertible {
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case empty
        case nulCharacter
        case unknownPlaceholder(String)
        case unclosedPlaceholder
        case wildcardInsideLevel(String)
        case multiLevelNotLast
        case moreWildcardsThanFilter(String)

        package var description: String {
            switch self {
            case .empty: "a topic needs at least one character"
            case .nulCharacter: "a topic must not contain the character NUL"
            case .unknownPlaceholder(let name):
                "\"{\(name)}\" is not a placeholder; known are {gateway}, {topic} and {device}"
            case .unclosedPlaceholder: "a \"{\" without its \"}\""
            case .wildcardInsideLevel(let level):
                "\"\(level)\": a wildcard must be a whole level, as in \"a/+/b\" or \"a/#\""
            case .multiLevelNotLast: "\"#\" must be the last level"
            case .moreWildcardsThanFilter(let wildcard):
                "\"\(wildcard)\" stands for nothing: the \"from\" filter has fewer of them"
            }
        }
    }

    private enum Part: Hashable, Sendable {
        case text(String)
        case topic
        case device
        case single(Int)
        case remainder
    }

    package let description: String
    private let parts: [Part]

    /// Parses `text`, putting `gateway` in for `{gateway}`, and checks that `filter` has a wildcard for each of the
    /// template's.
    package init(_ text: String, gateway: String, filter: TopicFilter) throws(Failure) {
        guard !text.isEmpty else { throw .empty }
        guard !text.utf8.contains(0) else { throw .nulCharacter }
        var parts: [Part] = []
        var singles = 0
        let levels = text.split(separator: "/", omittingEmptySubsequences: false)
        for (index, level) in levels.enumerated() {
            if index > 0 { parts.append(.text("/")) }
            switch level {
            case "+":
                guard singles < filter.singleLevelCount else { throw .moreWildcardsThanFilter("+") }
                parts.append(.single(singles))
                singles += 1
            case "#":
                guard index == levels.count - 1 else { throw .multiLevelNotLast }
                guard filter.hasMultiLevel else { throw .moreWildcardsThanFilter("#") }
                parts.append(.remainder)
            default:
                guard !level.contains("+"), !level.contains("#") else { throw .wildcardInsideLevel(String(level)) }
                try Self.parse(level, gateway: gateway, into: &parts)
            }
        }
        description = text
        self.parts = parts
    }

    /// A filter for all topics that the template can make of what `filter` matches.
    package func reach(of filter: TopicFilter) -> String {
        // Stands in no topic.
        let device = "\0"
        let text = parts.map { part in
            switch part {
            case .text(let text): text
            case .topic: filter.description
            case .device: device
            case .single: "+"
            case .remainder: "#"
            }
        }.joined()
        var levels: [String] = []
        for level in text.split(separator: "/", omittingEmptySubsequences: false) {
            // {topic} may stand in the midst of a template, and a filter's "#" does not.
            if level.contains("#") {
                levels.append("#")
                break
            }
            levels.append(level.contains(device) || level.contains("+") ? "+" : String(level))
        }
        return levels.joined(separator: "/")
    }

    private static func parse(_ level: Substring, gateway: String, into parts: inout [Part]) throws(Failure) {
        var rest = level
        while let open = rest.firstIndex(of: "{") {
            if open > rest.startIndex { parts.append(.text(String(rest[..<open]))) }
            guard let close = rest[open...].firstIndex(of: "}") else { throw .unclosedPlaceholder }
            switch rest[rest.index(after: open)..<close] {
            case "gateway": parts.append(.text(gateway))
            case "topic": parts.append(.topic)
            case "device": parts.append(.device)
            case let name: throw .unknownPlaceholder(String(name))
            }
            rest = rest[rest.index(after: close)...]
        }
        if !rest.isEmpty { parts.append(.text(String(rest))) }
    }

    /// The topic for one match; `nil` when the result is not a valid topic name (empty, over 65,535 bytes, or with a
    /// wildcard that came in through a device's name).
    package func expand(topic: String, device: String, match: TopicFilter.Match) -> String? {
        var result = ""
        for part in parts {
            switch part {
            case .text(let text): result += text
            case .topic: result += topic
            case .device: result += device
            case .single(let index): result += match.singleLevels[index]
            case .remainder:
                if let remainder = match.remainder {
                    result += remainder
                } else if result.utf8.last == UInt8(ascii: "/") {
                    result.removeLast()  // "a/#" matched "a" itself: so does what it maps to
                }
            }
        }
        let bytes = result.utf8
        guard (1...65_535).contains(bytes.count) else { return nil }
        return bytes.contains { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") || $0 == 0 } ? nil : result
    }
}
