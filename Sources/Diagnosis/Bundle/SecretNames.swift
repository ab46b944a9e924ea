/// Which names stand before a secret.
enum SecretNames {
    /// In any place of a name: `upstreamPassword`, `passphrase`, `clientSecret`, `access_tokens`.
    private static let parts = ["pass", "secret", "token", "credential", "bearer", "psk", "apikey", "privatekey"]
    /// As a word of a name: `wifi_pw`, `sas-url`, `auth.header`.
    private static let words: Set<Substring> = ["pwd", "pw", "sas", "auth", "authorization", "sig", "signature", "jwt"]
    /// At the end of a name: `username`, `api_key`, `SharedAccessKey`, `keys`.
    private static let endings = ["username", "user", "key", "keys"]

    /// Names of authentication schemes: the secret is the next word (RFC 9110, §11; Azure's SharedAccessSignature).
    private static let schemes: Set<String> = ["bearer", "basic", "digest", "negotiate", "sharedaccesssignature"]

    /// Whether a key of that name holds something secret; the names of files are none.
    static func holds(_ name: ArraySlice<UInt8>) -> Bool {
        let text = String(decoding: name, as: UTF8.self)
        let lower = text.lowercased()
        guard !lower.hasSuffix("_file") else { return false }
        return parts.contains(where: lower.contains) || endings.contains(where: lower.hasSuffix)
            || lower.split(whereSeparator: { "_-.".contains($0) }).contains(where: words.contains)
            || camelWords(text).contains(where: { words.contains($0[...]) })
    }

    /// Whether everything in a table of that name is secret; `[user]` may be anything.
    static func holdTable(_ name: ArraySlice<UInt8>) -> Bool {
        let lower = String(decoding: name, as: UTF8.self).lowercased()
        return parts.contains(where: lower.contains)
            || lower.split(whereSeparator: { "_-.".contains($0) }).contains(where: words.contains)
    }

    static func isScheme(_ word: ArraySlice<UInt8>) -> Bool {
        schemes.contains(String(decoding: word, as: UTF8.self).lowercased())
    }

    /// "dbPwd" has the words "db" and "pwd".
    private static func camelWords(_ name: String) -> [String] {
        name.reduce(into: [""]) { words, character in
            if character.isUppercase { words.append("") }
            words[words.count - 1] += character.lowercased()
        }
    }
}
