/// Topic filters once more (MQTT 5.0 §4.7, §4.8.2), byte by byte and for tests.
package enum TopicRules {
    private static let slash = UInt8(ascii: "/")
    private static let multi = Array("#".utf8)[...]
    private static let single = Array("+".utf8)[...]

    private static func levels(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        bytes.split(separator: slash, omittingEmptySubsequences: false)
    }

    /// The filter that a shared subscription has behind its group's name; any other filter as it is; `nil`: neither.
    private static func plain(_ filter: [UInt8]) -> [UInt8]? {
        guard filter.starts(with: "$share/".utf8) else { return filter }
        let parts = filter.split(separator: slash, maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[1].isEmpty, !parts[1].contains(multi[0]), !parts[1].contains(single[0]) else {
            return nil
        }
        return Array(parts[2])
    }

    package static func isFilter(_ filter: [UInt8]) -> Bool {
        guard let plain = plain(filter), !plain.isEmpty else { return false }
        let levels = levels(plain)
        for (index, level) in levels.enumerated() where level.contains(multi[0]) || level.contains(single[0]) {
            guard level.elementsEqual(single) || level.elementsEqual(multi) && index == levels.count - 1 else {
                return false
            }
        }
        return true
    }

    package static func matches(topic: [UInt8], filter: [UInt8]) -> Bool {
        guard let plain = plain(filter) else { return false }
        let names = levels(topic)
        let filters = levels(plain)
        let isHidden = topic.first == UInt8(ascii: "$")
        for (index, level) in filters.enumerated() {
            if isHidden, index == 0, level.elementsEqual(single) || level.elementsEqual(multi) { return false }
            if level.elementsEqual(multi) { return true }
            guard index < names.count, level.elementsEqual(single) || level.elementsEqual(names[index]) else {
                return false
            }
        }
        return names.count == filters.count
    }
}
