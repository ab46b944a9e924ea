import Glibc
import Linux
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct PosixThreadTests {
    /// What the kernel says of the calling thread.
    static func own(_ file: String) -> String {
        (try? SmallFile.read("/proc/thread-self/\(file)", limit: 1 << 16)).map {
            String(decoding: $0, as: UTF8.self)
        } ?? ""
    }

    /// The calling thread's mask; 0 where it cannot be told.
    static func blockedSignals() -> UInt64 {
        let line = own("status").split(separator: "\n").first { $0.hasPrefix("SigBlk:") }
        return line.flatMap { UInt64($0.dropFirst(7).drop { $0.isWhitespace }, radix: 16) } ?? 0
    }

    @Test func threadHasItsNameAndEndsBeforeJoinReturns() throws {
        let name = Mutex("")
        let thread = try PosixThread.start("a-name-that-is-longer", stackBytes: 64 << 10) {
            usleep(20_000)
            name.withLock { $0 = Self.own("comm") }
        }
        #expect(!thread.isCurrent)
        thread.join()
        #expect(name.withLock { $0 } == "a-name-that-is-\n")
    }

    @Test func processSignalsAreBlockedFromTheStart() throws {
        let before = Self.blockedSignals()
        let masks = Mutex<[UInt64]>([])
        for _ in 0..<8 {
            try PosixThread.start("signals", stackBytes: 64 << 10) {
                masks.withLock { $0.append(Self.blockedSignals()) }
            }.join()
        }
        let seen = masks.withLock { $0 }
        try #require(seen.count == 8)
        for mask in seen {
            for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { #expect(mask & 1 << UInt64(signal - 1) != 0) }
            #expect(mask & 1 << UInt64(SIGSEGV - 1) == 0)
        }
        #expect(Self.blockedSignals() == before)
    }

    @Test func detachedThreadRuns() async throws {
        let flag = Flag()
        try PosixThread.startDetached("detached", stackBytes: 64 << 10) { flag.raise() }
        #expect(await eventually { flag.isRaised })
    }

    final class Flag: Sendable {
        private let value = Atomic(false)
        var isRaised: Bool { value.load(ordering: .acquiring) }
        func raise() { value.store(true, ordering: .releasing) }
    }

    @Test func aThreadThatCannotStartSaysWhatToDo() throws {
        // More stack than there are addresses.
        let error = #expect(throws: SystemCallError.self) {
            try PosixThread.startDetached("huge", stackBytes: 1 << 46) {}
        }
        #expect(error?.description.hasPrefix("cannot start the thread huge: ") == true)
        #expect(error?.remedy?.contains("TasksMax=") == true)
    }
}

@Suite struct WakeDescriptorTests {
    static func isReadable(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) == 1
    }

    @Test func wakeDescriptorIsReadableUntilCleared() throws {
        let alarm = try WakeDescriptor("test")
        #expect(!Self.isReadable(alarm.descriptor))
        for _ in 0..<3 { alarm.wake() }
        #expect(Self.isReadable(alarm.descriptor))
        alarm.clear()
        #expect(!Self.isReadable(alarm.descriptor))
        // Clearing what is clear does not block.
        alarm.clear()
        alarm.wake()
        #expect(Self.isReadable(alarm.descriptor))
    }
}
