/// An access rule with the number it is stored under.
package struct StoredRule: Hashable, Sendable {
    /// Counted from 1, in the order in which rules were added; never used twice.
    package let id: Int64
    package let rule: AccessRule
}
