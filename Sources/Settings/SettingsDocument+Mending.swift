extension SettingsDocument {
    /// A part of the document that can be taken out by itself.
    private enum Part: Hashable {
        case entry(String)
        /// One of `[[name]]`.
        case element(String, Int)
        case key(table: String, String)
        case named(table: String, String)
        case namedKey(table: String, name: String, String)
        /// What follows a header that could not be read; it is in no table.
        case nowhere
    }

    /// Where a part begins; it ends where the next one does.
    private struct Place {
        var start: SourcePosition
        /// What follows on later lines is none of it: a line that could not be read, and is not there.
        var lastLine = Int.max
        var part: Part

        func covers(_ position: SourcePosition) -> Bool {
            start.file == position.file && start <= position && position.line <= lastLine
        }
    }

    /// The section in which `position` lies, and of `[name]` the key; `nil` before the first of them.
    package func location(of position: SourcePosition) -> (section: String, key: String?)? {
        let tables = Set(root.entries.map(\.key))
        let part = parts(byKey: tables, named: []).filter { $0.covers(position) }.max { $0.start < $1.start }?.part
        switch part {
        case nil, .nowhere: return nil
        case .entry(let name), .element(let name, _): return (name, nil)
        case .key(let table, let key), .named(let table, let key), .namedKey(let table, let key, _):
            return (table, key)
        }
    }

    /// Whether a section that is not to be found may stand there: one has a header that could not be read, or that
    /// names none of `sections`.
    package func mayHide(among sections: [Section]) -> Bool {
        let known = sections.map(\.name)
        return root.isIncomplete || root.keyPositions.contains { !known.contains($0.key) }
    }

    /// Takes out what mistakes at `positions` make unusable, so that the rest can be used: the key, in the tables named
    /// here, and elsewhere the whole table, since half of one may mean something else: a listener without the
    /// certificates that it should ask for would let everybody in.
    /// - Parameters:
    ///   - byKey: `[name]` tables whose keys stand each for itself.
    ///   - named: names of `[name.NAME]` tables of which that is true.
    /// - Returns: `false` when nothing stands there.
    package mutating func takeOut(at positions: [SourcePosition], byKey: Set<String>, named: Set<String>) -> Bool {
        let parts = parts(byKey: byKey, named: named)
        // All are found before any is gone: what stood before it would answer for it.
        let found = Set(
            positions.compactMap { position in
                parts.filter { $0.covers(position) }.max { $0.start < $1.start }?.part
            })
        var places: [String: [Int]] = [:]
        for part in found {
            switch part {
            case .nowhere: continue
            case .entry(let name): root.takeOut(name)
            case .element(let name, let place): places[name, default: []].append(place)
            case .key(let table, let key), .named(let table, let key): change(table) { $0.takeOut(key) }
            case .namedKey(let table, let name, let key):
                change(table) { outer in
                    guard case .table(var inner)? = outer[name]?.value else { return }
                    inner.takeOut(key)
                    outer.replace(name, with: .table(inner))
                }
            }
        }
        for (name, places) in places {
            guard case .array(var nodes)? = root[name]?.value else { continue }
            for place in places.sorted(by: >) { nodes.remove(at: place) }
            // The empty list stays: without it the built-in rules would come back.
            root.replace(name, with: .array(nodes))
        }
        return found != [.nowhere] && !found.isEmpty
    }

    private mutating func change(_ name: String, _ body: (inout TOMLTable) -> Void) {
        guard case .table(var table)? = root[name]?.value else { return }
        body(&table)
        root.replace(name, with: .table(table))
    }

    private func parts(byKey: Set<String>, named: Set<String>) -> [Place] {
        var parts: [Place] = []
        for entry in root.entries {
            switch entry.node.value {
            case .array(let nodes):
                for (place, node) in nodes.enumerated() {
                    parts.append(Place(start: node.position, part: .element(entry.key, place)))
                }
            case .table(let table):
                if byKey.contains(entry.key) { parts += keys(of: table) { .key(table: entry.key, $0) } }
                if named.contains(entry.key) {
                    for inner in table.entries {
                        guard case .table(let table) = inner.node.value else { continue }
                        parts += keys(of: table) { .namedKey(table: entry.key, name: inner.key, $0) }
                        parts.append(Place(start: table.position, part: .named(table: entry.key, inner.key)))
                    }
                }
                parts.append(Place(start: table.position, part: .entry(entry.key)))
            default: break
            }
        }
        for (key, position) in root.keyPositions {
            // Where the first of [[name]] begins, so does name.
            if case .array(let nodes)? = root[key]?.value, !nodes.isEmpty { continue }
            parts.append(Place(start: position, part: .entry(key)))
        }
        return parts + root.unreadableHeaders.map { Place(start: $0, part: .nowhere) }
    }

    private func keys(of table: TOMLTable, _ part: (String) -> Part) -> [Place] {
        table.keyPositions.map { key, position in
            var lastLine = position.line
            if case .array(let nodes)? = table[key]?.value { lastLine = nodes.last?.position.line ?? lastLine }
            return Place(start: position, lastLine: lastLine, part: part(key))
        }
    }

    /// Nothing is set.
    package var isEmpty: Bool { root.entries.isEmpty }

    /// Whether anything is called that, readable or not.
    package func has(_ name: String) -> Bool { root[name] != nil || root.unreadablePosition(name) != nil }

    /// Whether `[table]` gives the key a readable value.
    package func has(_ key: String, in table: String) -> Bool {
        if case .table(let table)? = root[table]?.value { table[key] != nil } else { false }
    }
}
