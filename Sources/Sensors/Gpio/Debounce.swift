package import Readings

/// Lets a contact's change through only once it has been quiet for a while, with the time of the edge that began it. A
/// value: edges and time in, changes out.
package struct Debounce: Sendable {
    package struct Change: Hashable, Sendable {
        package var value: Bool
        package var at: Instant

        package init(value: Bool, at: Instant) {
            self.value = value
            self.at = at
        }
    }

    private let quiet: Duration
    /// The last value that was let through.
    private var stable: Bool
    private var candidate: Change?
    private var lastEdge: Instant?

    /// - Parameter quiet: zero lets every change through at once.
    package init(quiet: Duration, initial: Bool) {
        self.quiet = quiet
        stable = initial
    }

    /// Where the line is by the last edge, settled or not.
    package var level: Bool { candidate?.value ?? stable }

    /// When to call `settled` at the latest; `nil`: nothing is on its way.
    package var deadline: Instant? { candidate == nil ? nil : lastEdge.map { $0 + quiet } }

    /// The line changed to `value`. Returns the change that this edge proves to be over, or this one without debouncing;
    /// an edge to where the line was already is no change: its counterpart was lost, or seen in the initial value.
    package mutating func edge(_ value: Bool, at instant: Instant) -> [Change] {
        guard quiet > .zero else {
            guard value != stable else { return [] }
            stable = value
            return [Change(value: value, at: instant)]
        }
        // Events may be read long after they happened: the quiet before this one may have been enough.
        let earlier = settled(now: instant)
        lastEdge = instant
        if candidate == nil {
            candidate = Change(value: value, at: instant)
        } else {
            candidate?.value = value
        }
        return earlier.map { [$0] } ?? []
    }

    /// The change that has been quiet for long enough by `now`.
    package mutating func settled(now: Instant) -> Change? {
        guard let pending = candidate, let lastEdge, now - lastEdge >= quiet else { return nil }
        candidate = nil
        // It bounced back to where it was: nothing has changed.
        guard pending.value != stable else { return nil }
        stable = pending.value
        return pending
    }
}
