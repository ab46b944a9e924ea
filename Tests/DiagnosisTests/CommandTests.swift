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
        #expect(text.contains("SigIgn:\t0000000000000000\n") && text.contains("SigBlk:\t0000000000000000\n"), "\(text)")
    }
}
