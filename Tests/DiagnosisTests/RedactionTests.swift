import Testing

@testable import Diagnosis

/// What a support bundle does not tell.
@Suite struct RedactionTests {
    private func settings(_ text: String) -> String {
        String(decoding: Redaction().applied(to: text, isSettings: true), as: UTF8.self)
    }

    private func other(_ text: String) -> String { String(decoding: Redaction().applied(to: text), as: UTF8.self) }

    @Test(arguments: [
        ("password = \"hunter2\"", "password = \"•••"), ("  password=hunter2 and more", "  password=•••"),
        ("password hunter2", "password •••"), ("\"pass.word\" = 'hunter2'", "\"pass.word\" = '•••"),
        ("# api_key = \"hunter2\" # old", "# api_key = \"•••"),
        ("x = { token = \"hunter2\", y = 1 }", "x = { token = \"•••"),
        ("url = \"mqtt://u:p@h\"", "url = \"mqtt://•••@h\""), ("url = mqtt://u:hunter 2/@h", "url = mqtt://•••@h"),
        ("url = [\"mqtt://a:b@c\", \"mqtts://d:e@f:1\"]", "url = [\"mqtt://•••@c\", \"mqtts://•••@f:1\"]"),
        ("username = \"site-12\"", "username = \"•••"),
        ("password_file = \"upstream.password\"", "password_file = \"upstream.password\""),
        ("key_file = \"k.pem\"\ndecode = \"key-value\"\nkeep_alive = \"30s\"", nil), ("url = \"mqtt://h:1883\"", nil),
        ("", nil),
        ("secret = \"\"\"a\nhunter2\n\"\"\"\nid = 1", "secret = \"\"\"•••\n•••\n•••\nid = 1"),
        ("tokens = [\n  \"a\",\n]\nid = 1", "tokens = •••\n•••\n•••\nid = 1"),
        ("secret = '''\nhunter2", "secret = '''•••\n•••"),
    ])
    func settingsLoseTheirSecrets(text: String, redacted: String?) { #expect(settings(text) == redacted ?? text) }

    @Test(arguments: [
        ("SetCredential=mqtt.password:hunter2", "SetCredential=•••"),
        ("SetCredentialEncrypted=a: \\\n  abc \\\n  def\nUser=x", "SetCredentialEncrypted=•••\n•••\n•••\nUser=•••"),
        ("Environment=MQTT_PASSWORD=hunter2 A=b", "Environment=MQTT_PASSWORD=••• A=b"),
        (" \"username\" : \"site-12\",", " \"username\" : \"•••\","),
        ("the broker refused: bad user name or password\ntry: look", nil),
        ("2026 upstream: url=mqtt://u:p@h:1 [Upstream] it is", "2026 upstream: url=mqtt://•••@h:1 [Upstream] it is"),
    ])
    func soDoesAllElse(text: String, redacted: String?) { #expect(other(text) == redacted ?? text) }

    @Test func aKnownSecretGoesWhereverItStands() {
        let text = Redaction(secrets: ["hunter2", "hunter2000"]).applied(to: "a hunter2000 and hunter2")
        #expect(String(decoding: text, as: UTF8.self) == "a ••• and •••")
    }
}
