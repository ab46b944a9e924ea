import Readings
import TestSupport
import Testing
import Upstream

@testable import Gateway

@Suite struct TrustedClockTests {
    private static let second: Int64 = 1_000_000_000
    /// 2026-11-24, Unix nanoseconds.
    private static let floor: Int64 = 1_795_500_000 * second

    private static let boot: Int64 = 20 * second

    @Test func whatTheKernelCallsSynchronisedIsBelieved() {
        let clock = TrustedClock(floor: Self.floor, boot: Self.boot)
        let now = clock.now(boot: 25 * Self.second, wall: Self.floor + 77, isSynced: true)
        #expect(
            now
                == Timestamp(
                    instant: Instant(nanoseconds: 25 * Self.second), unixNanoseconds: Self.floor + 77, quality: .synced)
        )
    }

    @Test func itIsNever1970() {
        let clock = TrustedClock(floor: Self.floor, boot: Self.boot)
        for isSynced in [false, true] {
            let now = clock.now(boot: 25 * Self.second, wall: 30 * Self.second, isSynced: isSynced)
            #expect(now.quality == .unsynced)
            #expect(now.unixNanoseconds == Self.floor + 5 * Self.second)
        }
        // Later than the last time that was known it may be right.
        let later = clock.now(boot: 25 * Self.second, wall: Self.floor + 9 * Self.second, isSynced: false)
        #expect(later.unixNanoseconds == Self.floor + 9 * Self.second && later.quality == .unsynced)
        // Nothing vouches for the far future either.
        let far = clock.now(boot: 25 * Self.second, wall: .max, isSynced: false)
        #expect(far.unixNanoseconds == Self.floor + 5 * Self.second)
    }

    @Test func anOfferCountsUntilItIsOld() {
        var clock = TrustedClock(floor: Self.floor, boot: Self.boot)
        let utc = Self.floor + 1_000 * Self.second
        let isTaken = clock.offer(utc: utc, at: Instant(nanoseconds: 30 * Self.second))
        #expect(isTaken)
        let now = clock.now(boot: 31 * Self.second, wall: 0, isSynced: false)
        #expect(now.unixNanoseconds == utc + Self.second && now.quality == .synced)
        // The kernel's word goes before.
        let kernel = clock.now(boot: 31 * Self.second, wall: utc + 5 * Self.second, isSynced: true)
        #expect(kernel.unixNanoseconds == utc + 5 * Self.second)
        let old = clock.now(boot: 31 * Self.second + 86_400 * Self.second, wall: 0, isSynced: false)
        #expect(old.quality == .unsynced)
    }

    @Test func aReceiverThatHasRolledOverIsNotBelieved() {
        var clock = TrustedClock(floor: Self.floor, boot: Self.boot)
        // 1,024 weeks back.
        for utc in [Self.floor - 1_024 * 7 * 86_400 * Self.second, .max] {
            let isTaken = clock.offer(utc: utc, at: Instant(nanoseconds: 0))
            #expect(!isTaken)
        }
        #expect(clock.now(boot: Self.boot, wall: 0, isSynced: false).quality == .unsynced)
    }

    @Test func theKnownTimeOutlastsTheProcess() throws {
        let folder = try TemporaryDirectory()
        let file = ClockFile(dataDirectory: folder.path)
        #expect(file.read() == nil)
        #expect(file.write(unixNanoseconds: Self.floor + 999))
        #expect(file.read() == Self.floor)
        try folder.write("nonsense", to: "clock")
        #expect(file.read() == nil)
        try folder.write("99999999999999", to: "clock")
        #expect(file.read() == nil)
        #expect(!ClockFile(dataDirectory: "\(folder.path)/missing").write(unixNanoseconds: 1))
    }

    @Test(
        arguments: [
            ("1795500000", 1_795_500_000_000_000_000), ("1795500000123", 1_795_500_000_123_000_000), ("", nil),
            ("soon", nil), ("-1", nil), ("9223372036854775807", nil), ("1795500000.5", nil),
        ] as [(String, Int64?)])
    func theUpstreamsTime(text: String, unixNanoseconds: Int64?) {
        #expect(UpstreamTime.parse(Array(text.utf8)) == unixNanoseconds)
    }

    /// A message that waited at the broker tells the time of another hour.
    @Test func whatWaitedIsNotBelieved() {
        let time = SystemTime(floor: Self.floor)
        var arrival = UpstreamArrival(topic: "time", payload: Array("1895500000".utf8), retain: false)
        arrival.mayHaveWaited = true
        UpstreamTime.tell(arrival, to: time)
        // Where the kernel's clock is synchronised its word goes before.
        guard time.now().quality == .unsynced else { return }
        arrival.mayHaveWaited = false
        UpstreamTime.tell(arrival, to: time)
        #expect(time.now().quality == .synced)
    }

    @Test func theBuildIsAFloor() {
        // Not before this was written.
        #expect(SystemTime.built > 1_795_000_000 * Self.second)
        #expect(SystemTime().now().unixNanoseconds >= SystemTime.built)
    }
}
