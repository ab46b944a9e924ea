import Database
import Outbox
import Readings
import TestSupport
import Testing

/// The queue as a list, written as plainly as possible.
private struct Model {
    struct Row {
        var sequence: Int64
        /// `nil` for a gap record.
        var text: String?
        var bytes: Int64
        var taken: Duration
        /// What a gap record speaks for; 1 and its own sequence for a message.
        var count: Int64 = 1
        var first: Int64
        var isClaimed = false
        /// A crash brings it back.
        var isSettled = false
    }

    let limits: ClassLimits
    /// In their order; settled ones stay until that is recorded in the file.
    var rows: [Row] = []
    /// What the upstream refused, oldest first.
    var refused: [Row] = []
    var next: Int64 = 1
    var dropped: Int64 = 0
    var waiting: [Row] { rows.filter { !$0.isSettled } }
    var bytes: Int64 { waiting.reduce(0) { $0 + $1.bytes } }

    private func gap(_ lost: some Collection<Row>) -> Row? {
        guard let first = lost.first, let last = lost.map(\.sequence).max() else { return nil }
        let count = lost.reduce(0) { $0 + $1.count }
        return Row(sequence: last, bytes: 96, taken: first.taken, count: count, first: first.first)
    }

    /// - Returns: whether it was kept.
    mutating func append(_ text: String, now: Duration) -> Bool {
        let row = Row(sequence: next, text: text, bytes: 49 + Int64(text.utf8.count), taken: now, first: next)
        next += 1
        guard limits.overflow == .rejectNewest, bytes + row.bytes > limits.maximumBytes else {
            rows.append(row)
            return true
        }
        dropped += 1
        let record = rows.last.flatMap { $0.text == nil && !$0.isClaimed ? $0 : nil }
        if record != nil { rows.removeLast() }
        if let merged = gap([record, row].compactMap(\.self)) { rows.append(merged) }
        return false
    }

    mutating func enforceBounds(now: Duration) {
        let start = rows.firstIndex { !$0.isClaimed } ?? rows.count
        func isExpired(_ row: Row) -> Bool { limits.maximumAge.map { now - row.taken > $0 } ?? false }
        let isFull = limits.overflow == .dropOldest && bytes > limits.maximumBytes
        guard isFull || rows[start...].first(where: { $0.text != nil }).map(isExpired) ?? false else { return }
        var end = start
        var kept = bytes
        while end < rows.count {
            let isOver = limits.overflow == .dropOldest && kept + 96 > limits.maximumBytes
            guard rows[end].text == nil || isExpired(rows[end]) || isOver else { break }
            kept -= rows[end].bytes
            end += 1
        }
        let lost = rows[start..<end]
        let messages = lost.filter { $0.text != nil }
        guard !messages.isEmpty || lost.count > 1, let record = gap(lost) else { return }
        dropped += Int64(messages.count)
        rows.replaceSubrange(start..<end, with: [record])
    }

    mutating func claim(_ limit: Int) -> [Row] {
        let places = rows.indices.filter { !rows[$0].isClaimed && !rows[$0].isSettled }.prefix(limit)
        for place in places { rows[place].isClaimed = true }
        return places.map { rows[$0] }
    }

    mutating func settle(_ sequences: Set<Int64>) {
        for place in rows.indices where rows[place].isClaimed && sequences.contains(rows[place].sequence) {
            rows[place].isSettled = true
        }
    }

    mutating func release() { for index in rows.indices { rows[index].isClaimed = false } }

    /// What is settled is in the file.
    mutating func record() { rows.removeAll { $0.isSettled } }

    mutating func commit(now: Duration) {
        record()
        enforceBounds(now: now)
    }

    /// A message on its way is refused: a record takes its place.
    /// - Returns: `false` where none does: it is a record, or not on its way.
    mutating func setAside(_ sequence: Int64) -> Bool {
        guard let place = rows.firstIndex(where: { $0.sequence == sequence && $0.isClaimed && !$0.isSettled }),
            rows[place].text != nil
        else { return false }
        refused.append(rows[place])
        rows[place].text = nil
        rows[place].bytes = 96
        return true
    }

