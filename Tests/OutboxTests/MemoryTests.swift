import Database
import Outbox
import Readings
import TestSupport
import Testing

/// What waits in memory for the upstream's acknowledgement, and when it is stored after all.
@Suite struct MemoryTests {
    let folder: TemporaryDirectory
    let time = ManualTime()
    let sinks = Sinks()

    init() throws { folder = try TemporaryDirectory() }

    func open(_ order: ClassLimits.Order = .inOrder, in folder: TemporaryDirectory? = nil) throws -> OutboxStore {
        var limits = ClassLimits()
        limits.order = order
        return try sinks.open(
            .test(
                folder ?? self.folder, classes: [.telemetry: limits], time: time, commitAfter: .milliseconds(250)))
    }

    func append(_ store: OutboxStore, _ numbers: ClosedRange<Int>) async throws {
        try await store.append(numbers.map { .test("\($0)", time: time.now(), token: UInt64($0)) })
    }

    var settled: [UInt64] { sinks.settled.flatMap { $0 }.map(\.publication).sorted() }

    /// What a power cut would leave: the files as they are now, opened elsewhere.
    func afterCrash(_ order: ClassLimits.Order = .inOrder) throws -> (store: OutboxStore, folder: TemporaryDirectory) {
        let copy = try copy(of: folder)
        return (try open(order, in: copy), copy)
    }

    private func copy(of folder: TemporaryDirectory) throws -> TemporaryDirectory {
        let copy = try TemporaryDirectory()
        for name in ["outbox.db", "outbox.db-wal"] {
            if let bytes = folder.bytes(of: name) { try copy.write(bytes, to: name) }
        }
        return copy
    }

    @Test func whatIsAcknowledgedInTimeIsNeverWritten() async throws {
        let store = try open()
        await store.attach()
        try await append(store, 1...1)
        let first = try await store.claim(limit: 9, byteLimit: 1000)
        try await store.settle(first.map(\.id))
        let written = folder.bytes(of: "outbox.db-wal")
        for round in 1...50 {
            try await append(store, round * 10...round * 10 + 4)
            let claimed = try await store.claim(limit: 9, byteLimit: 1000)
            #expect(claimed.map(\.text) == (round * 10...round * 10 + 4).map(String.init))
            time.advance(.milliseconds(200))
            await store.tick()
            #expect(!settled.contains(UInt64(round * 10)))
            try await store.settle(claimed.map(\.id))
            #expect(settled.count == 1 + round * 5)
        }
        #expect(folder.bytes(of: "outbox.db-wal") == written)
        #expect(try await store.backlog().map(\.count) == [0])
    }

    @Test func whatIsNotAcknowledgedInTimeIsStoredAndThenSafe() async throws {
        let store = try open()
        await store.attach()
        try await append(store, 1...3)
        let claimed = try await store.claim(limit: 2, byteLimit: 1000)
        time.advance(.milliseconds(100))
        try await append(store, 4...4)
        time.advance(.milliseconds(150))
        await store.tick()
        // The fourth has not waited for long enough.
        #expect(settled == [1, 2, 3])
        #expect(try await store.backlog().map(\.unstored) == [1])
        #expect(try await store.backlog().map(\.claimed) == [2])
        let next = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(next.map(\.text) == ["3", "4"])
        try await store.settle((claimed + next).map(\.id))
        #expect(settled == [1, 2, 3, 4])
        #expect(try await store.backlog().map(\.count) == [0])
        await store.close()
        #expect(try await open().claim(limit: 9, byteLimit: 1000).isEmpty)
    }

    @Test func whenTheLinkGoesEverythingIsStoredInItsOrder() async throws {
        let store = try open()
        await store.attach()
        try await append(store, 1...5)
        let claimed = try await store.claim(limit: 3, byteLimit: 1000)
        try await store.settle([claimed[1].id])
        #expect(settled == [2])
        await store.release()
        #expect(settled == [1, 2, 3, 4, 5])
        #expect(try await store.backlog().map(\.unstored) == [0])
        let again = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(again.map(\.text) == ["1", "3", "4", "5"])
        #expect(again.map(\.sequence) == [1, 3, 4, 5])
        let (after, _) = try afterCrash()
        #expect(try await after.claim(limit: 9, byteLimit: 1000).map(\.text) == ["1", "3", "4", "5"])
    }

