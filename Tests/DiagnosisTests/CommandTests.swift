import Glibc
import Testing

@testable import Diagnosis

@Suite struct CommandTests {
    /// A program that inherits them cannot be stopped, or cannot be told that its pipe is gone.
    @Test func programsGetEverySignalAsByDefault() throws {
        signal(SIGPIPE, SIG_IGN)
        let said = try #require(Command.run(["cat", "/proc/self/status"]))
        let text = String(decoding: said.output, as: UTF8.self)
        #expect(said.succeeded)
        // Signals 32 and 33 are the C library's own (nptl(7)).
        let ignored = text.firstRange(of: "SigIgn:\t").map { text[$0.upperBound...].prefix(16) }
        #expect(ignored.flatMap { UInt64($0, radix: 16) }.map { $0 & ~(3 << 31) } == 0, "\(text)")
        #expect(text.contains("SigBlk:\t0000000000000000\n"), "\(text)")
    }
}
