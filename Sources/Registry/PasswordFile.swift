/// A password file of mosquitto: `user:hash` on each line, as `mosquitto_passwd` writes it. Empty lines and lines that
/// begin with `#` say nothing; a byte order mark, as Windows' editor writes it, is no part of the first name.
package struct PasswordFile: Sendable {
    /// The largest file, in bytes: some 8,000 users.
    package static let maximumBytes = 1 << 20

    /// The users, in the file's order; each name once.
    package let entries: [(user: UserName, hash: PasswordHash)]

    /// Reads the whole file, and throws with the first mistakes if there is any: half a file would lock out the rest.
    package init(parsing bytes: [UInt8]) throws(PasswordFileError) {
        guard bytes.count <= Self.maximumBytes else { throw PasswordFileError([.init(line: 0, reason: .fileTooLarge)]) }
        let bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
        var entries: [(user: UserName, hash: PasswordHash)] = []
        var lines: [UserName: Int] = [:]
        var mistakes: [PasswordFileError.Mistake] = []
        for (index, var line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .enumerated()
        {
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            guard let first = line.first, first != UInt8(ascii: "#"), line.contains(where: { !$0.isBlank }) else {
                continue
            }
            do throws(PasswordFileError.Reason) {
                let entry = try Self.entry(line)
                if let earlier = lines.updateValue(index + 1, forKey: entry.user) { throw .duplicate(line: earlier) }
                entries.append(entry)
            } catch {
                mistakes.append(.init(line: index + 1, reason: error))
                if mistakes.count == PasswordFileError.maximumMistakes { break }
            }
        }
        guard mistakes.isEmpty else { throw PasswordFileError(mistakes) }
        self.entries = entries
    }

    private static func entry(
        _ line: ArraySlice<UInt8>
    ) throws(PasswordFileError.Reason) -> (user: UserName, hash: PasswordHash) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { throw .noColon }
        guard let name = String(validating: line[..<colon], as: UTF8.self),
            let text = String(validating: line[(colon + 1)...], as: UTF8.self)
        else { throw .notUTF8 }
        guard let user = UserName(name) else { throw .badUserName }
        do throws(PasswordHashError) {
            return (user, try PasswordHash(parsing: text))
        } catch {
            throw .hash(error)
        }
    }
}

extension UInt8 {
    fileprivate var isBlank: Bool { self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") }
}
