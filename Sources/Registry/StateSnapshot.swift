package import Readings

/// How the state file does, for `status`. It heals by itself: nothing has to restart it.
package struct StateSnapshot: Sendable {
    /// Why sessions, retained messages and accounts are not on disk right now. They are in memory meanwhile.
    package struct Problem: Hashable, Sendable {
        package var reason: String
        package var remedy: String?
        package var since: Instant
    }

    /// A new file took the place of a damaged one. Nothing that memory held was lost with it.
    package struct Replacement: Hashable, Sendable {
        /// Where the damaged file lies now; `nil`: it was gone.
        package var quarantined: String?
        package var reason: String
        package var at: Instant
    }

    /// `nil` when all is well.
    package var problem: Problem?
    /// The last few since the start, oldest first.
    package var replacements: [Replacement] = []

    /// Replacements that are kept.
    static let limit = 8
}

/// What the state store tells, on its thread.
package enum StateEvent: Sendable {
    case replaced(StateSnapshot.Replacement)
    /// Users and access rules could not be read when the store was opened, and now are: what is known of them is out of
    /// date.
    case accountsRead
}
