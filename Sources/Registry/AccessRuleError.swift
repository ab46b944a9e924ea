/// Why an access rule cannot be made.
package enum AccessRuleError: Error, Hashable, Sendable, CustomStringConvertible {
    case badFilter
    case sharedFilter
    case unknownPlaceholder

    package var description: String {
        switch self {
        case .badFilter: "it is no topic filter: `+` and `#` stand for whole levels, `#` only for the last"
        case .sharedFilter: "write the filter without $share/NAME/: it holds for shared subscriptions too"
        case .unknownPlaceholder: "braces are only for {client} and {user}"
        }
    }
}
