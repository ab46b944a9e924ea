/// Finds secrets in a text by what stands before them, line by line.
struct SecretLines {
    private static let mark = Array("•••".utf8)

    /// The text is a settings file; see ``Redaction/applied(to:isSettings:)``.
    let isSettings: Bool

    /// The text with a mark in the place of each secret.
    func applied(to text: String) -> [UInt8] {
        var removed: [[UInt8]] = []
        return walk(text, into: &removed)
    }

    /// What ``applied(to:)`` takes out.
    func removed(from text: String) -> [[UInt8]] {
        var removed: [[UInt8]] = []
        _ = walk(text, into: &removed)
        return removed
    }

    private typealias LastLine = (ArraySlice<UInt8>) -> Bool

    private func walk(_ text: String, into removed: inout [[UInt8]]) -> [UInt8] {
        var result: [UInt8] = []
        /// Says which line is the last of a secret that began on an earlier one.
        var isLast: LastLine?
        /// Inside `[credentials]` every value is a secret.
        var isInSecretTable = false
        for line in Array(text.utf8).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            if let isItLast = isLast {
                if isItLast(line) { isLast = nil }
                removed.append(Array(line))
                result += Self.mark
            } else if let start = Self.place(of: "-----BEGIN ", in: line),
                Self.place(of: "PRIVATE KEY", in: line) != nil
            {
                // A private key in PEM (RFC 7468).
                if Self.place(of: "-----END ", in: line) == nil {
                    isLast = { Self.place(of: "-----END ", in: $0) != nil }
                }
                removed.append(Array(line[start...]))
                result += line[..<start] + Self.mark
            } else {
                if isSettings, let name = Self.tableName(line) { isInSecretTable = SecretNames.holdTable(name) }
                if isInSecretTable, let equals = line.firstIndex(of: UInt8(ascii: "=")) {
                    let value = line[(equals + 1)...]
                    isLast = Self.lastLine(of: value.drop { $0 == UInt8(ascii: " ") })
                    removed.append(Array(value))
                    result += line[...equals] + Self.mark
                } else {
                    let line = self.line(line, isLast: &isLast, removed: &removed)
                    result += withoutAccounts(line, removed: &removed)
                }
            }
            result.append(UInt8(ascii: "\n"))
        }
        result.removeLast()
        return result
    }

    /// The name in a table's header.
    private static func tableName(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        let text = line.drop { " \t".utf8.contains($0) }
        guard text.first == UInt8(ascii: "["), let end = text.firstIndex(of: UInt8(ascii: "]")) else { return nil }
        return text[..<end].drop { "[ \t\"'".utf8.contains($0) }
    }

    private func line(_ line: ArraySlice<UInt8>, isLast: inout LastLine?, removed: inout [[UInt8]]) -> [UInt8] {
        var result: [UInt8] = []
        var rest = line
        while let start = rest.firstIndex(where: Self.isWord) {
            let stop = rest[start...].firstIndex { !Self.isWord($0) } ?? rest.endIndex
            result += rest[..<stop]
            let name = rest[start..<stop]
            rest = rest[stop...]
            // systemd's own: SetCredential=NAME:SECRET.
            let isCredential = name.starts(with: "SetCredential".utf8)
            // "Bearer SECRET", "--password SECRET".
            let isScheme =
                !isSettings && (SecretNames.isScheme(name) || name.starts(with: "--".utf8) && SecretNames.holds(name))
            guard isCredential || isScheme || SecretNames.holds(name) else { continue }
            let value = rest.drop { " \t\"'=:\\".utf8.contains($0) }
            if isSettings || isCredential {
                isLast = Self.lastLine(of: rest.drop { " \t=".utf8.contains($0) })
                if value.isEmpty, isLast == nil { return result + rest }
                removed.append(Array(value))
                return result + rest[..<value.startIndex] + Self.mark
            }
            let gap = rest[..<value.startIndex]
            guard gap.contains(where: { "=:".utf8.contains($0) || isScheme && $0 == UInt8(ascii: " ") }),
                !value.isEmpty
            else { continue }
            let last = Self.end(of: value, behind: gap)
            removed.append(Array(value[..<last]))
            result += gap + Self.mark
            rest = value[last...]
        }
        return result + rest
    }

    /// Where a value ends in a text that is no settings file.
    private static func end(of value: ArraySlice<UInt8>, behind gap: ArraySlice<UInt8>) -> Int {
        // A list or an object: to the end of the line.
        if let first = value.first, "[{".utf8.contains(first) { return value.endIndex }
        if gap.suffix(2).elementsEqual("\\\"".utf8) {
            // A quoted text within another one, as in a field of the log.
            return value.indices.first { value[$0...].starts(with: "\\\"".utf8) } ?? value.endIndex
        }
        let quote = gap.last.flatMap { "\"'".utf8.contains($0) ? $0 : nil }
        guard let quote else {
            let word = value.firstIndex { " \t,;&}\"".utf8.contains($0) } ?? value.endIndex
            // "Authorization: Bearer SECRET" has two words.
            guard SecretNames.isScheme(value[..<word]) else { return word }
            let next = value[word...].drop { $0 == UInt8(ascii: " ") }
            return next.firstIndex { " \t,;\"".utf8.contains($0) } ?? next.endIndex
        }
        var index = value.startIndex
        while index < value.endIndex, value[index] != quote {
            index += value[index] == UInt8(ascii: "\\") && quote == UInt8(ascii: "\"") ? 2 : 1
        }
        return min(index, value.endIndex)
    }

    /// `nil` for a value that ends on its own line. TOML's strings and arrays may be longer, and a unit's lines.
    private static func lastLine(of value: ArraySlice<UInt8>) -> LastLine? {
        if value.last == UInt8(ascii: "\\") { return { $0.last != UInt8(ascii: "\\") } }
        for (opening, closing) in [("\"\"\"", "\"\"\""), ("'''", "'''"), ("[", "]")]
        where value.starts(with: opening.utf8) {
            guard place(of: closing, in: value.dropFirst(opening.utf8.count)) == nil else { return nil }
            return { place(of: closing, in: $0) != nil }
        }
        return nil
    }

    /// `mqtt://account:password@host` becomes `mqtt://•••@host`.
    private func withoutAccounts(_ line: [UInt8], removed: inout [[UInt8]]) -> [UInt8] {
        var result: [UInt8] = []
        var rest = line[...]
        while let place = Self.place(of: "://", in: rest) {
            result += rest[..<(place + 3)]
            rest = rest[(place + 3)...]
            let stop = rest.firstIndex { "\"'".utf8.contains($0) || !isSettings && " \t,".utf8.contains($0) }
            guard let at = rest[..<(stop ?? rest.endIndex)].lastIndex(of: UInt8(ascii: "@")) else { continue }
            removed.append(Array(rest[..<at]))
            result += Self.mark
            rest = rest[at...]
        }
        return result + rest
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private static func place(of wanted: String, in bytes: ArraySlice<UInt8>) -> Int? {
        bytes.indices.first { bytes[$0...].starts(with: wanted.utf8) }
    }
}