    mutating func takeBack() -> (taken: Int, left: Int) {
        let all = refused
        refused = []
        for var row in all {
            guard bytes + row.bytes <= limits.maximumBytes else {
                refused.append(row)
                continue
            }
            (row.sequence, row.first, row.isClaimed) = (next, next, false)
            next += 1
            rows.append(row)
        }
        return (all.count - refused.count, refused.count)
    }

    mutating func purge() -> Int64 {
        let start = rows.firstIndex { !$0.isClaimed } ?? rows.count
        let lost = rows[start...]
        let messages = lost.filter { $0.text != nil }
        guard !messages.isEmpty || lost.count > 1, let record = gap(lost) else { return 0 }
        dropped += Int64(messages.count)
        rows.replaceSubrange(start..., with: [record])
        return Int64(messages.count)
    }
}

/// A consumer that proves from sequences and gap records alone that it has everything.
private struct Consumer {
    /// Everything before this is accounted for.
    var next: Int64 = 1

    /// - Returns: a complaint when something is missing.
    mutating func receive(first: Int64, last: Int64) -> String? {
        guard first <= next else { return "nothing says what became of \(next)..<\(first)" }
        next = max(next, last + 1)
        return nil
    }
}

@Suite struct ModelTests {
    static let classes: [(name: DeliveryClass, limits: ClassLimits)] = [
        ("bulk", ClassLimits(maximumBytes: 1500, maximumAge: nil)),
        ("events", ClassLimits(maximumBytes: 1500, maximumAge: nil, overflow: .rejectNewest)),
        ("telemetry", ClassLimits(maximumBytes: 4000, maximumAge: .seconds(40))),
    ].map { (DeliveryClass($0.0), $0.1) }

    /// The store and its model, and what was told of it.
    private struct Pair {
        var folder: TemporaryDirectory
        let time = ManualTime()
        var sinks = Sinks()
        var store: OutboxStore
        var models = ModelTests.classes.map { Model(limits: $0.limits) }
        var consumers = ModelTests.classes.map { _ in Consumer() }
        /// On their way, by class.
        var claimed: [[MessageID: Int64]] = ModelTests.classes.map { _ in [:] }
        /// When the store records what is settled; `nil` while there is nothing to record.
        var recordingDue: Duration?
        var now: Duration { .nanoseconds(time.now().instant.nanoseconds) }

        init() throws {
            folder = try TemporaryDirectory()
            store = try sinks.open(Self.configuration(folder, time))
        }

        private static func configuration(
            _ folder: TemporaryDirectory, _ time: ManualTime
        ) -> OutboxStore.Configuration {
            .test(
                folder, classes: Dictionary(uniqueKeysWithValues: ModelTests.classes.map { ($0.name, $0.limits) }),
                time: time)
        }

        mutating func commit() {
            for index in models.indices { models[index].commit(now: now) }
            recordingDue = nil
        }

        mutating func record() { for index in models.indices { models[index].record() } }

        /// Records are written once there are many, or nothing is on its way any more, or after 5 ms.
        mutating func settle(_ ids: [MessageID]) {
            guard !ids.isEmpty else { return }
            for index in models.indices {
                models[index].settle(Set(ids.compactMap { claimed[index].removeValue(forKey: $0) }))
            }
            let rows = models.flatMap(\.rows)
            let settled = rows.count { $0.isSettled }
            guard settled > 0 else { return }
            if settled >= 25 || !rows.contains(where: { $0.isClaimed && !$0.isSettled }) { recordingDue = now }
            if recordingDue == nil { recordingDue = now + .milliseconds(5) }
            recordIfDue()
        }

        mutating func recordIfDue() {
            if let due = recordingDue, due <= now { commit() }
        }

        mutating func releaseAll() {
            for index in models.indices { models[index].release() }
            claimed = claimed.map { _ in [:] }
        }

