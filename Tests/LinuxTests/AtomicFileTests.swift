import Glibc
import Linux
import TestSupport
import Testing

@Suite struct AtomicFileTests {
    static func text(_ path: String) throws -> String {
        String(decoding: try SmallFile.read(path, limit: 1 << 20), as: UTF8.self)
    }

    static func mode(_ path: String) -> mode_t {
        var information = stat()
        return lstat(path, &information) == 0 ? information.st_mode : 0
    }

    @Test func aFileIsReplacedWithItsMode() throws {
        let directory = try TemporaryDirectory()
        try AtomicFile.write(Array("one".utf8), to: directory["f"])
        #expect(try Self.text(directory["f"]) == "one" && Self.mode(directory["f"]) & 0o777 == 0o640)
        // The umask, which takes bits from modes, does not count.
        try AtomicFile.write(Array("two".utf8), to: directory["f"], mode: 0o666)
        #expect(try Self.text(directory["f"]) == "two" && Self.mode(directory["f"]) & 0o777 == 0o666)
        #expect(access(directory["f.new"], F_OK) != 0)
    }

    @Test(.enabled(if: geteuid() == 0, "only root gives files away")) func aFileHasItsOwner() throws {
        let directory = try TemporaryDirectory()
        try AtomicFile.write([1], to: directory["f"], mode: 0o600, owner: .init(user: 65_534, group: 65_533))
        var information = stat()
        #expect(stat(directory["f"], &information) == 0)
        #expect(information.st_uid == 65_534 && information.st_gid == 65_533)
        #expect(information.st_mode & 0o777 == 0o600)
    }

    @Test func aDraftThatIsALinkIsNotFollowed() throws {
        let directory = try TemporaryDirectory()
        try AtomicFile.write(Array("other".utf8), to: directory["other"])
        #expect(symlink(directory["other"], directory["f.new"]) == 0)
        try AtomicFile.write(Array("mine".utf8), to: directory["f"])
        #expect(try Self.text(directory["other"]) == "other" && Self.text(directory["f"]) == "mine")
        #expect(Self.mode(directory["f"]) & S_IFMT == S_IFREG)
    }

    @Test func severalFilesAreReadyBeforeTheFirstIsReplaced() throws {
        let directory = try TemporaryDirectory()
        for name in ["a", "b"] { try AtomicFile.write(Array("old".utf8), to: directory[name]) }
        let drafts = try ["a", "b"].map { try AtomicFile.draft(Array("new".utf8), for: directory[$0]) }
        #expect(try Self.text(directory["a"]) == "old" && Self.text(directory["b"]) == "old")
        try drafts[0].commit()
        drafts[1].discard()
        #expect(try Self.text(directory["a"]) == "new" && Self.text(directory["b"]) == "old")
        for name in ["a.new", "b.new"] { #expect(access(directory[name], F_OK) != 0) }
    }

    /// A disk that is full: the file stays, nothing is left over, and the reason is told. In a process of its own, whose
    /// files may not grow: write(2) fails after a part, as on a full disk.
    @Test func aFullDiskLeavesTheFileAlone() async {
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 1 << 20, rlim_max: 1 << 20)
            try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            let directory = try TemporaryDirectory()
            try AtomicFile.write(Array("old".utf8), to: directory["f"])
            let error = #expect(throws: SystemCallError.self) {
                try AtomicFile.write([UInt8](repeating: 7, count: 2 << 20), to: directory["f"])
            }
            #expect(error?.code == EFBIG && error?.doing == "write \(directory["f"]).new")
            #expect(try AtomicFileTests.text(directory["f"]) == "old")
            #expect(access(directory["f.new"], F_OK) != 0)
        }
    }

    @Test func aMissingFolderAndAFolderInThePlaceAreTold() throws {
        let directory = try TemporaryDirectory()
        let missing = #expect(throws: SystemCallError.self) { try AtomicFile.write([1], to: directory["no/f"]) }
        #expect(missing?.code == ENOENT)
        try #require(mkdir(directory["d"], 0o755) == 0)
        let folder = #expect(throws: SystemCallError.self) { try AtomicFile.write([1], to: directory["d"]) }
        #expect(folder?.code == EISDIR && access(directory["d.new"], F_OK) != 0)
    }

    @Test func smallFilesAreReadWholeOrNotAtAll() throws {
        let directory = try TemporaryDirectory()
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0) }
        try AtomicFile.write(bytes, to: directory["f"])
        #expect(try SmallFile.read(directory["f"], limit: 10_000) == bytes)
        #expect(
            #expect(throws: SystemCallError.self) { try SmallFile.read(directory["f"], limit: 9_999) }?.code == EFBIG)
        #expect(#expect(throws: SystemCallError.self) { try SmallFile.read(directory["g"], limit: 1) }?.code == ENOENT)
    }

    @Test func aStampChangesWithTheFile() throws {
        let directory = try TemporaryDirectory()
        #expect(FileStamp(directory["f"]) == nil)
        try AtomicFile.write(Array("one".utf8), to: directory["f"])
        let first = try #require(FileStamp(directory["f"]))
        #expect(FileStamp(directory["f"]) == first)
        // Of the same size: another file.
        try AtomicFile.write(Array("two".utf8), to: directory["f"])
        let second = try #require(FileStamp(directory["f"]))
        #expect(second != first)
        // What could not be read before.
        #expect(chmod(directory["f"], 0o600) == 0)
        #expect(FileStamp(directory["f"]) != second)
    }
}

@Suite struct UnixSocketAddressTests {
    @Test func pathsAndAbstractNamesAreReached() throws {
        let directory = try TemporaryDirectory()
        for path in [directory["s"], "@tidegate-test-\(getpid())"] {
            let address = try UnixSocketAddress(path)
            let server = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            let client = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            defer {
                close(server)
                close(client)
            }
            #expect(address.withSockaddr { bind(server, $0, $1) } == 0)
            #expect(listen(server, 1) == 0)
            #expect(address.withSockaddr { connect(client, $0, $1) } == 0)
        }
        #expect(access(directory["s"], F_OK) == 0)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        _ = try UnixSocketAddress(String(repeating: "x", count: 107))
        for (path, code) in [(String(repeating: "x", count: 108), ENAMETOOLONG), ("", EINVAL), ("a\0b", EINVAL)] {
            #expect(#expect(throws: SystemCallError.self) { try UnixSocketAddress(path) }?.code == code)
        }
    }
}
