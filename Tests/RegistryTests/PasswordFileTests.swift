import Registry
import TestSupport
import Testing

@Suite struct PasswordFileTests {
    private static let hash = "$7$1$AAAA$" + String(repeating: "A", count: 86) + "=="

    private func mistakes(_ text: String) -> [String] {
        do throws(PasswordFileError) {
            _ = try PasswordFile(parsing: Array(text.utf8))
            return []
        } catch {
            return error.mistakes.map(\.description)
        }
    }

    @Test(.enabled(if: isInstalled("mosquitto_passwd"))) func aFileOfTheRealProgramIsRead() throws {
        let folder = try TemporaryDirectory()
        let path = try folder.write("", to: "passwords")
        for (user, kind) in [("anna", "sha512"), ("tom x", "sha512-pbkdf2"), ("jürgen", "sha512-pbkdf2")] {
            let arguments = ["mosquitto_passwd", "-H", kind, "-b", path, user, "of \(user)"]
            #expect(try ChildProcess.run(arguments, output: folder["output"]) == 0)
        }
        let file = try PasswordFile(parsing: folder.bytes(of: "passwords") ?? [])
        #expect(file.entries.map(\.user.text) == ["anna", "tom x", "jürgen"])
        for (user, hash) in file.entries { #expect(hash.verify(Array("of \(user)".utf8))) }
    }

    @Test func commentsBlankLinesAndLineEndingsAreTaken() throws {
        let text = "# a:b\n\n  \t\na:\(Self.hash)\r\n\r\n#\nb:\(Self.hash)"
        #expect(try PasswordFile(parsing: Array(text.utf8)).entries.map(\.user.text) == ["a", "b"])
        #expect(try PasswordFile(parsing: []).entries.isEmpty)
        // Windows' editor puts a byte order mark first.
        #expect(try PasswordFile(parsing: Array("\u{FEFF}a:\(Self.hash)".utf8)).entries.map(\.user.text) == ["a"])
    }

    @Test func everyMistakeHasItsLine() {
        let text = "a:\(Self.hash)\nnocolon\n:\(Self.hash)\nb:secret\na:\(Self.hash)\n\u{7}:\(Self.hash)\nc:"
        #expect(
            mistakes(text) == [
                "line 2: there is no colon between user and hash",
                "line 3: a user name is 1 to 256 bytes, without `:` and control characters",
                "line 4: the hash cannot be used: it is not a hash; `mosquitto_passwd -U FILE` hashes the plain "
                    + "passwords of a file",
                "line 5: line 1 is for the same user",
                "line 6: a user name is 1 to 256 bytes, without `:` and control characters",
                "line 7: the hash cannot be used: it is not a hash; `mosquitto_passwd -U FILE` hashes the plain "
                    + "passwords of a file",
            ])
        #expect(mistakes(String(repeating: "x\n", count: 100)).count == PasswordFileError.maximumMistakes)
    }

    @Test func aLargeFileIsRefusedAndBadBytesAreSaid() {
        #expect(mistakes(String(repeating: "#", count: PasswordFile.maximumBytes)).isEmpty)
        #expect(
            mistakes(String(repeating: "#", count: PasswordFile.maximumBytes + 1))
                == ["the file is larger than 1024 KiB"])
        #expect(throws: PasswordFileError.self) { try PasswordFile(parsing: [0xFF, 0x3A] + Array(Self.hash.utf8)) }
    }

    @Test func anErrorRepeatsNothing() {
        #expect(!mistakes("hunter2\nuser:hunter2\n").joined().contains("hunter2"))
    }

    /// Whatever stands in a file, reading it ends with entries or mistakes.
    @Test(arguments: [UInt64](1...20)) func anyBytesAreRead(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let alphabet = Array("ab:$7y=\n\r#A ".utf8) + [0, 0xC3, 0xFF]
        for _ in 0..<200 {
            let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }
            _ = try? PasswordFile(parsing: bytes)
        }
    }
}