        /// The power fails: what was settled and not recorded comes back, and nothing else changes.
        mutating func crash(_ place: Comment) async throws {
            let copy = try TemporaryDirectory()
            for name in ["outbox.db", "outbox.db-wal"] {
                if let bytes = folder.bytes(of: name) { try copy.write(bytes, to: name) }
            }
            await store.close()
            let found = try ModelTests.rows(copy)
            _ = try ModelTests.truth(copy)
            for (index, (name, _)) in ModelTests.classes.enumerated() {
                let rows = models[index].rows
                let kept = Set(found[name.name] ?? [])
                #expect(kept.isSubset(of: rows.map(\.sequence)), place)
                #expect(kept.isSuperset(of: models[index].waiting.map(\.sequence)), place)
                models[index].rows = rows.filter { kept.contains($0.sequence) }
                for row in models[index].rows.indices { models[index].rows[row].isSettled = false }
            }
            recordingDue = nil
            releaseAll()
            folder = copy
            store = try sinks.open(Self.configuration(folder, time))
        }

        mutating func reopen(_ place: Comment) async throws {
            await store.close()
            commit()
            let truth = try ModelTests.truth(folder)
            for (model, (name, _)) in zip(models, ModelTests.classes) {
                let expected = [model.next, Int64(model.rows.count), model.bytes, model.dropped]
                #expect(truth[name.name] ?? [1, 0, 0, 0] == expected, place)
            }
            releaseAll()
            store = try sinks.open(Self.configuration(folder, time))
        }
    }

    @Test(arguments: 1...60)
    func theStoreDoesWhatTheListDoes(seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        var pair = try Pair()
        var token: UInt64 = 0
        var kept: [UInt64] = []
        var refused: [UInt64] = []

        for step in 0..<300 {
            let place: Comment = "seed \(seed), step \(step)"
            pair.time.advance(.seconds([0, 0, 0, 0, 1, 2].randomElement(using: &random) ?? 0))
            await pair.store.tick()
            pair.recordIfDue()
            switch Int.random(in: 0..<26, using: &random) {
            case 0..<9:
                var entries: [OutboxStore.Entry] = []
                for _ in 0..<Int.random(in: 1...8, using: &random) {
                    let index = Int.random(in: 0..<3, using: &random)
                    token += 1
                    let text = "\(token)-" + String(repeating: "x", count: Int.random(in: 0...120, using: &random))
                    entries.append(.test(text, Self.classes[index].name, time: pair.time.now(), token: token))
                    if pair.models[index].append(text, now: pair.now) {
                        kept.append(token)
                    } else {
                        refused.append(token)
                    }
                }
                try await pair.store.append(entries)
                // A record of refused messages has time; the list's is there at once.
                try await pair.store.flush()
                pair.commit()
            case 9..<14:
                let now = pair.now
                for index in pair.models.indices { pair.models[index].expire(now: now) }
                let got = try await pair.store.claim(limit: 3 * Int.random(in: 1...6, using: &random), byteLimit: .max)
                for (index, (name, _)) in Self.classes.enumerated() {
                    let own = got.filter { $0.stream == name.name }
                    let expected = pair.models[index].claim(own.count)
                    #expect(own.map(\.sequence) == expected.map(\.sequence), place)
                    for (message, row) in zip(own, expected) {
                        if let text = row.text {
                            #expect(message.text == text, place)
                        } else {
                            let fields =
                                #""count":\#(row.count),"first_seq":\#(row.first),"last_seq":\#(row.sequence),"#
                            #expect(message.text.contains(fields), "\(place): \(message.text)")
                        }
                        #expect(pair.consumers[index].receive(first: row.first, last: row.sequence) == nil, place)
                        pair.claimed[index][message.id] = message.sequence
                    }
                }
            case 14..<19:
                let all = pair.claimed.flatMap(\.keys).sorted()
                var some = all.filter { _ in Bool.random(using: &random) }
                if Bool.random(using: &random) { some.shuffle(using: &random) }
                try await pair.store.settle(some)
                pair.settle(some)
            case 19, 20:
                let some = pair.claimed.flatMap(\.keys).sorted().filter { _ in
                    Int.random(in: 0..<4, using: &random) == 0
                }
                guard !some.isEmpty else { continue }
                let records = try await pair.store.setAside(some.map { ($0, "not allowed") })
                var others: [MessageID] = []
                for id in some {
                    let index = try #require(pair.claimed.firstIndex { $0[id] != nil }, place)
                    if !pair.models[index].setAside(pair.claimed[index][id] ?? 0) { others.append(id) }
                }
                #expect(records.map(\.id) == some.filter { !others.contains($0) }, place)
                pair.record()
                pair.settle(others)
            case 21:
                let index = Int.random(in: 0..<3, using: &random)
                let dropped = try await pair.store.purge(Self.classes[index].name)
                pair.commit()
                #expect(dropped == pair.models[index].purge(), place)
            case 22:
                let index = Int.random(in: 0..<3, using: &random)
                let back = try await pair.store.takeBack(Self.classes[index].name)
                pair.commit()
                #expect(back == pair.models[index].takeBack(), place)
            case 23:
                await pair.store.release()
                pair.releaseAll()
            case 24: try await pair.crash(place)
            default: try await pair.reopen(place)
            }
            let backlog = try await pair.store.backlog()
            let models = pair.models
            #expect(backlog.map(\.deliveryClass) == Self.classes.map(\.name), place)
            try #require(backlog.map(\.count) == models.map { Int64($0.waiting.count) }, place)
            try #require(backlog.map(\.bytes) == models.map(\.bytes), place)
            #expect(backlog.map(\.dropped) == models.map(\.dropped), place)
            #expect(backlog.map(\.setAside) == models.map { Int64($0.refused.count) }, place)
            try #require(pair.sinks.settled.flatMap { $0 }.map(\.publication).sorted() == kept, place)
            try #require(pair.sinks.rejected.flatMap { $0 }.map(\.publication) == refused, place)
        }
        // Counters are never in need of being mended.
        #expect(pair.sinks.notices.isEmpty, "seed \(seed)")
        await pair.store.close()
    }

