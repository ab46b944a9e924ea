import Readings
import TestSupport
import Testing

@testable import Timekeeping

@Suite struct TrustedClockTests {
    private static let second: Int64 = 1_000_000_000
    /// 2026-11-24, Unix nanoseconds.
    private static let floor: Int64 = 1_795_500_000 * second

    private static let boot: Int64 = 20 * second
    /// Half a year before.
    private static let built: Int64 = floor - 183 * 86_400 * second

    private static func clock(floor: Int64 = floor) -> TrustedClock {
        TrustedClock(floor: floor, built: built, boot: boot)
    }

    /// What happens to a clock, in seconds of the boot clock; wall times are seconds after `floor`.
    private enum Event {
        case offer(at: Int64, Int64)
        /// What is expected of an offer, too.
        case refused(at: Int64, Int64)
        case synced(at: Int64, Int64)
        case believes(at: Int64, Int64)
        case knowsNot(at: Int64)
        case keeps(at: Int64, Int64?)
    }

    private static let decades: Int64 = 53 * 365 * 86_400
    private static let floorIn2079 = floor + decades * second

    private func play(_ events: [Event], floor: Int64 = floor) {
        var clock = Self.clock(floor: floor)
        func utc(_ seconds: Int64) -> Int64 { Self.floor + seconds * Self.second }
        func now(_ clock: TrustedClock, _ boot: Int64, wall: Int64 = 0, isSynced: Bool = false) -> Timestamp {
            clock.now(boot: boot * Self.second, wall: wall, isSynced: isSynced)
        }
        for (place, event) in events.enumerated() {
            switch event {
            case .offer(let boot, let seconds):
                let isTaken = clock.offer(utc: utc(seconds), at: Instant(nanoseconds: boot * Self.second))
                #expect(isTaken, "\(place): \(event)")
            case .refused(let boot, let seconds):
                let isTaken = clock.offer(utc: utc(seconds), at: Instant(nanoseconds: boot * Self.second))
                #expect(!isTaken, "\(place): \(event)")
            case .synced(let boot, let seconds):
                let time = now(clock, boot, wall: utc(seconds), isSynced: true)
                #expect(time.quality == .synced && time.unixNanoseconds == utc(seconds), "\(place): \(event)")
                let lasting = clock.lasting(boot: boot * Self.second, wall: utc(seconds), isSynced: true)
                #expect(lasting == utc(seconds), "\(place): \(event)")
            case .believes(let boot, let seconds):
                let time = now(clock, boot)
                #expect(time.quality == .synced && time.unixNanoseconds == utc(seconds), "\(place): \(time)")
            case .knowsNot(let boot): #expect(now(clock, boot).quality == .unsynced, "\(place)")
            case .keeps(let boot, let seconds):
                let lasting = clock.lasting(boot: boot * Self.second, wall: 0, isSynced: false)
                #expect(lasting == seconds.map(utc), "\(place): \(event)")
            }
        }
    }

    /// The kernel's word counts from the build on, and puts a wrong floor right.
    @Test func aWrongFloorDoesNotOutweighTheKernel() {
        play([.knowsNot(at: 20), .synced(at: 30, 30), .synced(at: 40, -86_400 * 100)], floor: Self.floorIn2079)
        let before = Self.clock().now(boot: Self.boot, wall: Self.built - 1, isSynced: true)
        #expect(before.quality == .unsynced)
        #expect(Self.clock().lasting(boot: Self.boot, wall: Self.built - 1, isSynced: true) == nil)
    }

