import Glibc
import Sensors
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct DescriptorPollerTests {
    static func pipeEnds() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        return (ends[0], ends[1])
    }

    @Test func tellsReadinessHangUpAndTime() async throws {
        let poller = try DescriptorPoller()
        defer { poller.stop() }
        let ends = try Self.pipeEnds()
        defer { close(ends.read) }
        #expect(await poller.readable(ends.read, within: .milliseconds(5)) == .timedOut)
        async let outcome = poller.readable(ends.read)
        var byte: UInt8 = 1
        #expect(write(ends.write, &byte, 1) == 1)
        #expect(await outcome == .ready)
        #expect(read(ends.read, &byte, 1) == 1)
        close(ends.write)
        #expect(await poller.readable(ends.read, within: .seconds(10)) == .ready)
    }

    @Test func theFirstOfSeveralEndsTheWaitAndTimersNeedNone() async throws {
        let poller = try DescriptorPoller()
        defer { poller.stop() }
        let first = try Self.pipeEnds()
        let second = try Self.pipeEnds()
        defer { for end in [first.read, first.write, second.read, second.write] { close(end) } }
        async let outcome = poller.firstReadable(of: [first.read, second.read], within: .seconds(30))
        var byte: UInt8 = 1
        #expect(write(second.write, &byte, 1) == 1)
        #expect(await outcome == .ready(second.read))
        // Timers that are due later do not keep earlier ones waiting.
        async let late = poller.firstReadable(of: [], within: .milliseconds(300))
        #expect(await poller.firstReadable(of: [], within: .milliseconds(5)) == .timedOut)
        #expect(await poller.firstReadable(of: [first.read], within: .zero) == .timedOut)
        #expect(await late == .timedOut)
    }

    @Test func cancellingEndsTheWait() async throws {
        let poller = try DescriptorPoller()
        defer { poller.stop() }
        let ends = try Self.pipeEnds()
        defer {
            close(ends.read)
            close(ends.write)
        }
        let task = Task { await poller.readable(ends.read) }
        task.cancel()
        #expect(await task.value == .cancelled)
        // The descriptor can be waited for again.
        #expect(await poller.readable(ends.read, within: .milliseconds(5)) == .timedOut)
    }

    @Test func stoppingEndsEveryWait() async throws {
        let poller = try DescriptorPoller()
        let ends = try Self.pipeEnds()
        defer {
            close(ends.read)
            close(ends.write)
        }
        async let outcome = poller.readable(ends.read)
        poller.stop()
        #expect(await outcome == .cancelled)
        #expect(await poller.readable(ends.read) == .cancelled)
    }

    /// A wait that was cancelled must not keep the file open behind the caller's back: a line or a port that is closed
    /// afterwards can be had again at once.
    @Test func aCancelledWaitLetsGoOfTheFile() async throws {
        let poller = try DescriptorPoller()
        defer { poller.stop() }
        let path = try TemporaryDirectory()
        try #require(mkfifo(path["fifo"], 0o600) == 0)
        for round in 1...100 {
            let first = open(path["fifo"], O_RDWR | O_CLOEXEC)
            // A child that another test is just starting has the file too until it runs its own program.
            try #require(
                await eventually(within: .seconds(5)) { flock(first, LOCK_EX | LOCK_NB) == 0 },
                "round \(round): still held")
            let task = Task { await poller.readable(first) }
            // Half of the rounds are cancelled while the poller's thread waits, the others on the way there.
            if round % 2 == 0 { try await Task.sleep(for: .milliseconds(2)) }
            task.cancel()
            #expect(await task.value == .cancelled)
            close(first)
        }
    }
}
