import Configuration
import Upstream

/// Takes secrets out of a text: passwords, tokens, keys, accounts.
///
/// Two ways add up. What stands behind the name of a secret goes, line by line, so that settings with mistakes are no
/// exception. And every secret that is known goes wherever it stands: the upstream's password, and what the first way has
/// found in the settings, which a message about a mistake may repeat.
struct Redaction: Sendable {
    private static let mark = Array("•••".utf8)
    /// Shorter words stand everywhere.
    private static let shortest = 3
    /// What settings hold behind the name of a secret may be an ordinary word in a comment.
    private static let shortestLearned = 6
    private var secrets: Set<String> = []

    init(_ settings: GatewaySettings) {
        guard let upstream = settings.upstream else { return }
        if let username = upstream.configuration.username { secrets.insert(username) }
        let password = try? SecretFile.read(upstream.passwordFile, settingsDirectory: upstream.settingsDirectory)
        if let password { secrets.insert(String(decoding: password.revealed, as: UTF8.self)) }
    }

    init(secrets: [String] = []) { self.secrets = Set(secrets) }

    /// Takes note of the secrets in a settings file, so that they go from every other text too.
    mutating func learn(from settings: String) {
        let removed = SecretLines(isSettings: true).removed(from: settings)
        for text in removed {
            let words = text.split { " \t\r\"'=:,;[]{}#".utf8.contains($0) }.map { String(decoding: $0, as: UTF8.self) }
            // A whole quoted text, too: it may hold spaces.
            let quoted = text.split { "\"'".utf8.contains($0) }.map { String(decoding: $0, as: UTF8.self) }
            let spaced = text.split { " \t\r\"',".utf8.contains($0) }.map { String(decoding: $0, as: UTF8.self) }
            for word in words + quoted + spaced where word.utf8.count >= Self.shortestLearned { secrets.insert(word) }
        }
    }

    /// - Parameter isSettings: all that follows the name of a secret on its line goes, whatever it is, because a quote may be
    ///   missing. Elsewhere, a word or a quoted text goes that `=` or `:` gives to the name.
    func applied(to text: String, isSettings: Bool = false) -> [UInt8] {
        var text = text
        // A longer one first, should it hold a shorter one.
        let known = secrets.filter { $0.utf8.count >= Self.shortest }
        for secret in known.sorted(by: { ($1.utf8.count, $0) < ($0.utf8.count, $1) }) where text.contains(secret) {
            text = text.replacing(secret, with: "•••")
        }
        return SecretLines(isSettings: isSettings).applied(to: text)
    }
}
