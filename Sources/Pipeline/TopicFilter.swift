/// A topic filter of a forward or accept rule: `sensors/#`, `+/status` (MQTT 5.0 §4.7).
///
/// The broker searches its many subscriptions in a tree; the gateway has a handful of rules and needs to know, too,
/// what each wildcard stood for. That is what this type is for.
package struct TopicFilter: Hashable, Sendable, CustomStringConvertible {
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case empty
        case tooLong
        case nulCharacter
        case wildcardInsideLevel(String)
        case multiLevelNotLast

        package var description: String {
            switch self {
            case .empty: "a topic filter needs at least one character"
            case .tooLong: "a topic filter has at most 65,535 bytes"
            case .nulCharacter: "a topic filter must not contain the character NUL"
            case .wildcardInsideLevel(let level):
                "\"\(level)\": a wildcard must be a whole level, as in \"a/+/b\" or \"a/#\""
            case .multiLevelNotLast: "\"#\" must be the last level"
            }
        }
    }

    /// What a filter's wildcards stood for in one topic.
    package struct Match: Hashable, Sendable {
        /// What each `+` matched, in order.
        package var singleLevels: [Substring]
        /// What `#` matched: the remaining levels, `nil` when it matched the parent level itself or there is no `#`.
        package var remainder: Substring?
    }

    private enum Level: Hashable, Sendable {
        case name(String)
        case single
        case multi
    }

    /// The filter as written.
    package let description: String
    private let levels: [Level]

    /// How many `+` the filter has.
    package let singleLevelCount: Int
    /// The filter ends in `#`.
    package let hasMultiLevel: Bool

    /// `#`.
    package static let everything = TopicFilter()

    private init() { (description, levels, singleLevelCount, hasMultiLevel) = ("#", [.multi], 0, true) }

    package init(_ text: String) throws(Failure) {
        guard !text.isEmpty else { throw .empty }
        guard text.utf8.count <= 65_535 else { throw .tooLong }
        guard !text.utf8.contains(0) else { throw .nulCharacter }
        let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        var levels: [Level] = []
        levels.reserveCapacity(parts.count)
        for (index, part) in parts.enumerated() {
            let level = String(Substring(part))
            switch level {
            case "+": levels.append(.single)
            case "#":
                guard index == parts.count - 1 else { throw .multiLevelNotLast }
                levels.append(.multi)
            default:
                guard !level.utf8.contains(where: { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }) else {
                    throw .wildcardInsideLevel(level)
                }
                levels.append(.name(level))
            }
        }
        description = text
        self.levels = levels
        singleLevelCount = levels.count { $0 == .single }
        hasMultiLevel = levels.last == .multi
    }

    /// What the wildcards stand for in `topic`, or `nil` when it does not match.
    ///
    /// A leading wildcard does not match topics that begin with `$` [MQTT-4.7.2-1].
    package func match(_ topic: String) -> Match? {
        if topic.utf8.first == UInt8(ascii: "$"), levels.first == .single || levels.first == .multi { return nil }
        var result = Match(singleLevels: [], remainder: nil)
        var rest: Substring? = topic[...]
        for level in levels {
            if level == .multi {
                result.remainder = rest
                return result
            }
            guard let current = rest else { return nil }
            let head: Substring
            if let slash = current.utf8.firstIndex(of: UInt8(ascii: "/")) {
                head = current[..<slash]
                rest = current[current.utf8.index(after: slash)...]
            } else {
                head = current
                rest = nil
            }
            switch level {
            case .name(let name): guard head.utf8.elementsEqual(name.utf8) else { return nil }
            case .single: result.singleLevels.append(head)
            case .multi: preconditionFailure("a multi-level wildcard ends the loop above")
            }
        }
        return rest == nil ? result : nil
    }

    /// Whether `topic` matches, as ``match(_:)`` says. Allocates nothing: it is asked for every publish on the LAN.
    package func matches(_ topic: String) -> Bool {
        let answer = description.utf8.withContiguousStorageIfAvailable { filter in
            topic.utf8.withContiguousStorageIfAvailable { Self.matches(filter, $0) }
        }
        return (answer ?? nil) ?? (match(topic) != nil)
    }

    private static func matches(_ filter: UnsafeBufferPointer<UInt8>, _ topic: UnsafeBufferPointer<UInt8>) -> Bool {
        let (slash, single, multi) = (UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "#"))
        if topic.first == UInt8(ascii: "$"), filter.first == single || filter.first == multi { return false }
        var (i, j) = (0, 0)
        while true {
            // At the beginning of a level in both.
            if i < filter.count, filter[i] == multi { return true }
            if i < filter.count, filter[i] == single {
                i += 1
                while j < topic.count, topic[j] != slash { j += 1 }
            } else {
                while i < filter.count, filter[i] != slash {
                    guard j < topic.count, topic[j] == filter[i] else { return false }
                    i += 1
                    j += 1
                }
                guard j == topic.count || topic[j] == slash else { return false }
            }
            switch (i < filter.count, j < topic.count) {
            case (false, false): return true
            case (false, true): return false
            // "a/#" matches "a" too [MQTT-4.7.1-2].
            case (true, false): return i + 2 == filter.count && filter[i + 1] == multi
            case (true, true):
                i += 1
                j += 1
            }
        }
    }
}
