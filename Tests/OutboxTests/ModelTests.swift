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
    }

    let limits: ClassLimits
    var rows: [Row] = []
    var next: Int64 = 1
    var dropped: Int64 = 0
    var bytes: Int64 { rows.reduce(0) { $0 + $1.bytes } }

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
        let start = rows.firstIndex { !$0.isClaimed } ?? rows.count
        let end = min(rows.count, start + limit)
        for index in start..<end { rows[index].isClaimed = true }
        return Array(rows[start..<end])
    }

    mutating func settle(_ sequences: Set<Int64>) { rows.removeAll { $0.isClaimed && sequences.contains($0.sequence) } }
    mutating func release() { for index in rows.indices { rows[index].isClaimed = false } }
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

    @Test(arguments: 1...40)
    func theStoreDoesWhatTheListDoes(seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        let folder = try TemporaryDirectory()
        let time = ManualTime()
        let configuration = OutboxStore.Configuration.test(
            folder, classes: Dictionary(uniqueKeysWithValues: Self.classes.map { ($0.name, $0.limits) }), time: time
        )
        let sinks = Sinks()
        var store = try sinks.open(configuration)
        var models = Self.classes.map { Model(limits: $0.limits) }
        var consumers = Self.classes.map { _ in Consumer() }
        var claimed: [[MessageID: Int64]] = Self.classes.map { _ in [:] }
        var token: UInt64 = 0
        var kept: [UInt64] = []
        var refused: [UInt64] = []

        for step in 0..<300 {
            let place: Comment = "seed \(seed), step \(step)"
            time.advance(.seconds(Int.random(in: 0...2, using: &random)))
            let now = Duration.nanoseconds(time.now().instant.nanoseconds)
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<9:
                var entries: [OutboxStore.Entry] = []
                for _ in 0..<Int.random(in: 1...8, using: &random) {
                    let index = Int.random(in: 0..<3, using: &random)
                    token += 1
                    let text = "\(token)-" + String(repeating: "x", count: Int.random(in: 0...120, using: &random))
                    entries.append(.test(text, Self.classes[index].name, time: time.now(), token: token))
                    if models[index].append(text, now: now) { kept.append(token) } else { refused.append(token) }
                }
                try await store.append(entries)
                // A record of refused messages has time; the list's is there at once.
                try await store.flush()
                for index in models.indices { models[index].enforceBounds(now: now) }
            case 9..<14:
                for index in models.indices { models[index].expire(now: now) }
                let got = try await store.claim(limit: 3 * Int.random(in: 1...6, using: &random), byteLimit: .max)
                for (index, (name, _)) in Self.classes.enumerated() {
                    let own = got.filter { $0.stream == name.name }
                    let expected = models[index].claim(own.count)
                    #expect(own.map(\.sequence) == expected.map(\.sequence), place)
                    for (message, row) in zip(own, expected) {
                        if let text = row.text {
                            #expect(message.text == text, place)
                        } else {
                            let fields =
                                #""count":\#(row.count),"first_seq":\#(row.first),"last_seq":\#(row.sequence),"#
                            #expect(message.text.contains(fields), "\(place): \(message.text)")
                        }
                        #expect(consumers[index].receive(first: row.first, last: row.sequence) == nil, place)
                        claimed[index][message.id] = message.sequence
                    }
                }
            case 14..<18:
                let all = claimed.flatMap(\.keys).sorted()
                var some = all.filter { _ in Bool.random(using: &random) }
                if Bool.random(using: &random) { some.shuffle(using: &random) }
                try await store.settle(some)
                try await store.flush()
                for index in models.indices {
                    models[index].settle(Set(some.compactMap { claimed[index].removeValue(forKey: $0) }))
                    models[index].enforceBounds(now: now)
                }
            case 18:
                await store.release()
                for index in models.indices { models[index].release() }
                claimed = claimed.map { _ in [:] }
            default:
                await store.close()
                for index in models.indices { models[index].enforceBounds(now: now) }
                let truth = try Self.truth(folder)
                #expect(truth == models.map { [$0.next, Int64($0.rows.count), $0.bytes, $0.dropped] }, place)
                store = try sinks.open(configuration)
                for index in models.indices { models[index].release() }
                claimed = claimed.map { _ in [:] }
            }
            let backlog = try await store.backlog()
            #expect(backlog.map(\.count) == models.map { Int64($0.rows.count) }, place)
            try #require(backlog.map(\.bytes) == models.map(\.bytes), place)
            #expect(backlog.map(\.dropped) == models.map(\.dropped), place)
            try #require(sinks.settled.flatMap { $0 }.map(\.publication).sorted() == kept, place)
            try #require(sinks.rejected.flatMap { $0 }.map(\.publication) == refused, place)
        }
    }

    /// Next sequence, count, bytes and drops per class: the counters as stored, and checked against the rows.
    static func truth(_ folder: TemporaryDirectory) throws -> [[Int64]] {
        let connection = try Connection.open("\(folder.path)/outbox.db")
        let select = try Statement(
            """
            SELECT s.next, s.count, s.bytes, s.dropped, count(m.id),
                coalesce(sum(length(CAST(m.topic AS BLOB)) + length(m.payload) + 48), 0), coalesce(max(m.id), 0)
            FROM stream s LEFT JOIN message m ON m.id >> 48 = s.id
                AND m.id & ((1 << 48) - 1) >= s.head GROUP BY s.id ORDER BY s.id
            """, on: connection, doing: "test")
        var truth: [[Int64]] = []
        while try select.step() {
            #expect(select.integer(at: 1) == select.integer(at: 4))
            #expect(select.integer(at: 2) == select.integer(at: 5))
            #expect(select.integer(at: 0) > select.integer(at: 6) & (1 << 48 - 1))
            truth.append((0..<4).map { select.integer(at: $0) })
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
        enforceBounds(now: now)
    }
}