    /// The sequences of the rows that wait, by class.
    static func rows(_ folder: TemporaryDirectory) throws -> [String: [Int64]] {
        let connection = try Connection.open("\(folder.path)/outbox.db")
        let select = try Statement(
            """
            SELECT s.class, m.id & ((1 << 48) - 1) FROM stream s JOIN message m ON m.id >> 48 = s.id
                AND m.id & ((1 << 48) - 1) >= s.head
            """, on: connection, doing: "test")
        var rows: [String: [Int64]] = [:]
        while try select.step() { rows[select.text(at: 0), default: []].append(select.integer(at: 1)) }
        return rows
    }

    /// Next sequence, count, bytes and drops per class: the counters as stored, and checked against the rows.
    static func truth(_ folder: TemporaryDirectory) throws -> [String: [Int64]] {
        let connection = try Connection.open("\(folder.path)/outbox.db")
        let select = try Statement(
            """
            SELECT s.next, s.count, s.bytes, s.dropped, count(m.id),
                coalesce(sum(length(CAST(m.topic AS BLOB)) + length(m.payload) + 48), 0), coalesce(max(m.id), 0), s.class
            FROM stream s LEFT JOIN message m ON m.id >> 48 = s.id
                AND m.id & ((1 << 48) - 1) >= s.head GROUP BY s.id ORDER BY s.id
            """, on: connection, doing: "test")
        var truth: [String: [Int64]] = [:]
        while try select.step() {
            #expect(select.integer(at: 1) == select.integer(at: 4))
            #expect(select.integer(at: 2) == select.integer(at: 5))
            #expect(select.integer(at: 0) > select.integer(at: 6) & (1 << 48 - 1))
            truth[select.text(at: 7)] = (0..<4).map { select.integer(at: $0) }
        }
        #expect(try connection.text("PRAGMA integrity_check", doing: "test") == "ok")
        return truth
    }
}

extension Model {
    /// A claim drops only where the first message is expired.
    fileprivate mutating func expire(now: Duration) {
        guard let maximumAge = limits.maximumAge, let first = rows.first(where: { !$0.isClaimed && $0.text != nil }),
            now - first.taken > maximumAge
        else { return }
        commit(now: now)
    }
}
