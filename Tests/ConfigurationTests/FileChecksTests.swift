import Configuration
import Glibc
import Settings
import TestSupport
import Testing

/// What `check` says of the files that settings name.
@Suite struct FileChecksTests {
    private let directory: TemporaryDirectory
    private let certificates: Certificates

    init() throws {
        directory = try TemporaryDirectory()
        certificates = try Certificates()
    }

    private func check(_ more: String, upstream: String = "url = \"mqtt://localhost\"") throws -> [Diagnostic] {
        let path = try directory.write("[upstream]\n\(upstream)\n\(more)\n", to: "tidegate.toml")
        return SettingsLoader.check(path).diagnostics
    }

    private func password(_ bytes: [UInt8]?, mode: mode_t = 0o600) throws -> [Diagnostic] {
        unlink(directory["secret"])
        if let bytes { try directory.write(bytes, to: "secret", mode: mode) }
        return try check(
            "", upstream: "url = \"mqtt://localhost\"\nusername = \"u\"\npassword_file = \"secret\"")
    }

    @Test(arguments: [
        ("", "it is empty"), ("\n", "it is empty"), ("\r\n", "it is empty"), ("a\nb", "more than one line"),
        ("a\nb\n", "more than one line"), ("a\n\n", "more than one line"), ("\na", "more than one line"),
        ("a\rb", "more than one line"), ("a\0b", "NUL"), (String(repeating: "a", count: 5_000), "larger than 4096"),
    ])
    func aPasswordFileIsOneLine(text: String, reason: String) throws {
        let found = try password(Array(text.utf8))
        #expect(found.count == 1 && found[0].severity == .error, "\(found)")
        #expect("\(found)".contains(reason) && "\(found)".contains("try: write just the secret into"), "\(found)")
        #expect(found.first?.position?.line == 4)
    }

    @Test func otherPasswordFiles() throws {
        for text in ["secret", "secret\n", "secret\r\n", " "] {
            let found = try password(Array(text.utf8))
            #expect(found == [], "\(text)")
        }
        let open = try password(Array("secret".utf8), mode: 0o640)
        #expect(open.first?.severity == .error && "\(open)".contains("chmod 600"), "\(open)")
        // It may come later.
        let missing = try password(nil)
        #expect(missing.first?.severity == .warning && "\(missing)".contains("mode 0600"), "\(missing)")
    }

    @Test(arguments: [
        ("mqtt://broker.example.com", true), ("mqtt://192.168.1.7", true), ("mqtt://localhost", false),
        ("mqtt://127.0.0.2:1884", false), ("mqtt://[::1]", false), ("mqtts://broker.example.com", false),
        ("mqtt://127.example.com", true),
    ])
    func aPasswordInPlainText(url: String, isTold: Bool) throws {
        try directory.write("secret", to: "secret", mode: 0o600)
        let found = try check("", upstream: "url = \"\(url)\"\nusername = \"u\"\npassword_file = \"secret\"")
        #expect(found.contains { $0.severity == .warning && "\($0)".contains("plain text") } == isTold, "\(found)")
        // Without a password there is nothing to be read.
        #expect(try check("", upstream: "url = \"\(url)\"") == [])
    }

    private func listener(_ certificate: String, _ key: String, _ authority: String? = nil) throws -> [Diagnostic] {
        let more = authority.map { "\nclient_ca_file = \"\($0)\"" } ?? ""
        return try check(
            "[[listener]]\nlisten = \"127.0.0.1:8883\"\ncert_file = \"\(certificate)\"\nkey_file = \"\(key)\"\(more)")
    }

    @Test func theFilesOfAListener() throws {
        for name in ["one", "other"] { try certificates.issue(name, "subjectAltName=DNS:localhost") }
        let (certificate, key) = (certificates.certificate("one"), certificates.key("one"))
        chmod(key, 0o600)
        #expect(try listener(certificate, key) == [])
        #expect(try listener(certificate, key, certificates.authority) == [])
        // They may come later.
        for found in [
            try listener(directory["none.pem"], key), try listener(certificate, directory["none.pem"]),
            try listener(certificate, key, directory["none.pem"]),
        ] {
            #expect(found.map(\.severity) == [.warning] && "\(found)".contains("none.pem"), "\(found)")
        }
        // These will not mend themselves.
        let rubbish = try directory.write("rubbish", to: "rubbish.pem", mode: 0o600)
        for found in [
            try listener(rubbish, key), try listener(certificate, rubbish), try listener(certificate, key, rubbish),
            try listener(certificate, directory.path),
        ] {
            #expect(found.contains { $0.severity == .error || "\($0)".contains("(EISDIR)") }, "\(found)")
            #expect(found.allSatisfy { $0.position != nil }, "\(found)")
        }
        let crossed = try listener(certificate, certificates.key("other"))
        #expect(crossed.contains { $0.severity == .error }, "\(crossed)")
        chmod(key, 0o644)
        let open = try listener(certificate, key)
        #expect(open.map(\.severity) == [.warning] && "\(open)".contains("chmod o= \(key)"), "\(open)")
        chmod(key, 0o640)
        #expect(try listener(certificate, key) == [])
    }

    @Test func theFilesOfTheUpstream() throws {
        for name in ["one", "other"] {
            try certificates.issue(name, "subjectAltName=DNS:localhost")
            chmod(certificates.key(name), 0o600)
        }
        func found(_ certificate: String, _ key: String, _ authority: String) throws -> [Diagnostic] {
            try check(
                "",
                upstream:
                    "url = \"mqtts://h\"\nca_file = \"\(authority)\"\ncert_file = \"\(certificate)\"\nkey_file = \"\(key)\""
            )
        }
        let (certificate, key) = (certificates.certificate("one"), certificates.key("one"))
        let rubbish = try directory.write("rubbish", to: "rubbish.pem", mode: 0o600)
        #expect(try found(certificate, key, certificates.authority) == [])
        for list in [
            try found(certificate, certificates.key("other"), certificates.authority),
            try found(certificate, rubbish, certificates.authority), try found(rubbish, key, certificates.authority),
            try found(certificate, key, rubbish),
        ] {
            #expect(list.map(\.severity) == [.error], "\(list)")
        }
        let missing = try found(certificate, key, directory["none.pem"])
        #expect(missing.map(\.severity) == [.warning], "\(missing)")
    }

    @Test func theSocketOfAListener() throws {
        func found(_ path: String) throws -> [Diagnostic] { try check("[[listener]]\nlisten = \"unix:\(path)\"") }
        #expect(try found(directory["socket"]) == [])
        let missing = try found(directory["none/socket"])
        #expect(missing.map(\.severity) == [.warning] && "\(missing)".contains("make the folder"), "\(missing)")
        let file = try directory.write("x", to: "file")
        for path in [file, "\(file)/socket", directory.path] {
            #expect(try found(path).contains { $0.severity == .error } || path == "\(file)/socket", "\(path)")
        }
    }
}
