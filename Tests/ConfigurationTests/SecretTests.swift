import Configuration
import TestSupport
import Testing
import Upstream

/// Secrets that are none, and secrets that are open.
@Suite struct SecretTests {
    private func problem(_ contents: String) throws -> String? {
        let folder = try TemporaryDirectory()
        try folder.write(Array(contents.utf8), to: "password", mode: 0o600)
        do throws(GatewayError) {
            let secret = try SecretFile.read("password", settingsDirectory: folder.path)
            #expect(secret?.revealed == Array("a b\tc".utf8))
            return nil
        } catch {
            #expect(error.kind == .configuration)
            return "\(error)"
        }
    }

    @Test(arguments: [
        ("", "it is empty"), ("\n", "it is empty"), ("\r\n", "it is empty"), ("a\nb", "it has more than one line"),
        ("a\nb\n", "it has more than one line"), ("a\n\n", "it has more than one line"), ("a\0b", "it has a NUL in it"),
    ])
    func aPasswordFileHoldsOneLine(contents: String, expected: String) throws {
        let text = try #require(try problem(contents))
        #expect(text.contains(expected) && text.contains("as one line: printf %s"), "\(text)")
    }

    @Test(arguments: ["a b\tc", "a b\tc\n", "a b\tc\r\n"]) func aLineEndIsNoPartOfIt(contents: String) throws {
        #expect(try problem(contents) == nil)
    }

    @Test(arguments: [
        ("mqtt://broker.example.com", true), ("mqtt://192.0.2.1", true), ("mqtts://broker.example.com", false),
        ("mqtt://localhost", false), ("mqtt://127.0.0.1", false), ("mqtt://[::1]", false),
        ("mqtt://127.example.com", true),
    ])
    func aPasswordThatGoesOutUnencryptedIsWarnedOf(url: String, isOpen: Bool) throws {
        let text =
            "[gateway]\nid = \"gw\"\ndata_dir = \"/tmp/x\"\n[upstream]\nurl = \"\(url)\"\nusername = \"u\"\npassword_file = \"p\"\n"
        let result = SettingsLoader.load(text: text, name: "f")
        let settings = try #require(result.settings)
        #expect((settings.upstreamWithOpenPassword != nil) == isOpen)
        let warnings = result.diagnostics.map { "\($0)" }
        #expect(warnings.count == (isOpen ? 1 : 0), "\(warnings)")
        if isOpen {
            #expect(
                warnings[0].hasPrefix("f:5:7: warning: url: the password goes to \(url) as plain text"), "\(warnings)")
        }
    }

    @Test func keysThatOthersCanUseAreWarnedOf() throws {
        let folder = try TemporaryDirectory()
        for (name, mode) in [("up.key", 0o644), ("lan.key", 0o602), ("good.key", 0o640)] {
            try folder.write(Array("x".utf8), to: name, mode: .init(mode))
        }
        func settings(_ up: String, _ lan: String) throws -> GatewaySettings {
            let text = """
                [gateway]
                id = "gw"
                data_dir = "/tmp/x"
                [upstream]
                url = "mqtts://localhost"
                cert_file = "\(folder["c"])"
                key_file = "\(folder[up])"
                [[listener]]
                listen = "127.0.0.1:8883"
                cert_file = "\(folder["c"])"
                key_file = "\(folder[lan])"

                """
            let result = SettingsLoader.load(text: text, name: "f")
            return try #require(result.settings, "\(result.diagnostics)")
        }
        #expect(Set(try settings("up.key", "lan.key").openKeyFiles) == [folder["up.key"], folder["lan.key"]])
        #expect(try settings("good.key", "none.key").openKeyFiles == [])
    }
}
