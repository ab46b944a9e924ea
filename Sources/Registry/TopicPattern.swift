/// A topic filter ready to be compared with many topic names, byte by byte and without allocating. Agrees with
/// `Topic.matches`.
struct TopicPattern: Hashable, Sendable {
    private let filter: [UInt8]

    /// - Parameter filter: valid and not shared.
    init(_ filter: String) { self.filter = Array(filter.utf8) }

    func matches(_ name: String) -> Bool {
        name.utf8.withContiguousStorageIfAvailable { matches($0) } ?? Array(name.utf8).withUnsafeBufferPointer(matches)
    }

    private func matches(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
        let slash = UInt8(ascii: "/")
        let multi = UInt8(ascii: "#")
        let single = UInt8(ascii: "+")
        if name.first == UInt8(ascii: "$"), filter.first == single || filter.first == multi { return false }
        var at = 0
        var index = 0
        while index < filter.count {
            switch filter[index] {
            case multi: return true
            case single:
                while at < name.count, name[at] != slash { at += 1 }
                index += 1
            case slash where at == name.count:
                // `a/#` matches `a` too.
                return index + 2 == filter.count && filter[index + 1] == multi
            case let byte:
                guard at < name.count, name[at] == byte else { return false }
                at += 1
                index += 1
            }
        }
        return at == name.count
    }
}