    @Test func withoutALinkAGroupIsStoredAfterAMoment() async throws {
        let store = try open()
        try await append(store, 1...2)
        time.advance(.milliseconds(1))
        try await append(store, 3...3)
        await store.tick()
        #expect(settled.isEmpty)
        time.advance(.milliseconds(4))
        await store.tick()
        #expect(settled == [1, 2, 3])
        // Without a pause, the longest wait ends it.
        for number in 4...24 {
            try await append(store, number...number)
            time.advance(.microseconds(1_400))
        }
        #expect(settled.count >= 3 + 15)
    }

    @Test func behindABacklogMessagesAreStoredAtOnceNotKeptInMemory() async throws {
        let store = try open()
        try await append(store, 1...300)
        try await store.flush()
        await store.attach()
        let first = try await store.claim(limit: 100, byteLimit: 1 << 20)
        #expect(first.count == 100)
        try await append(store, 301...301)
        time.advance(.milliseconds(5))
        await store.tick()
        #expect(settled.last == 301)
        #expect(try await store.claim(limit: 300, byteLimit: 1 << 20).map(\.sequence) == (101...301).map { $0 })
    }

    @Test func aCrashWhileMessagesWentOutOfMemoryBeginsAnEpoch() async throws {
        let store = try open()
        try await append(store, 1...2)
        try await store.flush()
        let offline = try afterCrash()
        // Nothing went out unknown to the file: sequences go on.
        try await append(offline.store, 3...3)
        let kept = try await offline.store.claim(limit: 9, byteLimit: 1000)
        #expect(kept.map(\.sequence) == [1, 2, 3])
        #expect(Set(kept.map(\.epoch)).count == 1)

        await store.attach()
        try await store.settle(try await store.claim(limit: 9, byteLimit: 1000).map(\.id))
        try await append(store, 4...6)
        let claimed = try await store.claim(limit: 2, byteLimit: 1000)
        #expect(claimed.map(\.sequence) == [3, 4])
        #expect(claimed[0].epoch == kept[0].epoch)
        let (after, copy) = try afterCrash()
        try await append(after, 7...8)
        try await after.flush()
        let new = try await after.claim(limit: 9, byteLimit: 1000)
        #expect(new.map(\.sequence) == [1, 2])
        #expect(Set(new.map(\.epoch)).count == 1)
        #expect(new[0].epoch != kept[0].epoch)
        // That epoch lasts.
        await after.close()
        let reopened = try open(in: copy)
        #expect(try await reopened.claim(limit: 9, byteLimit: 1000).map(\.epoch) == new.map(\.epoch))
    }

    /// A commit between them, the link's end and a crash: sequences that went upstream are used up.
    @Test func whatWentOutOfMemoryKeepsItsSequence() async throws {
        let store = try open()
        await store.attach()
        try await append(store, 1...2)
        var claimed = try await store.claim(limit: 9, byteLimit: 1000)
        time.advance(.milliseconds(200))
        try await append(store, 3...3)
        claimed += try await store.claim(limit: 9, byteLimit: 1000)
        time.advance(.milliseconds(50))
        await store.tick()
        #expect(try await store.backlog().map(\.unstored) == [1])
        try await store.settle(claimed.prefix(2).map(\.id))
        try await store.settle(claimed.suffix(1).map(\.id))
        await store.release()
        let (after, _) = try afterCrash()
        try await append(after, 4...4)
        try await after.flush()
        let next = try await after.claim(limit: 9, byteLimit: 1000)
        #expect(next.map(\.sequence) == [4])
        #expect(next.map(\.epoch) == [claimed[0].epoch])
    }

