import Configuration
import Upstream

/// Takes out of a text what is nobody's business: passwords, tokens, accounts.
///
/// By what stands before them, line by line, so that settings with mistakes are no exception; and those that are known,
/// wherever they have slipped in.
struct Redaction: Sendable {
    private static let mark = Array("•••".utf8)
    private var secrets: [String] = []

    init(_ settings: GatewaySettings) {
        guard let upstream = settings.upstream else { return }
        if let username = upstream.configuration.username { secrets.append(username) }
        let password = try? SecretFile.read(upstream.passwordFile, settingsDirectory: upstream.settingsDirectory)
        if let password { secrets.append(String(decoding: password.revealed, as: UTF8.self)) }
    }

    init(secrets: [String] = []) { self.secrets = secrets }

    /// - Parameter isSettings: all that follows the name of a secret on its line goes, whatever it is: somebody may have
    ///   forgotten a quote. Elsewhere, a word or a quoted text goes that `=` or `:` gives to the name.
    func applied(to text: String, isSettings: Bool = false) -> [UInt8] {
        var text = text
        // A word of two letters stands everywhere; a longer one first, should it hold a shorter one.
        for secret in secrets.sorted(by: { $0.utf8.count > $1.utf8.count }) where secret.utf8.count > 2 {
            text = text.replacing(secret, with: "•••")
        }
        var result: [UInt8] = []
        /// Says which line is the last of a secret that began on an earlier one.
        var isLast: LastLine?
        for line in Array(text.utf8).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            if let isItLast = isLast {
                if isItLast(line) { isLast = nil }
                result += Self.mark
            } else {
                let line = Self.line(line, isSettings: isSettings, isLast: &isLast)
                result += Self.withoutAccounts(line, isSettings: isSettings)
            }
            result.append(UInt8(ascii: "\n"))
        }
        result.removeLast()
        return result
    }

    private static func line(_ line: ArraySlice<UInt8>, isSettings: Bool, isLast: inout LastLine?) -> [UInt8] {
        var result: [UInt8] = []
        var rest = line
        while let start = rest.firstIndex(where: isWord) {
            let stop = rest[start...].firstIndex { !isWord($0) } ?? rest.endIndex
            result += rest[..<stop]
            let name = rest[start..<stop]
            rest = rest[stop...]
            // systemd's own: SetCredential=NAME:SECRET.
            let isCredential = starts(name, with: "SetCredential")
            guard isCredential || isSecret(name) else { continue }
            let value = rest.drop { " \t\"'=:".utf8.contains($0) }
            if isSettings || isCredential {
                isLast = lastLine(of: rest.drop { " \t=".utf8.contains($0) })
                return value.isEmpty && isLast == nil ? result + rest : result + rest[..<value.startIndex] + mark
            }
            guard rest[..<value.startIndex].contains(where: { "=:".utf8.contains($0) }), !value.isEmpty else {
                continue
            }
            let quote = rest[..<value.startIndex].last.flatMap { "\"'".utf8.contains($0) ? $0 : nil }
            let last = value.firstIndex { quote == nil ? " \t,;}".utf8.contains($0) : $0 == quote } ?? value.endIndex
            result += rest[..<value.startIndex] + mark
            rest = rest[last...]
        }
        return result + rest
    }

    private typealias LastLine = (ArraySlice<UInt8>) -> Bool

    /// `nil` for a value that ends on its own line. TOML's strings and arrays may be longer, and a unit's lines.
    private static func lastLine(of value: ArraySlice<UInt8>) -> LastLine? {
        if value.last == UInt8(ascii: "\\") { return { $0.last != UInt8(ascii: "\\") } }
        for (opening, closing) in [("\"\"\"", "\"\"\""), ("'''", "'''"), ("[", "]")] where starts(value, with: opening)
        {
            let closing = Array(closing.utf8)
            guard place(of: closing, in: value.dropFirst(opening.utf8.count)) == nil else { return nil }
            return { place(of: closing, in: $0) != nil }
        }
        return nil
    }

    /// `mqtt://account:password@host` becomes `mqtt://•••@host`.
    private static func withoutAccounts(_ line: [UInt8], isSettings: Bool) -> [UInt8] {
        var result: [UInt8] = []
        var rest = line[...]
        while let place = place(of: Array("://".utf8), in: rest) {
            result += rest[..<(place + 3)]
            rest = rest[(place + 3)...]
            let stop = rest.firstIndex { "\"'".utf8.contains($0) || !isSettings && " \t,".utf8.contains($0) }
            guard let at = rest[..<(stop ?? rest.endIndex)].lastIndex(of: UInt8(ascii: "@")) else { continue }
            result += mark
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

    /// Whether a key of that name holds something secret; the names of files are none.
    private static func isSecret(_ name: ArraySlice<UInt8>) -> Bool {
        let name = String(decoding: name, as: UTF8.self).lowercased()
        guard !name.hasSuffix("_file") else { return false }
        return ["pass", "secret", "token", "psk"].contains(where: name.contains)
            || ["username", "user", "key"].contains(where: name.hasSuffix)
    }

    private static func starts(_ bytes: ArraySlice<UInt8>, with text: String) -> Bool { bytes.starts(with: text.utf8) }

    private static func place(of wanted: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
        bytes.indices.first { bytes[$0...].starts(with: wanted) }
    }
}
