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
}
