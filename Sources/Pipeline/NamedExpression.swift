internal import CPCRE2

/// A regular expression with at least one named group, as settings write it: `T=(?<temperature>[-0-9.]+)`
/// (pcre2pattern(3)). Looking for it takes a bounded number of steps, whatever a device sends.
///
/// Unchecked because of `handle` only: a compiled pattern is never changed, and may be used by several threads at the
/// same time (pcre2api(3), "Multithreading").
package final class NamedExpression: @unchecked Sendable {
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
    private let handle: OpaquePointer
    /// Named groups and their numbers, in the pattern's order.
    private let groups: [(name: String, number: Int)]

    package init(_ pattern: String) throws(Failure) {
        self.pattern = pattern
        var reason = [CChar](repeating: 0, count: 256)
        var place = 0
        var text = pattern
        let made = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                cpcre2_compile($0.baseAddress, $0.count, &reason, reason.count, &place)
            }
        }
        guard let made else {
            let words = String(decoding: reason.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            throw .syntax("\(words), at its byte \(place + 1)")
        }
        handle = made
        groups = (0..<cpcre2_name_count(made)).map { index in
            var number: UInt32 = 0
            let name = String(cString: cpcre2_name(made, index, &number))
            return (name, Int(number))
        }
        guard !groups.isEmpty else { throw .noNamedGroup }
    }

    deinit { cpcre2_free(handle) }

    /// The named groups of the first match, in the pattern's order; groups that did not take part are left out.
    func firstMatch(in text: String) -> [(name: String, text: Substring)]? {
        var text = text
        var bounds = [Int](repeating: -1, count: 2 * (cpcre2_group_count(handle) + 1))
        let isFound = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                bounds.withUnsafeMutableBufferPointer { bounds in
                    bounds.withMemoryRebound(to: UInt.self) {
                        cpcre2_match(handle, characters.baseAddress, characters.count, $0.baseAddress)
                    }
                }
            }
        }
        guard isFound else { return nil }
        return groups.compactMap { name, number in
            let (start, end) = (bounds[2 * number], bounds[2 * number + 1])
            // All bits are set for a group that took no part.
            guard start >= 0, end >= start else { return nil }
            let utf8 = text.utf8
            return (
                name, text[utf8.index(utf8.startIndex, offsetBy: start)..<utf8.index(utf8.startIndex, offsetBy: end)]
            )
        }
    }
}

extension NamedExpression: Hashable {
    /// Two expressions are the same when their patterns are.
    package static func == (a: NamedExpression, b: NamedExpression) -> Bool { a.pattern == b.pattern }

    package func hash(into hasher: inout Hasher) { hasher.combine(pattern) }
}
