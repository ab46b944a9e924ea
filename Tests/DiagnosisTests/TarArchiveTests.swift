import TestSupport
import Testing

@testable import Diagnosis

@Suite struct TarArchiveTests {
    /// The real tar(1) and gzip(1) read it.
    @Test func theRealProgramsReadIt() throws {
        let directory = try TemporaryDirectory()
        var archive = TarArchive()
        let large = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        archive.add("folder/empty", [], modified: 1_795_500_000)
        archive.add("folder/block", [UInt8](repeating: 7, count: 512), modified: 1_795_500_000)
        archive.add("folder/large", large, modified: 1_795_500_000)
        let path = try directory.write(try #require(archive.packed()), to: "a.tar.gz")
        #expect(try ChildProcess.run(["gzip", "-t", path], output: directory["log"]) == 0)
        #expect(
            try ChildProcess.run(["tar", "-xzf", path, "-C", directory.path], output: directory["log"]) == 0,
            "\(textOfFile(directory["log"]))")
        #expect(textOfFile(directory["log"]) == "")
        #expect(directory.bytes(of: "folder/empty") == [])
        #expect(directory.bytes(of: "folder/block") == [UInt8](repeating: 7, count: 512))
        #expect(directory.bytes(of: "folder/large") == large)
        #expect(try ChildProcess.run(["tar", "-tvzf", path], output: directory["list"]) == 0)
        #expect(textOfFile(directory["list"]).contains("-rw------- root/root    100000 2026-11-2"))
    }
}
