import Linux
import Logging
import Synchronization
import Testing

@Suite struct ThrottleTests {
    @Test func doublingThrottleTellsEveryPowerOfTwo() {
        var throttle = DoublingThrottle()
        #expect((1...1_000).compactMap { _ in throttle.note() } == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
        #expect(throttle.count == 1_000)
    }

    @Test func aKeyIsToldOnceAWindowWithWhatWasNotTold() {
        var throttle = KeyedThrottle<String>(window: .seconds(10), capacity: 8)
        let second: Int64 = 1_000_000_000
        #expect(throttle.note("a", now: 0) == .init(suppressed: 0, unlisted: 0))
        #expect(throttle.note("a", now: 1) == nil)
        #expect(throttle.note("b", now: 2) == .init(suppressed: 0, unlisted: 0))
        #expect(throttle.note("a", now: 10 * second - 1) == nil)
        #expect(throttle.note("a", now: 10 * second) == .init(suppressed: 2, unlisted: 0))
        #expect(throttle.note("a", now: 10 * second + 1) == nil)
    }

    /// However many keys a peer invents, the lines of a window are bounded, and none is forgotten in the count.
    @Test func inventedKeysCannotFloodAndAreCounted() {
        var throttle = KeyedThrottle<Int>(window: .seconds(10), capacity: 4)
        var lines = 0
        var counted: UInt64 = 0
        let occurrences = 200_000
        for number in 0..<occurrences {
            // Over 100 s.
            if let told = throttle.note(number % 1_000, now: Int64(number) * 500_000) {
                lines += 1
                counted += 1 + told.suppressed + told.unlisted
            }
        }
        #expect((4...44).contains(lines))
        #expect(counted <= UInt64(occurrences))
        // What is told last says how many were not: nothing is lost in between.
        let last = throttle.note(-1, now: 1_000_000_000_000)
        #expect(last != nil)
        counted += 1 + (last.map { $0.suppressed + $0.unlisted } ?? 0)
        #expect(counted == UInt64(occurrences) + 1)
    }

    @Test func anEndlessClockDoesNotTrap() {
        var throttle = KeyedThrottle<Int>(window: .seconds(Int64.max), capacity: 1)
        #expect(throttle.note(1, now: Int64.max) != nil)
        #expect(throttle.note(1, now: Int64.max) == nil)
        #expect(throttle.note(2, now: Int64.max) == nil)
    }

    final class Lines: LogHandler, @unchecked Sendable {
        let list = Mutex<[String]>([])
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { nil }
            set {}
        }

        func log(event: LogEvent) {
            let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            list.withLock { $0.append(([event.message.description] + metadata).joined(separator: " ")) }
        }
    }

    @Test func logsAddTheCounts() {
        let lines = Lines()
        let logger = Logger(label: "test") { _ in lines }
        let doubling = DoublingLog(logger, .warning, "a command was dropped")
        for number in 1...5 { doubling.note(["topic": "t/\(number)"]) }
        #expect(
            lines.list.withLock { $0 } == [
                "a command was dropped so_far=1 topic=t/1", "a command was dropped so_far=2 topic=t/2",
                "a command was dropped so_far=4 topic=t/4",
            ])
        lines.list.withLock { $0 = [] }
        let keyed = KeyedLog<String>(logger, .warning, "a login was refused", window: .seconds(1), capacity: 1)
        for (key, now) in [("a", 0), ("a", 1), ("b", 2), ("a", 1_000_000_000)] as [(String, Int64)] {
            keyed.note(key, now: now, ["address": "\(key)"])
        }
        #expect(
            lines.list.withLock { $0 } == [
                "a login was refused address=a", "a login was refused address=a not_told=1 others_not_told=1",
            ])
    }
}
