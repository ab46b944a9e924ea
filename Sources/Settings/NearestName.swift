/// Finds what a mistyped name was probably meant to be.
package enum NearestName {
    /// The known name closest to `name`, when it is close enough to be worth a hint: at most a third of it wrong, or
    /// `name` is a whole word of it and of no other, as "password" is of "password_file".
    package static func of(_ name: String, among known: [String]) -> String? {
        // Longer names than any key are not worth the search.
        guard !name.isEmpty, name.utf8.count <= 64 else { return nil }
        let scored = known.map { ($0, distance(name.lowercased(), $0.lowercased())) }
        if let best = scored.min(by: { $0.1 < $1.1 }) {
            let length = max(name.count, best.0.count)
            if best.1 <= max(1, length / 3), best.1 < length { return best.0 }
        }
        let holding = known.filter { $0.split(separator: "_").contains { $0 == name.lowercased() } }
        return holding.count == 1 ? holding[0] : nil
    }

    /// `; did you mean "listen"?`, or the known names when nothing is near.
    package static func hint(_ name: String, among known: [String]) -> String {
        if let nearest = of(name, among: known) { return "; did you mean \"\(nearest)\"?" }
        return known.isEmpty ? "" : "; known are \(known.map { "\"\($0)\"" }.joined(separator: ", "))"
    }

    /// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
    static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a.prefix(64))
        let b = Array(b.prefix(64))
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        var rows = [Array(0...b.count)]
        for i in 1...a.count {
            var row = [i]
            for j in 1...b.count {
                var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { best = min(best, rows[i - 2][j - 2] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