    /// Nor does it outweigh what is told again and again.
    @Test func aWrongFloorGivesWayToWhatStaysTrue() {
        play(
            [
                .refused(at: 30, 30), .refused(at: 60, 60), .refused(at: 89, 89), .knowsNot(at: 89), .offer(at: 90, 91),
                .believes(at: 100, 101), .keeps(at: 100, nil), .offer(at: 3_700, 3_700), .keeps(at: 3_701, 3_701),
                // The old floor is forgotten.
                .knowsNot(at: 90_200), .offer(at: 90_300, 90_300),
            ], floor: Self.floorIn2079)
        // Twice is not three times, and what differs begins anew.
        play(
            [
                .refused(at: 30, 30), .refused(at: 100, 100), .refused(at: 110, 500), .refused(at: 120, 120),
                .refused(at: 130, 130), .refused(at: 179, 179), .offer(at: 180, 180),
            ], floor: Self.floorIn2079)
        // Once a day is often enough.
        play(
            [.refused(at: 30, 30), .refused(at: 86_440, 86_450), .offer(at: 172_900, 172_890)],
            floor: Self.floorIn2079)
        // Whatever it is, it is not before the build.
        play((0..<200).map { .refused(at: 30 + $0, -200 * 86_400 + $0) })
    }

    /// A receiver without a fix, a slip on the broker: one time in 2079 changes nothing.
    @Test func aTimeFarOffHasToBeToldAgain() {
        play([.refused(at: 30, Self.decades), .knowsNot(at: 31), .offer(at: 40, 40), .believes(at: 41, 41)])
        // Some years later is where a board that lay in a drawer wakes up.
        play([.offer(at: 30, 5 * 365 * 86_400), .believes(at: 30, 5 * 365 * 86_400), .keeps(at: 3_000, nil)])
        // What was believed gives way to what is told later, unless it is confirmed.
        play([.offer(at: 30, 3_000), .offer(at: 31, 31), .believes(at: 32, 32)])
        let confirmed: [Event] = [.offer(at: 30, 30), .offer(at: 60, 60), .offer(at: 90, 90)]
        play(confirmed + [.refused(at: 91, 9_000), .believes(at: 92, 92)])
        play(
            confirmed + [
                .refused(at: 91, 9_000), .refused(at: 121, 9_030), .offer(at: 151, 9_060), .believes(at: 152, 9_061),
            ])
        // So old that it does not count any more.
        play(confirmed + [.offer(at: 90_000, 9_000)])
    }

    /// Only what has been agreed on for an hour is known at the next boot.
    @Test func oneOfferIsNotKept() {
        play([.offer(at: 30, 30), .keeps(at: 31, nil), .keeps(at: 10_000, nil)])
        play([.offer(at: 30, 30), .offer(at: 3_629, 3_629), .keeps(at: 3_629, nil)])
        play([.offer(at: 30, 30), .offer(at: 3_630, 3_631), .keeps(at: 3_640, 3_641), .keeps(at: 90_031, nil)])
        play([.offer(at: 30, 30), .offer(at: 3_630, 9_000), .keeps(at: 3_640, nil)])
        // A quartz is not exact.
        play([.offer(at: 30, 30), .offer(at: 80_030, 80_050), .keeps(at: 80_030, 80_050)])
    }

    @Test func theFileIsWrittenOnceAnHourAndWhenItIsWrong() {
        var schedule = ClockFile.Schedule()
        func isDue(_ seconds: Int64, _ boot: Int64) -> Bool {
            schedule.isDue(Self.floor + seconds * Self.second, now: Instant(nanoseconds: boot * Self.second))
        }
        let due = [
            (0, 0), (5, 5), (3_000, 3_000), (3_600, 3_600), (3_606, 3_605), (9_000, 3_610), (3_615, 3_615),
            (3_620, 3_620),
        ]
        .map { isDue($0.0, $0.1) }
        #expect(due == [true, false, false, true, false, true, true, false])
    }

    @Test func whatTheKernelCallsSynchronisedIsBelieved() {
        let clock = Self.clock()
        let now = clock.now(boot: 25 * Self.second, wall: Self.floor + 77, isSynced: true)
        #expect(
            now
                == Timestamp(
                    instant: Instant(nanoseconds: 25 * Self.second), unixNanoseconds: Self.floor + 77, quality: .synced)
        )
    }

    @Test func itIsNever1970() {
        let clock = Self.clock()
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
        var clock = Self.clock()
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
        var clock = Self.clock()
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

    @Test func theBuildIsAFloor() {
        // Not before this was written.
        #expect(SystemTime.built > 1_795_000_000 * Self.second)
        #expect(SystemTime().now().unixNanoseconds >= SystemTime.built)
    }
}
