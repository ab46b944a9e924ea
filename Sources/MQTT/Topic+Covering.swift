extension Topic {
    /// Whether every topic name that `narrow` matches is matched by `wide` too, by the rules of
    /// ``matches(name:filter:)``. Both are valid filters and not shared ones.
    ///
    /// Names have unboundedly many possible levels, so levels decide one by one. Only because no name is empty are two
    /// pairs of filters written differently that match the same: `#` and `+/#`, `/#` and `/+/#`.
    package static func filter(_ wide: String, covers narrow: String) -> Bool {
        let wides = levels(wide)
        var narrows = levels(narrow)
        // A leading wildcard of `narrow` keeps names with `$` out; one of `wide` alone does not let them in.
        if narrow.utf8.first == UInt8(ascii: "$"), wides.first == "+" || wides.first == "#" { return false }
        if narrows == ["#"] || narrows == ["", "#"] { narrows.insert("+", at: narrows.count - 1) }
        for (index, level) in wides.enumerated() {
            if level == "#" { return true }
            // `#` stands for more levels, and for none: what is no `#` matches fewer names.
            guard index < narrows.count, narrows[index] != "#",
                level == "+" || level.utf8.elementsEqual(narrows[index].utf8)
            else { return false }
        }
        return wides.count == narrows.count
    }

    /// Whether there is a topic name that both filters match, by the rules of ``matches(name:filter:)``. Both are valid
    /// filters and not shared ones.
    package static func filters(_ a: String, overlap b: String) -> Bool {
        for (one, other) in [(a, b), (b, a)]
        where one.utf8.first == UInt8(ascii: "$") && ["+", "#"].contains(levels(other).first) { return false }
        var (ours, theirs) = (levels(a), levels(b))
        // What is above the first "/" is the empty name, which is none.
        if ours == ["", "#"] { ours.insert("+", at: 1) }
        if theirs == ["", "#"] { theirs.insert("+", at: 1) }
        var place = 0
        while place < ours.count, place < theirs.count {
            if ours[place] == "#" || theirs[place] == "#" { return true }
            guard ours[place] == "+" || theirs[place] == "+" || ours[place].utf8.elementsEqual(theirs[place].utf8)
            else { return false }
            place += 1
        }
        // "a/#" matches "a" too [MQTT-4.7.1-2].
        return ours.count == theirs.count || ours.dropFirst(place) == ["#"] || theirs.dropFirst(place) == ["#"]
    }

    /// The filter that a subscription selects messages by: of a shared one what follows `$share/NAME/`
    /// (MQTT 5.0 §4.8.2). `filter` is valid.
    package static func unshared(_ filter: String) -> String {
        guard isShared(filter) else { return filter }
        let parts = filter.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        return parts.count == 3 ? String(parts[2]) : filter
    }
}
