package import Database
package import Readings
internal import Synchronization

/// The durable queue between the gateway and its upstream.
///
/// Each delivery class is one stream: messages leave in the order in which they came, under a gapless sequence that
/// is kept across restarts. Runs on a thread of its own, since SQLite and its syncs block.
///
/// A message is safe when the upstream has acknowledged it or a commit has stored it, whichever comes first. While the
/// link is up it waits in memory for the former, for as long as its class allows; flash is not touched then. While the
/// link is down, or where messages wait already that must go first, everything is stored by group commits.
///
/// The limits of a class hold at every commit. What a limit costs is told downstream by a gap record in the place of
/// what was lost. Messages on their way upstream are never dropped.
package actor OutboxStore {
    /// One message to store.
    package struct Entry: Sendable {
        package var message: Message
        /// What to hand to the `settled` sink once the message, and the others of its arrival, are safe. Where one
        /// arrival gives several messages, it stands on the last.
        package var settle: SettleToken?
        /// The next entry is of the same arrival.
        package var isContinued: Bool

        package init(message: Message, settle: SettleToken? = nil, isContinued: Bool = false) {
            self.message = message
            self.settle = settle
            self.isContinued = isContinued
        }
    }

    /// One message on its way upstream.
    package struct Claimed: Sendable {
        package var id: MessageID
        /// The stream's name: the delivery class.
        package var stream: String
        /// What `sequence` counts under: sequences of two epochs have nothing to do with each other.
        package var epoch: UInt64
        /// Its place in the stream's epoch, counted from 1.
        package var sequence: Int64
        /// The boot that the message's instant belongs to.
        package var boot: BootID
        /// Sent beside newer ones, and not to be taken for the current value.
        package var isHistorical: Bool
        /// It was stored: part of a backlog.
        package var isStored = false
        /// How long it is still of use, more than nothing; `nil`: it stays of use.
        package var remaining: Duration?
        package var message: Message

        /// `epoch` as it goes over the wire: 16 hexadecimal digits.
        package var epochDigits: String { Epoch.digits(of: epoch) }
    }

    /// What a stored message costs beside topic and payload: keys, times, flags and its share of a page. Bounds count
    /// it, so that they hold for a million empty messages too.
    package static let bytesPerMessage: Int64 = 48

    /// Set when the file was found damaged and an empty one took its place.
    package nonisolated let recovery: Recovery?
    private nonisolated let latestProblem = Mutex<OutboxError?>(nil)
    /// Why the last commit failed; `nil` once one has succeeded. Meanwhile messages wait in memory, as far as that goes.
    package nonisolated var problem: OutboxError? { latestProblem.withLock { $0 } }

    private nonisolated let latestShortage = Mutex<Int64?>(nil)
    /// Bytes that could still be written, when they are so few that classes without a reserve must make do with what
    /// they have; `nil` otherwise.
    package nonisolated var shortage: Int64? { latestShortage.withLock { $0 } }

    private nonisolated let ownEpochs: Mutex<Set<String>>
    /// Whether messages of this outbox go, or went, under an epoch, as it goes over the wire.
    package nonisolated func isOwn(epoch: String) -> Bool { ownEpochs.withLock { $0.contains(epoch) } }

    /// The outbox's thread, for tasks that are at home there.
    package nonisolated let executor: ThreadExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let configuration: Configuration
    private let settled: @Sendable ([SettleToken]) -> Void
    private let rejected: @Sendable ([SettleToken]) -> Void
    private let damaged: @Sendable (Recovery) -> Void
    let available: @Sendable () -> Void

    /// `nil` once closed.
    var file: OutboxFile?
    var streams: [Stream]
    private var streamIndex: [DeliveryClass: Int]
    /// When this process opened the file: where the age of an earlier boot's messages is counted from.
    let opened: Instant
    /// Which classes a claim begins with that is too small for all.
    private var turn = 0
    private var retained = RetainedTopics()
    private var receipts = Receipts()
    private var schedule = CommitSchedule()
    private var space: DiskSpace
    private var ballast: Ballast
    /// An upstream is there to claim.
    private var isAttached = false
    /// Messages went out of memory though the file could not be told: under an epoch that it does not know yet.
    private var isEpochUntold = false
    private var timer: (due: Instant, task: Task<Void, Never>)?
    /// The file was found damaged, and another is about to take its place.
    private var isReplacing = false
    /// Why there is no file, while none can be made in the place of a damaged one.
    private var fileProblem: OutboxError?
    private var isClosed = false
    /// On another thread than the outbox's own, which must not wait for the disk.
    package private(set) var isVisited = false

    /// Opens or creates the store. Blocks for a few page reads, whatever the backlog, and up to
    /// ``Configuration/lockTimeoutMilliseconds`` when another process holds the file.
    /// - Parameters:
    ///   - settled: called on the outbox's thread with the tokens of arrivals that are safe: stored, or acknowledged
    ///     upstream. Those of one class come in their order.
    ///   - rejected: called likewise with the tokens whose message, or another of the same arrival, was refused. They
    ///     must not be acknowledged as kept.
    ///   - damaged: called likewise when the file turned out to be damaged and an empty one took its place. What memory
    ///     held is in the new one; ``damagedFiles`` has the old one.
    ///   - available: called, at home in the outbox, when there may be something new to claim. None of the four may
    ///     block: the outbox waits for it.
    /// - Throws: when the file cannot be opened, is in use, or is of a newer version. A damaged file does not throw:
    ///   it is moved aside, see ``recovery``.
    package init(
        configuration: Configuration,
        settled: @escaping @Sendable ([SettleToken]) -> Void,
        rejected: @escaping @Sendable ([SettleToken]) -> Void = { _ in },
        damaged: @escaping @Sendable (Recovery) -> Void = { _ in },
        available: @escaping @Sendable () -> Void
    ) throws(OutboxError) {
        do throws(ThreadStartError) {
            executor = try ThreadExecutor(name: "outbox")
        } catch {
            throw .thread(error)
        }
        let opening: Opening
        (opening, recovery) = try Opening.make(configuration)
        file = opening.file
        streams = opening.streams
        streamIndex = Self.index(of: opening.streams)
        ownEpochs = Mutex(Self.epochs(of: opening.streams))
        self.configuration = configuration
        space = DiskSpace(minimumFree: configuration.minimumFree)
        ballast = Ballast(path: "\(configuration.path)-reserve", bytes: configuration.minimumFree / 2)
        self.settled = settled
        self.rejected = rejected
        self.damaged = damaged
        self.available = available
        opened = configuration.time.now().instant
    }

    private static func index(of streams: [Stream]) -> [DeliveryClass: Int] {
        Dictionary(uniqueKeysWithValues: streams.enumerated().map { ($0.element.name, $0.offset) })
    }

    private static func epochs(of streams: [Stream]) -> Set<String> {
        Set(streams.flatMap { $0.epochs.all.map { Epoch.digits(of: $0.value) } })
    }

    /// Streams have come, or have begun an epoch.
    func noteEpochs() {
        let present = Self.epochs(of: streams)
        ownEpochs.withLock { $0.formUnion(present) }
    }

    // MARK: Visits

    /// Runs `body` on the calling thread, now, when the outbox has nothing else to do: two changes of threads are
    /// spared. Nothing is written meanwhile; what is due is committed by the outbox's own thread afterwards.
    /// - Returns: `nil` when the outbox is busy; `body` was not called then.
    package nonisolated func visit<R: Sendable>(
        _ body: @Sendable (isolated OutboxStore) throws -> R
    ) rethrows -> R? {
        try executor.runIfIdle {
            try assumeIsolated { store in
                store.isVisited = true
                defer { store.isVisited = false }
                return try body(store)
            }
        }
    }

    /// So little waits that a message is better off with a visit. Where much is going on, what comes is better taken
    /// by the outbox's own thread, many at a time.
    package var isQuiet: Bool { file != nil && unstored.count <= Self.quietCount }
    private static let quietCount = 8

    // MARK: Appending

    /// Takes the entries. Returns before they are safe: the sinks say when. Where their classes want it, and when
    /// memory is full, they are committed before it returns.
    /// Cost: 1 µs per message; of a commit one sync, and about 2 µs per message.
    /// - Returns: what could not be taken, in its order, to be offered again before anything newer: memory is full and
    ///   the commit failed, ``problem`` says why. Classes with ``ClassLimits/isReserved`` have memory of their own.
    @discardableResult
    package func append(_ entries: [Entry]) throws(OutboxError) -> [Entry] {
        guard !entries.isEmpty else { return [] }
        if isReplacing, file == nil { return entries }
        _ = try openFile()
        var entries = entries
        var rest: [Entry] = []
        let now = configuration.time.now().instant
        if unstored.count > 0, isMuch(entries, share: 1), !isVisited {
            // After a commit that failed the next one is not for every newcomer to try.
            let isStored = now >= schedule.earliest && (try? commit(everything: true, now: now)) != nil
            if !isStored { (entries, rest) = divide(entries) }
        }
        take(entries, try places(of: entries), now: now)
        commitDue(now: now)
        tell()
        available()
        startTimer(now: now)
        return rest
    }

    /// Takes note of messages that were lost on their way here: gap records tell the upstream, at the place where the
    /// streams are now.
    package func note(_ losses: [Loss]) throws(OutboxError) {
        _ = try openFile()
        let now = configuration.time.now().instant
        for loss in losses {
            guard let index = streamIndex[loss.deliveryClass] else { throw .unknownClass(loss.deliveryClass) }
            streams[index].lose(
                loss.count, from: loss.from, to: loss.to, reason: loss.reason == .invalid ? .invalid : .overflow,
                now: now)
        }
        commitDue(now: now)
        available()
        startTimer(now: now)
    }

    /// Whether they are too many for `share` of the memory, together with what is there.
    private func isMuch(_ entries: [Entry], share: Double) -> Bool {
        let waiting = unstored
        let bytes = entries.reduce(0) { $0 + Self.bytes(of: $1.message) }
        return waiting.count + entries.count > Int(Double(configuration.memoryMessages) * share)
            || waiting.bytes + bytes > Int64(Double(configuration.memoryBytes) * share)
    }

    /// Memory is full: what belongs to reserved classes alone is taken into a quarter more of it; arrivals are not torn
    /// apart.
    private func divide(_ entries: [Entry]) -> (taken: [Entry], rest: [Entry]) {
        var taken: [Entry] = []
        var rest: [Entry] = []
        var start = entries.startIndex
        while start < entries.endIndex {
            let end = Self.endOfArrival(entries, from: start)
            let arrival = entries[start...end]
            let isReserved = arrival.allSatisfy { entry in
                streamIndex[entry.message.deliveryClass].map { streams[$0].limits.isReserved } ?? false
            }
            if isReserved { taken += arrival } else { rest += arrival }
            start = end + 1
        }
        return isMuch(taken, share: 1.25) ? ([], entries) : (taken, rest)
    }

    private func take(_ entries: [Entry], _ places: [Int], now: Instant) {
        var start = entries.startIndex
        while start < entries.endIndex {
            let end = Self.endOfArrival(entries, from: start)
            let token = entries[end].settle
            let receipt = receipts.open(token, count: end - start + 1)
            var isRefused = false
            for index in start...end {
                let message = entries[index].message
                let isLeftOut = streams[places[index]].leavesOut(
                    message, receipt: isRefused ? .none : receipt, now: now)
                if isLeftOut, streams[places[index]].limits.overflow == .rejectNewest {
                    isRefused = true
                } else if isLeftOut {
                    schedule.took(
                        Int64(Gap.storedByteCount), isAwaited: token != nil,
                        isLive: streams[places[index]].isLive(isAttached: isAttached), now: now)
                } else {
                    streams[places[index]].add(message, receipt: isRefused ? .none : receipt, now: now)
                    schedule.took(
                        Self.bytes(of: message), isAwaited: token != nil,
                        isLive: streams[places[index]].isLive(isAttached: isAttached), now: now)
                }
            }
            if isRefused { receipts.refuse(receipt, token) }
            start = end + 1
        }
    }

    /// Where the last entry of the arrival stands that begins at `start`.
    private static func endOfArrival(_ entries: [Entry], from start: Int) -> Int {
        var end = start
        while entries[end].isContinued, end + 1 < entries.endIndex { end += 1 }
        return end
    }

    /// What is in memory alone.
    private var unstored: (count: Int, bytes: Int64) {
        streams.reduce((0, 0)) { ($0.0 + $1.unstored.count, $0.1 + $1.unstored.bytes) }
    }

    /// What a message counts against the bounds.
    static func bytes(of message: Message) -> Int64 {
        bytesPerMessage
            + Int64(message.topic.utf8.count + message.payload.count + (message.properties?.storedByteCount ?? 0))
    }

    func tell() {
        let (settled, rejected) = receipts.take()
        if !settled.isEmpty { self.settled(settled) }
        if !rejected.isEmpty { self.rejected(rejected) }
    }

    /// Each entry's stream. Neighbours are of one class mostly, which spares the search.
    private func places(of entries: [Entry]) throws(OutboxError) -> [Int] {
        var places: [Int] = []
        places.reserveCapacity(entries.count)
        var last = streams.startIndex
        for entry in entries {
            let name = entry.message.deliveryClass
            if !streams.indices.contains(last) || streams[last].name != name {
                guard let index = streamIndex[name] else { throw .unknownClass(name) }
                last = index
            }
            places.append(last)
        }
        return places
    }

    // MARK: Committing

    /// When the next commit is due; `nil` while there is nothing to write.
    private func due() -> Instant? {
        var due = schedule.due
        for stream in streams {
            guard let oldest = stream.unstored.oldest else { continue }
            due = .min(due, oldest + CommitSchedule.patience(stream.limits.commitAfter))
        }
        return due.map { max($0, schedule.earliest) }
    }

    /// Commits what is due. For the timer, and for tests that move the clock by hand.
    package func tick() {
        timer = nil
        let now = configuration.time.now().instant
        commitDue(now: now)
        tell()
        if streams.contains(where: { $0.unclaimed > 0 }) { available() }
        startTimer(now: now)
    }

    /// Stores everything that is in memory, and returns once it is durable.
    package func flush() throws(OutboxError) {
        _ = try openFile()
        try commit(everything: true, now: configuration.time.now().instant)
        tell()
    }

    /// What fails is tried again: nothing that is in memory is lost by it.
    private func commitDue(now: Instant) {
        guard !isVisited, let due = due(), due <= now else { return }
        try? commit(everything: false, now: now)
    }

    func startTimer(now: Instant) {
        guard file != nil, let due = due() else { return }
        if let timer, timer.due <= due { return }
        timer?.task.cancel()
        let delay = due - now
        timer = (
            due,
            Task { [weak self] in
                guard (try? await Task.sleep(for: max(delay, .zero))) != nil else { return }
                await self?.tick()
            }
        )
    }

    /// One transaction: stores what is due, records what is settled, and keeps the bounds.
    func commit(everything: Bool, now: Instant) throws(OutboxError) {
        guard let file else { return }
        noteTime(file)
        measureSpace(file)
        do throws(SQLiteError) {
            try withLogRestarted(file) { () throws(SQLiteError) in try write(everything, file, now: now) }
            schedule.succeeded()
            note(nil)
            if !space.isShort { ballast.hold() }
        } catch {
            let isPartlyDone = error.condition == .diskFull && storeReserved(everything, file, now: now)
            schedule.failed(now: now, isPartlyDone: isPartlyDone)
            failed(error)
            throw .database(error)
        }
        if streams.allSatisfy({ $0.count == 0 }) {
            // Only space is at stake, and the next empty moment comes.
            try? file.giveBackPages()
        }
    }

    /// Does it, and when the disk is full once more: what the log has in the file already makes room in the log.
    private func withLogRestarted(
        _ file: OutboxFile, _ body: () throws(SQLiteError) -> Void
    ) throws(SQLiteError) {
        do throws(SQLiteError) {
            try body()
        } catch {
            guard error.condition == .diskFull else { throw error }
            try file.connection.restartLog()
            try body()
        }
    }

    /// The disk is full: what must not wait for the others goes into what was kept back for it.
    /// - Returns: whether there was something, and it is stored.
    private func storeReserved(_ everything: Bool, _ file: OutboxFile, now: Instant) -> Bool {
        guard streams.contains(where: { $0.limits.isReserved && $0.unstored.count > 0 }) else { return false }
        if ballast.release() { try? file.connection.restartLog() }
        return (try? write(everything, reservedOnly: true, file, now: now)) != nil
    }

    private func measureSpace(_ file: OutboxFile) {
        guard configuration.minimumFree > 0 else { return }
        space.measured(free: FileSystemSpace.available(at: configuration.path), insideFile: file.freeBytes)
        for index in streams.indices {
            streams[index].grow(byAtMost: space.room(isReserved: streams[index].limits.isReserved))
        }
        let isShort = space.isShort
        latestShortage.withLock { $0 = isShort ? space.available : nil }
    }

    private func write(
        _ everything: Bool, reservedOnly: Bool = false, _ file: OutboxFile, now: Instant
    ) throws(SQLiteError) {
        var drafts = streams
        var stored: [Stream.Stored] = []
        let needsRoom = problem != nil
        try file.transaction(doing: "write to") { () throws(SQLiteError) in
            stored.reserveCapacity(drafts.count)
            for index in drafts.indices {
                if reservedOnly, !streams[index].limits.isReserved {
                    stored.append(Stream.Stored(places: 0, receipts: []))
                    continue
                }
                let places = everything ? streams[index].unstored.placeCount : duePlaces(streams[index], now: now)
                stored.append(
                    try drafts[index].commit(places, needsRoom: needsRoom, file, now: now, opened: opened))
            }
            let isLeft = zip(streams, stored).contains { $0.unstored.placeCount > $1.places }
            try file.storeOffset()
            // Where not all could be written, the file's counters may lie behind what has gone upstream.
            if !isAttached, !isLeft, !reservedOnly {
                try file.setAhead(false)
            } else if isEpochUntold || isAttached && isLeft {
                try file.setAhead(true)
            }
        }
        streams = drafts
        drafts = []
        for index in streams.indices { streams[index].forgetStored(stored[index]) }
        for receipt in stored.lazy.flatMap(\.receipts) { receipts.isSafe(receipt) }
        if !reservedOnly { isEpochUntold = false }
    }

    /// Messages that were taken before the clock was trusted get their wall time when they are handed out, also those of
    /// this boot that a later process finds.
    private func noteTime(_ file: OutboxFile) {
        let now = configuration.time.now()
        guard now.quality == .synced else { return }
        file.note(offset: now.unixNanoseconds - now.instant.nanoseconds)
    }

    /// The clock has come to be trusted, or another time is. What the file holds of this boot gets to know it, should the
    /// power fail now. Costs next to nothing when nothing has changed.
    package func clockIsTrusted() {
        guard let file else { return }
        noteTime(file)
        guard file.mustStoreOffset else { return }
        let now = configuration.time.now().instant
        schedule.isNeeded(now: now)
        commitDue(now: now)
        startTimer(now: now)
    }

    /// How many of the stream's messages in memory are to be stored now.
    private func duePlaces(_ stream: Stream, now: Instant) -> Int {
        if !stream.isLive(isAttached: isAttached) { return stream.unstored.placeCount }
        let patience = CommitSchedule.patience(stream.limits.commitAfter)
        return stream.unstored.count(takenBy: now + (.zero - patience))
    }

    // MARK: Handing out

    /// Stored messages wait to be handed out, and a process' window has room for some.
    package var hasBacklog: Bool { streams.contains { $0.hasBacklog } && storedRoom > 0 }

    /// An upstream is there: what comes may wait for it in memory.
    package func attach() { isAttached = true }

    /// The next messages that are not on their way yet, in order within each class.
    ///
    /// Each class gets a share of `limit` by its priority, and what one does not use goes to the others, the more urgent
    /// ones first. So a long backlog of one class never holds up another.
    /// - Parameters:
    ///   - limit: at most this many messages. Of stored ones no more are out than ``Configuration/window``.
    ///   - byteLimit: at most this many bytes of topics and payloads; a larger message still comes, alone.
    ///   - storedLimit: of stored ones at most this many, shared between the classes likewise.
    package func claim(limit: Int, byteLimit: Int, storedLimit: Int = .max) throws(OutboxError) -> [Claimed] {
        let file = try openFile()
        let now = configuration.time.now().instant
        noteTime(file)
        expire(file)
        let waiting = streams.indices.filter { streams[$0].unclaimed > 0 }
        guard limit > 0, !waiting.isEmpty else { return [] }
        var storedLeft = min(storedRoom, storedLimit)
        let order = waiting.sorted { streams[$0].limits.priority > streams[$1].limits.priority }
        let shares = shares(of: limit, among: order)
        let backlogs = order.filter { streams[$0].hasBacklog }
        let storedShares =
            storedLeft < limit && storedLeft > 0
            ? Dictionary(uniqueKeysWithValues: zip(backlogs, self.shares(of: storedLeft, among: backlogs))) : [:]
        if mustGoAhead { goAhead(file) }

        let isReplaying = streams.contains { $0.limits.order == .interleave && $0.counters.count > 0 }
        var claimed: [Claimed] = []
        var budget = ClaimBudget(messages: limit, bytes: byteLimit)
        for isSecondRound in [false, true] {
            for (index, share) in zip(order, shares) where !budget.isSpent && streams[index].unclaimed > 0 {
                do throws(SQLiteError) {
                    try streams[index].claim(
                        atMost: isSecondRound ? limit : share,
                        atMostStored: isSecondRound ? .max : storedShares[index] ?? .max, stored: &storedLeft, &budget,
                        file, now: now, opened: opened, isDiskFailing: problem != nil,
                        gapTopic: configuration.gapTopic, into: &claimed
                    )
                } catch {
                    failed(error)
                    // What the other classes gave must go out; the next claim meets the error again.
                    if claimed.isEmpty { throw .database(error) }
                }
            }
        }
        if isVisited, claimed.isEmpty {
            // What has expired gives way in a transaction, which is not for a visitor's thread.
            schedule.isNeeded(now: now)
            startTimer(now: now)
        }
        retained.pass(&claimed, boot: file.bootName, isReplaying: isReplaying)
        return claimed
    }

    /// Each class's part of `limit`, at least 1, and of a limit that is too small for that now one class's turn and then
    /// another's.
    private func shares(of limit: Int, among order: [Int]) -> [Int] {
        let weights = order.map { streams[$0].limits.priority }
        let total = weights.reduce(0, +)
        guard limit < order.count else { return weights.map { max(1, limit * $0 / total) } }
        turn += 1
        return order.indices.map { ($0 + turn) % order.count < limit ? 1 : 0 }
    }

    /// How many stored messages may be handed out now. While the disk fails, delivering them twice after a crash is
    /// better than not delivering them.
    private var storedRoom: Int {
        let unrecorded = problem == nil ? streams.reduce(0) { $0 + $1.unrecorded } : 0
        return configuration.window - unrecorded - streams.reduce(0) { $0 + $1.storedUnderWay }
    }

    /// The next claim has to write, and wait for the disk: not for a visitor.
    package var mustGoAhead: Bool {
        guard let file, !file.isAhead, !isEpochUntold else { return false }
        return streams.contains { $0.unstored.waiting > 0 }
    }

    /// Messages are about to leave that the file knows nothing of. It must know that much, so that their sequences
    /// are not used again for others; where it cannot be told they leave under an epoch of their own.
    private func goAhead(_ file: OutboxFile) {
        do throws(SQLiteError) {
            try file.transaction(doing: "write to") { () throws(SQLiteError) in try file.setAhead(true) }
        } catch {
            beginEpoch()
        }
    }

    private func beginEpoch() {
        let epoch = Epoch.random(first: 1).value
        for index in streams.indices { streams[index].begin(epoch) }
        noteEpochs()
        isEpochUntold = true
    }

    /// The upstream has acknowledged these messages: those in memory are gone, those that are stored are removed by the
    /// next commit, at once when many have gathered or no more are on their way. Identifiers that are not on their way
    /// (settled before, or handed out before the last ``release()``) are ignored.
    package func settle(_ ids: [MessageID]) throws(OutboxError) {
        guard !ids.isEmpty else { return }
        _ = try openFile()
        let now = configuration.time.now().instant
        var last = streams.startIndex
        for id in ids {
            if !streams.indices.contains(last) || streams[last].number != id.stream {
                guard let index = streams.firstIndex(where: { $0.number == id.stream }) else { continue }
                last = index
            }
            streams[last].settle(id, now: now, &receipts)
        }
        let unrecorded = streams.reduce(0) { $0 + $1.unrecorded }
        if unrecorded > 0 {
            schedule.settled(unrecorded, isLast: !streams.contains(where: { $0.storedUnderWay > 0 }), now: now)
            commitDue(now: now)
        }
        tell()
        startTimer(now: now)
    }

    /// The upstream will never take these messages, for the reasons given: they are set aside in the file, and gap
    /// records take their places. Where the disk takes nothing they are not kept: what follows them must not wait for
    /// the disk. Cost: one sync.
    /// - Returns: the records, which are on their way now. A record that is refused itself is settled instead: that it
    ///   was refused is in the log.
    /// - Throws: when the file cannot be read: nothing has changed.
    package func setAside(_ refused: [(id: MessageID, reason: String)]) throws(OutboxError) -> [Claimed] {
        guard !refused.isEmpty else { return [] }
        let file = try openFile()
        let gapTopic = configuration.gapTopic
        var drafts = streams
        var replaced = Replaced()
        do throws(SQLiteError) {
            try withLogRestarted(file) { () throws(SQLiteError) in
                drafts = streams
                try file.transaction(doing: "set messages aside in") { () throws(SQLiteError) in
                    replaced = try Self.replace(refused, in: &drafts) { stream, id, reason throws(SQLiteError) in
                        try stream.setAside(id, reason: reason, file, gapTopic: gapTopic)
                    }
                    for draft in drafts where draft.mustWrite { try draft.writeCounters(file) }
                }
            }
        } catch {
            failed(error)
            drafts = streams
            replaced = try perform { () throws(SQLiteError) in
                try Self.replace(refused, in: &drafts) { stream, id, _ throws(SQLiteError) in
                    try stream.leaveOut(id, file, gapTopic: gapTopic)
                }
            }
        }
        streams = drafts
        try settle(replaced.others)
        return replaced.records
    }

    /// What came of messages that were refused.
    private struct Replaced {
        var records: [Claimed] = []
        /// In whose place none stands.
        var others: [MessageID] = []
    }

    private static func replace(
        _ refused: [(id: MessageID, reason: String)], in streams: inout [Stream],
        _ body: (inout Stream, MessageID, String) throws(SQLiteError) -> Claimed?
    ) throws(SQLiteError) -> Replaced {
        var replaced = Replaced()
        for (id, reason) in refused {
            guard let index = streams.firstIndex(where: { $0.number == id.stream }) else { continue }
            if let record = try body(&streams[index], id, reason) {
                replaced.records.append(record)
            } else {
                replaced.others.append(id)
            }
        }
        return replaced
    }

    /// The link is gone: everything on its way is handed out again, in the original order, and what was in memory is
    /// stored.
    package func release() {
        for index in streams.indices { streams[index].release() }
        let wasAttached = isAttached
        isAttached = false
        let now = configuration.time.now().instant
        guard wasAttached || unstored.count > 0 else { return }
        schedule.isNeeded(now: now)
        commitDue(now: now)
        tell()
        startTimer(now: now)
    }

    // MARK: Looking

    /// What waits, by class, in the order in which the classes were first configured. Cost: one row per class.
    package func backlog() throws(OutboxError) -> [ClassBacklog] {
        let file = try openFile()
        let now = configuration.time.now().instant
        return try perform { () throws(SQLiteError) in
            try streams.map { stream throws(SQLiteError) in try stream.backlog(file, now: now, opened: opened) }
        }
    }

    /// Stores what is in memory, copies the log into the file and closes it. Every later call throws `.closed`. Cost: up to a log's worth of
    /// page writes.
    package func close() {
        isClosed = true
        guard file != nil else { return }
        isAttached = false
        try? commit(everything: true, now: configuration.time.now().instant)
        tell()
        timer?.task.cancel()
        timer = nil
        // The log is durable as it is: a checkpoint that fails here is made up for at the next opening.
        try? file?.connection.checkpoint()
        file = nil
    }

    // MARK: Helpers

    func openFile() throws(OutboxError) -> OutboxFile {
        guard let file else { throw isReplacing ? problem ?? .closed : .closed }
        return file
    }

    /// That there is no file outlasts what comes of it.
    private func note(_ problem: OutboxError?) {
        let problem = fileProblem ?? problem
        latestProblem.withLock { $0 = problem }
    }

    /// Takes note of an error; one that says that the file is damaged has it replaced.
    private func failed(_ error: SQLiteError) {
        note(.database(error))
        guard error.condition == .corrupt, !isReplacing, file != nil else { return }
        isReplacing = true
        // Not here: what failed goes on with the file, and a visitor must not wait for the disk.
        Task { await replaceDamagedFile(reason: error.reason) }
    }

    /// Moves the damaged file aside and goes on with an empty one, into which comes what memory holds. What is on its
    /// way out of the old one counts as unknown when it is acknowledged: it comes once more with what is salvaged.
    ///
    /// Until that can be done, as on a disk that has become read-only, it goes on without a file.
    private func replaceDamagedFile(reason: String) async {
        timer?.task.cancel()
        timer = nil
        file = nil
        var quarantined: String?
        var pauses = GrowingPause(GrowingPause.disk)
        while !isClosed {
            let first = (streams.map(\.number).max() ?? 0) + 1
            do throws(OutboxError) {
                if quarantined == nil { quarantined = try Opening.moveAside(configuration.path) }
                let (opening, _) = try Opening.make(configuration, streamsFrom: first)
                fileProblem = nil
                go(on: opening)
                break
            } catch {
                let isFirst = fileProblem == nil
                fileProblem = error
                if isFirst, let opening = try? Opening.standIn(configuration, streamsFrom: first) { go(on: opening) }
                note(nil)
                try? await Task.sleep(for: pauses.next())
            }
        }
        isReplacing = false
        if let quarantined { damaged(Recovery(quarantined: quarantined, reason: reason)) }
    }

    private func go(on opening: Opening) {
        let now = configuration.time.now().instant
        var renewed = opening.streams
        for old in streams {
            guard let index = renewed.firstIndex(where: { $0.name == old.name }) else { continue }
            renewed[index].takeOver(old)
        }
        file = opening.file
        streams = renewed
        streamIndex = Self.index(of: renewed)
        noteEpochs()
        isEpochUntold = false
        schedule = CommitSchedule()
        schedule.isNeeded(now: now)
        note(nil)
        commitDue(now: now)
        tell()
        available()
        startTimer(now: now)
    }

    /// Drops what has waited for too long. While the disk fails each of them is told by itself when its turn comes.
    private func expire(_ file: OutboxFile) {
        guard !isVisited else { return }
        let now = configuration.time.now().instant
        do throws(SQLiteError) {
            for index in streams.indices where try streams[index].hasExpired(file, now: now, opened: opened) {
                var draft = streams[index]
                try withLogRestarted(file) { () throws(SQLiteError) in
                    draft = streams[index]
                    _ = try file.transaction(doing: "drop expired messages of") { () throws(SQLiteError) in
                        try draft.commit(0, file, now: now, opened: opened)
                    }
                }
                streams[index] = draft
            }
        } catch {
            // A commit is tried from now on: its success is what ends the problem.
            if problem == nil { schedule.failed(now: now) }
            failed(error)
            schedule.isNeeded(now: now)
            startTimer(now: now)
        }
    }

    func perform<R>(_ body: () throws(SQLiteError) -> R) throws(OutboxError) -> R {
        do throws(SQLiteError) {
            return try body()
        } catch {
            throw .database(error)
        }
    }
}
