import Database
import Outbox
import Readings
import TestSupport
import Testing

@Suite struct BoundsTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    /// Room for so many messages of topic `t` and a two-byte payload.
    static func room(for count: Int64) -> Int64 { count * (OutboxStore.bytesPerMessage + 3) }

    func open(_ limits: ClassLimits, boot: String = "boot-1") throws -> OutboxStore {
        try sinks.open(.test(folder, classes: [.telemetry: limits], time: time, boot: boot))
    }

    func append(_ store: OutboxStore, _ numbers: ClosedRange<Int>) async throws {
        for number in numbers {
            try await store.append([
                .test(number < 10 ? "0\(number)" : "\(number)", time: time.now(), token: UInt64(number))
            ])
            time.advance(.seconds(1))
        }
    }

    @Test func theOldestMakeRoomAndAGapRecordStandsInTheirPlace() async throws {
        let store = try open(ClassLimits(maximumBytes: Self.room(for: 10)))
        try await append(store, 1...15)
        let claimed = try await store.claim(limit: 100, byteLimit: 10_000)
        // The record itself takes the room of two.
        #expect(claimed.map(\.sequence) == [7, 8, 9, 10, 11, 12, 13, 14, 15])
        #expect(claimed[0].message.topic == "gaps/telemetry")
        #expect(claimed[0].message.format == .opaque)
        #expect(
            claimed[0].text
                == #"{"gap":{"class":"telemetry","count":7,"first_seq":1,"last_seq":7,"#
                + #""from":"2026-11-23T11:32:00.000Z","to":"2026-11-23T11:32:06.000Z","reason":"overflow"}}"#
        )
        #expect(claimed.dropFirst().map(\.text) == ["08", "09", "10", "11", "12", "13", "14", "15"])
        let backlog = try await store.backlog()[0]
        #expect(backlog.dropped == 7)
        #expect(backlog.count == 9)
        #expect(backlog.bytes <= Self.room(for: 10))
        // They were committed before room was needed: each publisher got its acknowledgement.
        #expect(sinks.settled.flatMap { $0.map(\.publication) } == Array(1...15))
        #expect(sinks.rejected.isEmpty)
    }

    @Test func whatIsOnItsWayIsNeverDropped() async throws {
        let store = try open(ClassLimits(maximumBytes: Self.room(for: 10)))
        try await append(store, 1...5)
        let claimed = try await store.claim(limit: 5, byteLimit: 1000)
        try await append(store, 6...15)
        let next = try await store.claim(limit: 100, byteLimit: 10_000)
        #expect(next.map(\.sequence) == [12, 13, 14, 15])
        #expect(next[0].text.contains(#""count":7,"first_seq":6,"last_seq":12"#))
        try await store.settle(claimed.map(\.id))
        await store.release()
        #expect(try await store.claim(limit: 100, byteLimit: 10_000).map(\.sequence) == [12, 13, 14, 15])
    }

    @Test func aRecordOnItsWayIsNotExtendedButMergedOnceItIsBack() async throws {
        let store = try open(ClassLimits(maximumBytes: Self.room(for: 10)))
        try await append(store, 1...11)
        #expect(try await store.claim(limit: 1, byteLimit: 1000)[0].text.contains(#""first_seq":1,"last_seq":3"#))
        try await append(store, 12...13)
        await store.release()
        try await append(store, 14...14)
        let claimed = try await store.claim(limit: 100, byteLimit: 10_000)
        #expect(claimed.filter { $0.message.topic == "gaps/telemetry" }.count == 1)
        #expect(claimed[0].text.contains(#""first_seq":1,"#))
        #expect(claimed[0].sequence + 1 == claimed[1].sequence)
        #expect(claimed.last?.sequence == 14)
    }

    @Test func aMessageLargerThanItsClassLeavesOnlyARecord() async throws {
        let store = try open(ClassLimits(maximumBytes: 1000))
        try await store.append([.test(String(repeating: "x", count: 2000), time: time.now(), token: 1)])
        let claimed = try await store.claim(limit: 9, byteLimit: 10_000)
        #expect(claimed.map(\.message.topic) == ["gaps/telemetry"])
        #expect(claimed[0].text.contains(#""count":1,"first_seq":1,"last_seq":1"#))
    }

    @Test func refusedMessagesAreReportedAndTheirRecordGrowsAtTheEnd() async throws {
        let store = try open(ClassLimits(maximumBytes: Self.room(for: 3), overflow: .rejectNewest))
        try await append(store, 1...6)
        #expect(sinks.settled.flatMap { $0.map(\.publication) } == [1, 2, 3])
        #expect(sinks.rejected.flatMap { $0.map(\.publication) } == [4, 5, 6])
        let claimed = try await store.claim(limit: 9, byteLimit: 10_000)
        #expect(claimed.map(\.sequence) == [1, 2, 3, 6])
        #expect(claimed[3].text.contains(#""count":3,"first_seq":4,"last_seq":6"#))
        #expect(claimed[3].text.contains(#""from":"2026-11-23T11:32:03.000Z","to":"2026-11-23T11:32:05.000Z""#))

        // On its way now: the next refusals get a record of their own.
        try await append(store, 7...8)
        try await store.settle(claimed.map(\.id))
        try await append(store, 9...9)
        let next = try await store.claim(limit: 9, byteLimit: 10_000)
        #expect(next.map(\.sequence) == [8, 9])
        #expect(next[0].text.contains(#""count":2,"first_seq":7,"last_seq":8"#))
        #expect(next[1].text == "09")
        #expect(try await store.backlog()[0].dropped == 5)
    }

    @Test func theRecordOfRefusedMessagesGrowsAcrossAReopening() async throws {
        let limits = ClassLimits(maximumBytes: Self.room(for: 2), overflow: .rejectNewest)
        var store = try open(limits)
        try await append(store, 1...4)
        await store.close()
        store = try open(limits)
        try await append(store, 5...6)
        #expect(try await store.backlog()[0].count == 3)
        try await store.flush()
        let claimed = try await store.claim(limit: 9, byteLimit: 10_000)
        #expect(claimed.map(\.sequence) == [1, 2, 6])
        #expect(claimed[2].text.contains(#""count":4,"first_seq":3,"last_seq":6"#))
        #expect(try await store.backlog()[0].count == 3)
    }

    @Test func anArrivalIsRefusedWhenOneOfItsMessagesIs() async throws {
        let store = try open(ClassLimits(maximumBytes: Self.room(for: 4), overflow: .rejectNewest))
        let now = time.now()
        let large = String(repeating: "x", count: 200)
        try await store.append([
            .test("01", time: now, isContinued: true), .test("02", time: now, token: 1),
            .test(large, time: now, isContinued: true), .test("03", time: now, token: 2),
            .test("04", time: now, token: 3),
        ])
        #expect(sinks.settled.flatMap { $0.map(\.publication) } == [1])
        #expect(sinks.rejected.flatMap { $0.map(\.publication) } == [2, 3])
    }

    @Test func aNumberOfMessagesIsABoundToo() async throws {
        var limits = ClassLimits()
        limits.maximumCount = 10
        let store = try open(limits)
        try await append(store, 1...15)
        let claimed = try await store.claim(limit: 100, byteLimit: 10_000)
        #expect(claimed.map(\.sequence) == [6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
        #expect(claimed[0].text.contains(#""count":6,"first_seq":1,"last_seq":6"#))
        limits.overflow = .rejectNewest
        let another = try TemporaryDirectory()
        let other = try sinks.open(
            .test(another, classes: [.telemetry: limits], time: time))
        try await append(other, 16...27)
        #expect(sinks.rejected.flatMap { $0.map(\.publication) } == [26, 27])
    }

    @Test func newMessagesAreDroppedAndNobodyIsTold() async throws {
        let store = try open(ClassLimits(maximumBytes: Self.room(for: 3), overflow: .dropNewest))
        try await append(store, 1...6)
        #expect(sinks.settled.flatMap { $0.map(\.publication) } == [1, 2, 3, 4, 5, 6])
        #expect(sinks.rejected.isEmpty)
        let claimed = try await store.claim(limit: 9, byteLimit: 10_000)
        #expect(claimed.map(\.sequence) == [1, 2, 3, 6])
        #expect(claimed[3].text.contains(#""count":3,"first_seq":4,"last_seq":6"#))
    }

    @Test func urgentClassesGetMoreOfTheWayAndNoneGetsNothing() async throws {
        var classes: [DeliveryClass: ClassLimits] = [:]
        for (name, priority) in [("a", 6), ("b", 3), ("c", 1)] {
            var limits = ClassLimits()
            limits.priority = priority
            classes[DeliveryClass(name)] = limits
        }
        let store = try sinks.open(.test(folder, classes: classes, time: time))
        for name in ["c", "b", "a"] {
            try await store.append((1...100).map { .test("\($0)", DeliveryClass(name), time: time.now()) })
        }
        func claim(_ limit: Int) async throws -> [String: Int] {
            try await store.claim(limit: limit, byteLimit: 1 << 20).reduce(into: [:]) { $0[$1.stream, default: 0] += 1 }
        }
        #expect(try await claim(50) == ["a": 30, "b": 15, "c": 5])
        // Too little for all of them: each has its turn.
        var single: [String: Int] = [:]
        for _ in 0..<9 { single.merge(try await claim(1), uniquingKeysWith: +) }
        #expect(single == ["a": 3, "b": 3, "c": 3])
        // What one does not use goes to the others.
        #expect(try await claim(200) == ["a": 67, "b": 82, "c": 51])
    }

    @Test func messagesExpireByElapsedTime() async throws {
        let store = try open(ClassLimits(maximumAge: .seconds(60)))
        try await append(store, 1...3)
        time.advance(.seconds(56))
        #expect(try await store.backlog()[0].oldestAge == .seconds(59))
        time.advance(.milliseconds(2500))
        let claimed = try await store.claim(limit: 9, byteLimit: 10_000)
        #expect(claimed.map(\.sequence) == [2, 3])
        #expect(claimed[0].text.contains(#""count":2,"first_seq":1,"last_seq":2"#))
        #expect(claimed[0].text.contains(#""reason":"expired""#))
    }

    @Test(arguments: [0, 4_102_444_800])
    func theWallClockExpiresNothing(unixSeconds: Int64) async throws {
        let store = try open(ClassLimits(maximumAge: .seconds(60)))
        try await append(store, 1...3)
        time.setWallClock(unixSeconds: unixSeconds)
        try await append(store, 4...4)
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["01", "02", "03", "04"])
    }

    @Test func ofAnEarlierBootOnlyWhatThisProcessSawCounts() async throws {
        let limits = ClassLimits(maximumAge: .seconds(60))
        var store = try open(limits)
        try await append(store, 1...2)
        await store.close()
        time.advance(.seconds(50))
        store = try open(limits, boot: "boot-2")
        time.advance(.seconds(50))
        try await append(store, 3...3)
        let claimed = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(claimed.map(\.text) == ["01", "02", "03"])
        #expect(claimed.map(\.boot.name) == ["boot-1", "boot-1", "boot-2"])
        await store.release()
        time.advance(.seconds(15))
        let later = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(later.map(\.sequence) == [2, 3])
        #expect(later[0].boot.name == "boot-1")
    }

    @Test func withinOneBootARestartDoesNotMakeMessagesYounger() async throws {
        let limits = ClassLimits(maximumAge: .seconds(60))
        var store = try open(limits)
        try await append(store, 1...1)
        await store.close()
        time.advance(.seconds(70))
        store = try open(limits)
        #expect(try await store.claim(limit: 9, byteLimit: 1000)[0].text.contains("expired"))
    }

    @Test func aRecordThatSwallowsAnotherNamesBothReasons() async throws {
        let store = try open(ClassLimits(maximumBytes: Self.room(for: 6), maximumAge: .seconds(60)))
        try await append(store, 1...7)
        time.advance(.seconds(58))
        try await append(store, 8...8)
        let claimed = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(claimed[0].text.contains(#""reason":"overflow+expired""#))
        #expect(claimed[0].text.contains(#""first_seq":1,"#))
        #expect(claimed[0].sequence + 1 == claimed[1].sequence)
    }

    /// What did not even get here is told in the stream like the rest.
    @Test func whatWasLostBeforeHasItsPlace() async throws {
        let store = try open(ClassLimits())
        try await append(store, 1...2)
        let from = time.now()
        time.advance(.seconds(5))
        try await store.note([Loss(.telemetry, count: 40, from: from, to: time.now())])
        try await store.note([Loss(.telemetry, count: 2, from: time.now(), to: time.now())])
        try await append(store, 3...3)
        let claimed = try await store.claim(limit: 100, byteLimit: 10_000)
        #expect(claimed.map(\.sequence) == [1, 2, 44, 45])
        #expect(claimed[2].text.contains(#""count":42,"first_seq":3,"last_seq":44"#))
        #expect(claimed[2].text.contains(#""from":"2026-11-23T11:32:02.000Z","to":"2026-11-23T11:32:07.000Z""#))
        #expect(try await store.backlog()[0].dropped == 42)
    }
}
