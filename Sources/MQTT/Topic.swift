/// Rules for topic names and filters (MQTT 5.0 §4.7).
package enum Topic {
    /// A topic name that can be published to: 1…65,535 bytes [MQTT-4.7.3-1] [MQTT-4.7.3-3], no wildcard
    /// [MQTT-3.3.2-2], no NUL [MQTT-4.7.3-2].
    package static func isValidName(_ topic: some StringProtocol) -> Bool {
        let bytes = topic.utf8
        guard (1...65_535).contains(bytes.count) else { return false }
        return !bytes.contains { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") || $0 == 0 }
    }

    /// A topic filter: `+` [MQTT-4.7.1-2] and `#` [MQTT-4.7.1-1] only as whole levels, `#` only last; a shared one
    /// with its parts in order [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    package static func isValidFilter(_ filter: some StringProtocol) -> Bool {
        let bytes = filter.utf8
        guard (1...65_535).contains(bytes.count) else { return false }
        guard isShared(filter) else { return isValidPlainFilter(bytes) }
        return sharedFilter(filter).map { isValidPlainFilter($0) } ?? false
    }

    /// Whether a shared subscription has a ShareName without wildcards [MQTT-4.8.2-1] and something behind it
    /// [MQTT-4.8.2-2]. What that is, is not looked at.
    package static func hasShareName(_ filter: some StringProtocol) -> Bool { sharedFilter(filter) != nil }

    /// What stands behind the ShareName; `nil` where there is no valid one, or nothing.
    private static func sharedFilter<Text: StringProtocol>(_ filter: Text) -> Text.UTF8View.SubSequence? {
        let parts = filter.utf8.split(separator: UInt8(ascii: "/"), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[1].isEmpty, !parts[2].isEmpty,
            !parts[1].contains(where: { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") })
        else { return nil }
        return parts[2]
    }

    /// Filters of shared subscriptions begin with `$share/` (MQTT 5.0 §4.8.2), byte by byte: a combining character
    /// behind the slash changes nothing [MQTT-4.7.3-4].
    package static func isShared(_ filter: some StringProtocol) -> Bool { filter.utf8.starts(with: "$share/".utf8) }

    private static func isValidPlainFilter(_ filter: some Collection<UInt8>) -> Bool {
        var previous = UInt8(ascii: "/")
        var isAfterWildcard = false
        var isAfterMulti = false
        guard !filter.isEmpty else { return false }
        for byte in filter {
            guard byte != 0, !isAfterMulti else { return false }
            switch byte {
            case UInt8(ascii: "+"), UInt8(ascii: "#"):
                guard previous == UInt8(ascii: "/"), !isAfterWildcard else { return false }
                isAfterWildcard = true
                isAfterMulti = byte == UInt8(ascii: "#")
            case UInt8(ascii: "/"): isAfterWildcard = false
            default: guard !isAfterWildcard else { return false }
            }
            previous = byte
        }
        return true
    }

    /// The levels between the slashes, empty ones too [MQTT-4.7.3-1].
    package static func levels(_ topic: String) -> [Substring] {
        topic.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { Substring($0) }
    }

    /// How many levels a topic has.
    package static func levelCount(_ topic: String) -> Int {
        topic.utf8.reduce(1) { $1 == UInt8(ascii: "/") ? $0 + 1 : $0 }
    }

    /// Whether a name matches a filter, level by level: what the trees must agree with. A leading wildcard does not
    /// match names that begin with `$` [MQTT-4.7.2-1].
    package static func matches(name: String, filter: String) -> Bool {
        let names = levels(name)
        let filters = levels(filter)
        if name.utf8.first == UInt8(ascii: "$"), filters.first == "+" || filters.first == "#" { return false }
        for (index, level) in filters.enumerated() {
            if level == "#" { return true }
            guard index < names.count, level == "+" || level.utf8.elementsEqual(names[index].utf8)
            else { return false }
        }
        return filters.count == names.count
    }
}