    @Test func storedMessagesOfTheOldEpochKeepIt() async throws {
        let store = try open()
        await store.attach()
        try await append(store, 1...4)
        let claimed = try await store.claim(limit: 2, byteLimit: 1000)
        time.advance(.milliseconds(300))
        await store.tick()
        let (after, _) = try afterCrash()
        try await append(after, 5...5)
        let all = try await after.claim(limit: 4, byteLimit: 1000)
        #expect(all.map(\.text) == ["1", "2", "3", "4"])
        #expect(all.map(\.sequence) == [1, 2, 3, 4])
        #expect(all[0].epoch == claimed[0].epoch)
        try await after.flush()
        let last = try await after.claim(limit: 9, byteLimit: 1000)
        #expect(last.map(\.sequence) == [1])
        #expect(last.first?.epoch != claimed[0].epoch)
    }

    @Test func liveGoesBesideTheBacklogWhereTheClassSaysSo() async throws {
        let store = try open(.interleave)
        try await append(store, 1...6)
        try await store.flush()
        await store.attach()
        try await append(store, 7...8)
        let first = try await store.claim(limit: 4, byteLimit: 1000)
        #expect(first.map(\.text) == ["7", "8", "1", "2"])
        #expect(first.map(\.isHistorical) == [false, false, true, true])
        try await store.settle([first[0].id, first[2].id])
        // The other live one becomes late, and is stored behind the backlog while it is on its way.
        time.advance(.milliseconds(300))
        await store.tick()
        #expect(settled == [1, 2, 3, 4, 5, 6, 7, 8])
        let (after, _) = try afterCrash(.interleave)
        #expect(try await after.claim(limit: 9, byteLimit: 1000).map(\.text) == ["2", "3", "4", "5", "6", "8"])
        // Nor does the cursor hand it out twice.
        let rest = try await store.claim(limit: 9, byteLimit: 1000)
        #expect(rest.map(\.text) == ["3", "4", "5", "6"])
        try await store.settle([first[1].id, first[3].id] + rest.map(\.id))
        #expect(try await store.backlog().map(\.count) == [0])
        await store.close()
        #expect(try await open(.interleave).claim(limit: 9, byteLimit: 1000).isEmpty)
    }

    @Test func anArrivalIsSafeWhenTheLastOfItsMessagesIs() async throws {
        let events = DeliveryClass("events")
        let store = try sinks.open(
            .test(
                folder, classes: [.telemetry: ClassLimits(), events: ClassLimits()], time: time,
                commitAfter: .milliseconds(250)))
        await store.attach()
        try await store.append([
            .test("a", time: time.now(), isContinued: true), .test("b", events, time: time.now(), token: 1),
        ])
        let claimed = try await store.claim(limit: 9, byteLimit: 1000)
        try await store.settle([claimed[0].id])
        #expect(settled.isEmpty)
        try await store.settle([claimed[1].id])
        #expect(settled == [1])
    }

    @Test func fullMemoryIsStoredWhateverTheLinkDoes() async throws {
        var configuration = OutboxStore.Configuration.test(folder, time: time, commitAfter: .seconds(60))
        configuration.memoryMessages = 100
        let store = try sinks.open(configuration)
        await store.attach()
        try await append(store, 1...90)
        #expect(settled.isEmpty)
        try await append(store, 91...120)
        #expect(settled == (1...90).map { $0 })
        #expect(try await store.backlog().map(\.unstored) == [30])
    }

    @Test func aVisitLeavesTheDiskToTheOutbox() async throws {
        let store = try open()
        let entries = (1...3).map { OutboxStore.Entry.test("\($0)", time: time.now(), token: UInt64($0)) }
        try await onOwnThread {
            #expect(store.visit { $0.isQuiet } == true)
            for _ in 0..<2 {
                // Without an upstream it is due, and more so the second time.
                let isUntouched = try store.visit {
                    let before = folder.bytes(of: "outbox.db-wal")
                    try $0.append(entries)
                    return folder.bytes(of: "outbox.db-wal") == before
                }
                #expect(isUntouched != false)
                time.advance(.milliseconds(30))
            }
        }
        #expect(await eventually { settled.count == 6 })
        await store.tick()
        #expect(settled == [1, 1, 2, 2, 3, 3])
        #expect(try await store.claim(limit: 9, byteLimit: 1000).map(\.text) == ["1", "2", "3", "1", "2", "3"])
    }

