import Configuration
import TestSupport
import Testing

@testable import Diagnosis

/// Random secrets in random places of settings, and what messages and logs repeat of them.
@Suite struct SecretPropertyTests {
    private static let names = [
        "password", "passwd", "pwd", "db_pwd", "dbPwd", "pw", "wifi_pw", "passphrase", "credential", "credentials",
        "auth",
        "auth_header", "sas", "sas_url", "bearer", "token", "access_token", "secret", "clientSecret", "api_key",
        "SharedAccessKey", "private_key", "psk", "jwt",
    ]

    /// `N` is the name, `S` the secret, as TOML or as somebody gets it wrong.
    private static let settings = [
        "N = \"S\"", "N = 'S'", "N = S", "N=S", "  N = \"S\" # old", "# N = \"S\"", "#N: S", "N \"S\"", "N = \"S",
        "N = \"\"\"\nS\n\"\"\"", "N = '''S'''", "N = [\n  \"a\",\n  \"S\",\n]", "x = { a = 1, N = \"S\" }",
        "a.N = \"S\"", "\"N\" = \"S\"", "'N' = 'S'", "[upstream]\nN = \"S\"", "[upstream]\nurl = \"mqtt://u:S@h\"",
        "[upstream]\nurl = [\"mqtts://h\", \"mqtts://S@h:1\"]", "x = \"https://h/?N=S&a=1\"",
        "x = \"HostName=h;DeviceId=d;SharedAccessKey=S\"", "x = \"SharedAccessSignature sr=h&sig=S&se=1\"",
        "[secrets]\nvalue = \"S\"", "[my_credentials]\na = [\n\"S\" ]", "[[sensor]]\nid = \"a\"\nN = \"S\"",
        "key = \"\"\"\n-----BEGIN EC PRIVATE KEY-----\nS\n-----END EC PRIVATE KEY-----\n\"\"\"",
        "# -----BEGIN PRIVATE KEY-----\n# S\n# -----END PRIVATE KEY-----",
    ]

    /// Of logs, units and statuses.
    private static let others = [
        "N=S", "N = S", "N: S", "\"N\" : \"S\",", "{\"N\":\"S\"}", "Environment=N=S", "--N S", "--N=S",
        "2026-11-24T10:00:00 gateway: it failed error=\"N=S x\"", "error=\"cannot: \\\"N\\\": \\\"S\\\" given\"",
        "Authorization: Bearer S", "authorization=\"Bearer S\"", "header Bearer S", "mqtt://u:S@h:1883",
        "https://h/?a=1&N=S&b=2", "HostName=h;SharedAccessKey=S;x=y", "SharedAccessSignature sr=h&sig=S&se=1",
        "SetCredential=x:S", "\"N\": [\"a\", \"S\"]", "-----BEGIN PRIVATE KEY-----\nS\n-----END PRIVATE KEY-----",
    ]

    private static func secret(_ random: inout SplitMix64) -> String {
        // Base64 and what people use besides; nothing that would end a value in TOML.
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_.!$%")
        let length = Int.random(in: 10...44, using: &random)
        let body = (0..<length).map { _ in letters.randomElement(using: &random) ?? "x" }
        return String(body) + (Bool.random(using: &random) ? "==" : "")
    }

    /// A form with marks that no word of it holds.
    private static func form(_ forms: [String], _ random: inout SplitMix64, _ secret: String) -> String {
        let form = forms.randomElement(using: &random) ?? ""
        let name = names.randomElement(using: &random) ?? "password"
        var result = ""
        var last: Character = " "
        let characters = Array(form)
        for (index, character) in characters.enumerated() {
            let next = index + 1 < characters.count ? characters[index + 1] : " "
            let stands = !last.isLetter && !next.isLetter
            result += character == "N" && stands ? name : character == "S" && stands ? secret : String(character)
            last = character
        }
        return result
    }

    @Test(arguments: [UInt64](1...40)) func noSecretIsLeft(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<50 {
            let secret = Self.secret(&random)
            let place = Self.form(Self.settings, &random, secret)
            let settings = "[gateway]\nid = \"gw\"\n\(place)\n[upstream]\nurl = \"mqtt://h\"\n"
            var redaction = Redaction()
            redaction.learn(from: settings)
            let redacted = String(decoding: redaction.applied(to: settings, isSettings: true), as: UTF8.self)
            #expect(!redacted.contains(secret), "seed \(seed): \(place)\n\(redacted)")
            // What doctor says of it.
            let told = SettingsLoader.load(text: settings, name: "f").diagnostics.map { "\($0)" }.joined(
                separator: "\n")
            let report = String(decoding: redaction.applied(to: ValueRedaction.text(told)), as: UTF8.self)
            #expect(!report.contains(secret), "seed \(seed): \(place)\n\(report)")
        }
    }

    @Test(arguments: [UInt64](1...40)) func norInOtherTexts(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<50 {
            let secret = Self.secret(&random)
            let text = "before\n\(Self.form(Self.others, &random, secret))\nafter"
            let redacted = String(decoding: Redaction().applied(to: text), as: UTF8.self)
            #expect(!redacted.contains(secret), "seed \(seed): \(text)\n\(redacted)")
            #expect(redacted.hasPrefix("before\n") && redacted.hasSuffix("\nafter"), "seed \(seed): \(redacted)")
        }
    }

    /// A bundle that has lost everything helps nobody.
    @Test func whatIsNoSecretStays() {
        let settings = SampleSettings.text
        var redaction = Redaction()
        redaction.learn(from: settings)
        let redacted = String(decoding: redaction.applied(to: settings, isSettings: true), as: UTF8.self)
        let kept = zip(settings.split(separator: "\n"), redacted.split(separator: "\n")).count { $0 == $1 }
        #expect(kept * 100 > settings.split(separator: "\n").count * 85, "\(redacted)")
    }
}
