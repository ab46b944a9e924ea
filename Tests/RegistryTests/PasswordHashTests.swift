import Registry
import TestSupport
import Testing

@Suite struct PasswordHashTests {
    /// What the real program writes for one user.
    static func hash(_ password: String, _ arguments: [String] = []) throws -> PasswordHash {
        let folder = try TemporaryDirectory()
        let path = try folder.write("", to: "passwords")
        let code = try ChildProcess.run(
            ["mosquitto_passwd"] + arguments + ["-b", path, "anna", password], output: folder["output"])
        guard code == 0, let line = folder.lines("passwords").first else {
            throw ChildProcess.SpawnFailure(description: "mosquitto_passwd: \(textOfFile(folder["output"]))")
        }
        return try PasswordHash(parsing: String(line.dropFirst("anna:".count)))
    }

    private static let passwords = ["x", "correct horse", "grüße 🌊", String(repeating: "p", count: 300), "$7$:#"]

    @Test(.enabled(if: isInstalled("mosquitto_passwd")), arguments: passwords)
    func hashesOfMosquittoAreVerified(password: String) throws {
        for arguments in [[], ["-H", "sha512"], ["-H", "sha512-pbkdf2"]] {
            let hash = try Self.hash(password, arguments)
            #expect(hash.text.hasPrefix(arguments.last == "sha512" ? "$6$" : "$7$"))
            #expect(hash.verify(Array(password.utf8)))
            #expect(!hash.verify(Array((password + " ").utf8)))
            #expect(!hash.verify(Array(password.utf8.dropLast())))
            #expect(!hash.verify([]))
            #expect(!hash.verify([0]))
        }
    }

    /// Fixed output of mosquitto_passwd 2.0.11, so that the formats are pinned where the program is missing.
    @Test func knownHashesAreVerified() throws {
        let pbkdf2 = try PasswordHash(
            parsing:
                "$7$101$f+dmhBzwSvbHH/le$qUerJZ/GHGpxH/XwkI/D2Vrz4ZDV8LgiOFYkcLD56wpuL1EwP8P00x9iJvwCLbHvx0h+x6utH5"
                + "LBUWL7nKrsHA==")
        #expect(pbkdf2.verify(Array("correct horse".utf8)) && !pbkdf2.verify(Array("correct".utf8)))
        let empty = try PasswordHash(
            parsing:
                "$7$101$v3QX44j7WMzUMr7X$pcU8tNlXxGLQySIpMwn6VqU8kb5LxvQ1R4eP3IsrU6q1hYD5REMcHpFEwhHusKNYH/rR993Ivn"
                + "JXc4IpwfbDsQ==")
        #expect(empty.verify([]) && !empty.verify([0]))
        let sha512 = try PasswordHash(
            parsing:
                "$6$HTaXCbUCL5WzQgAi$Jv9fPM+cWOXlx7FcL8SvRCHPGgJayT2z4Xmrpp1p/ERnf5Z+3x99e4woQj5RAAWnon0SRz8HA1GtqP"
                + "1/iIkbuQ==")
        #expect(sha512.verify(Array("grüße 🌊".utf8)) && !sha512.verify(Array("grüsse 🌊".utf8)))
    }

    @Test func yescryptComesBack() throws {
        let password = Array("correct horse".utf8)
        for cost in [1, PasswordHash.defaultCost] {
            let made = try PasswordHash.make(password, cost: cost)
            let read = try PasswordHash(parsing: made.text)
            #expect(read == made && made.text.hasPrefix("$y$"))
            #expect(read.verify(password))
            #expect(!read.verify(password + [0x20]) && !read.verify([]) && !read.verify(password + [0]))
            #expect(try PasswordHash.make(password, cost: cost) != made, "the salt is random")
        }
        let longest = [UInt8](repeating: 0x70, count: PasswordHash.maximumPasswordBytes)
        #expect(try PasswordHash.make(longest, cost: 1).verify(longest))
        #expect(try !PasswordHash.make(longest, cost: 1).verify(longest + longest))
    }

    @Test func badPasswordsAreRefused() {
        #expect(throws: PasswordError.empty) { try PasswordHash.make([]) }
        #expect(throws: PasswordError.containsNUL) { try PasswordHash.make([1, 0]) }
        #expect(throws: PasswordError.tooLong) {
            try PasswordHash.make([UInt8](repeating: 1, count: PasswordHash.maximumPasswordBytes + 1))
        }
    }

    private static let digest = String(repeating: "A", count: 86) + "=="
    private static let tail = String(repeating: "a", count: 43)

    @Test(
        arguments: [
            ("", .notAHash), ("plain", .notAHash), ("$", .unknownFormat), ("$2b$10$abc", .unknownFormat),
            ("$argon2id$v=19", .unknownFormat), ("$7$", .malformed), ("$7$101$AAAA$AAAA", .malformed),
            ("$7$0$AAAA$\(digest)", .malformed), ("$7$-1$AAAA$\(digest)", .malformed),
            ("$7$+1$AAAA$\(digest)", .malformed), ("$7$$AAAA$\(digest)", .malformed),
            ("$7$101$$\(digest)", .malformed), ("$7$101$AAAA$\(digest)x", .malformed),
            ("$7$101$AA=A$\(digest)", .malformed), ("$7$101$AB==$\(digest)", .malformed),
            ("$7$101$====$\(digest)", .malformed), ("$7$1000001$AAAA$\(digest)", .tooCostly),
            ("$7$99999999999999999999$AAAA$\(digest)", .tooCostly), ("$6$AAAA$\(digest)$x", .malformed),
            ("$6$saltsalt$\(String(repeating: "a", count: 86))", .malformed), ("$y$j9T$salt", .malformed),
            ("$y$j9T$$\(tail)", .malformed), ("$y$j9T$salt$\(tail)a", .malformed), ("$y$k9T$salt$\(tail)", .malformed),
            ("$y$jCT$salt$\(tail)", .tooCostly), ("$y$jzz$salt$\(tail)", .tooCostly),
            ("$y$j9T.$salt$\(tail)", .malformed), ("$7$\(String(repeating: "1", count: 400))", .tooLong),
        ] as [(String, PasswordHashError)])
    func badHashesAreRefused(text: String, error: PasswordHashError) {
        #expect(throws: error) { try PasswordHash(parsing: text) }
    }

    @Test func aHashIsNotPrinted() throws {
        let hash = try PasswordHash.make(Array("secret".utf8), cost: 1)
        var dumped = ""
        dump(hash, to: &dumped)
        for text in ["\(hash)", String(reflecting: hash), dumped, "\([hash])"] { #expect(!text.contains("$y$")) }
    }
}