    /// Whatever happens in whatever order: what was told to be safe arrives, in order, each epoch without a hole.
    @Test(arguments: 1...60)
    func nothingThatIsSafeIsLost(seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        let order = seed % 2 == 0 ? ClassLimits.Order.inOrder : .interleave
        var folder = try TemporaryDirectory()
        var limits = ClassLimits()
        limits.order = order
        // A store that is left to itself goes on writing to its own folder, and has sinks of its own.
        var sinks = Sinks()
        func open() throws -> OutboxStore {
            try sinks.open(
                .test(folder, classes: [.telemetry: limits], time: time, commitAfter: .milliseconds(250)))
        }
        var store = try open()
        var number = 0
        var safe: Set<Int> = []
        /// On their way; the first so many have arrived.
        var out: [OutboxStore.Claimed] = []
        var arrived = 0
        /// Arrived, and the acknowledgement is on its way.
        var acknowledged: [MessageID] = []
        var delivered: Set<Int> = []
        var sequences: [UInt64: [Int64: Int]] = [:]
        /// The newest number delivered, by epoch.
        var newest: [UInt64: Int] = [:]

        func deliver(_ claimed: OutboxStore.Claimed, _ place: Comment) throws {
            let number = try #require(Int(claimed.text), place)
            if delivered.insert(number).inserted, order == .inOrder {
                #expect(number > newest[claimed.epoch, default: 0], place)
                newest[claimed.epoch] = number
            }
            // A consumer takes what has the same place for the same message.
            let known = sequences[claimed.epoch, default: [:]].updateValue(number, forKey: claimed.sequence)
            #expect(known == nil || known == number, place)
        }
        func deliverSome(_ place: Comment) throws {
            let end = Int.random(in: arrived...out.count, using: &random)
            for claimed in out[arrived..<end] {
                try deliver(claimed, place)
                acknowledged.append(claimed.id)
            }
            arrived = end
        }
        for step in 0..<300 {
            let place: Comment = "seed \(seed), step \(step)"
            time.advance(.milliseconds(Int.random(in: 0...40, using: &random)))
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<7:
                let count = Int.random(in: 1...6, using: &random)
                try await append(store, number + 1...number + count)
                number += count
            case 7..<11:
                out += try await store.claim(limit: Int.random(in: 1...8, using: &random), byteLimit: 1 << 20)
            case 11..<15:
                try deliverSome(place)
                var some = acknowledged.filter { _ in Int.random(in: 0..<4, using: &random) > 0 }
                acknowledged.removeAll { some.contains($0) }
                if Bool.random(using: &random) { some.shuffle(using: &random) }
                try await store.settle(some)
            case 15: await store.attach()
            case 16: await store.tick()
            case 17, 18:
                // Some have arrived, and nobody hears of it.
                try deliverSome(place)
                if Bool.random(using: &random) {
                    await store.release()
                } else {
                    safe.formUnion(sinks.settled.flatMap { $0 }.map { Int($0.publication) })
                    folder = try copy(of: folder)
                    sinks = Sinks()
                    store = try open()
                }
                (out, arrived, acknowledged) = ([], 0, [])
            default: try deliverSome(place)
            }
        }
        await store.release()
        while case let rest = try await store.claim(limit: 50, byteLimit: 1 << 20), !rest.isEmpty {
            for claimed in rest { try deliver(claimed, "seed \(seed), at the end") }
            try await store.settle(rest.map(\.id))
        }
        safe.formUnion(sinks.settled.flatMap { $0 }.map { Int($0.publication) })
        #expect(safe.subtracting(delivered).isEmpty, "seed \(seed)")
        for (epoch, sequences) in sequences {
            #expect(sequences.keys.sorted() == (1...Int64(sequences.count)).map { $0 }, "seed \(seed), epoch \(epoch)")
        }
        #expect(try await store.backlog().map(\.count) == [0])
        await store.close()
    }
}
