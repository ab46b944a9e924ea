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
    /// Why the last commit failed, or why there is no file; `nil` once one has succeeded. Meanwhile messages wait in
    /// memory, as far as that goes.
    package nonisolated var problem: OutboxError? { latestProblem.withLock { $0 } }

    private nonisolated let latestCondition = Mutex(OutboxCondition())
    /// How the file is, for `status`: cheap, from any thread.
    package nonisolated var condition: OutboxCondition { latestCondition.withLock { $0 } }

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

    private(set) var configuration: Configuration
    nonisolated let configurationPath: String
    private nonisolated let configurationTime: any TimeSource
    /// Bounds of classes that were in the settings when this process began and are no more.
    private var retiredLimits: [DeliveryClass: ClassLimits] = [:]
    private let settled: @Sendable ([SettleToken]) -> Void
    private let rejected: @Sendable ([SettleToken]) -> Void
    let noticed: @Sendable (OutboxNotice) -> Void
    let available: @Sendable () -> Void

    /// `nil` once closed.
    var file: OutboxFile?
    var streams: [Stream]
    private var streamIndex: [DeliveryClass: Int]
    /// The number of the next stream that is made.
    private var nextStreamNumber: Int64
    /// Streams that were made since the file was opened.
    private(set) var streamsMade = 0
    /// When this process opened the file: where the age of an earlier boot's messages is counted from.
    let opened: Instant
    /// Which classes a claim begins with that is too small for all.
    private var turn = 0
    private var retained = RetainedTopics()
    private var receipts = Receipts()
    private var schedule = CommitSchedule()
    private var space: DiskSpace
    /// Files may have come that are to be salvaged.
    nonisolated let damage = OneSignal()
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
    /// How often memory had to do without a file.
    private var memoryPeriods = 0
    private(set) var isClosed = false
    /// On another thread than the outbox's own, which must not wait for the disk.
    package private(set) var isVisited = false

    /// Opens or creates the store. Blocks for a few page reads, whatever the backlog, and up to
    /// ``Configuration/lockTimeoutMilliseconds`` when another process holds the file.
    /// - Parameters:
    ///   - settled: called on the outbox's thread with the tokens of arrivals that are safe: stored, or acknowledged
    ///     upstream. Those of one class come in their order.
    ///   - rejected: called likewise with the tokens whose message, or another of the same arrival, was refused. They
    ///     must not be acknowledged as kept.
    ///   - noticed: called likewise with what happened to the file, for the log. ``damagedFiles`` has what was damaged.
    ///   - available: called, at home in the outbox, when there may be something new to claim. None of the four may
    ///     block: the outbox waits for it.
    /// - Throws: when the file is in use or of a newer version, or cannot be opened. A damaged file does not throw: it is
    ///   moved aside, see ``recovery``. With ``Configuration/startsWithoutFile`` one that cannot be opened does not throw
    ///   either: the outbox works in memory until it can be, see ``condition``.
    package init(
        configuration: Configuration,
        settled: @escaping @Sendable ([SettleToken]) -> Void,
        rejected: @escaping @Sendable ([SettleToken]) -> Void = { _ in },
        noticed: @escaping @Sendable (OutboxNotice) -> Void = { _ in },
        available: @escaping @Sendable () -> Void
    ) throws(OutboxError) {
        do throws(ThreadStartError) {
            executor = try ThreadExecutor(name: "outbox")
        } catch {
            throw .thread(error)
        }
        let opening: Opening
        var failure: OutboxError?
        do throws(OutboxError) {
            (opening, recovery) = try Opening.make(configuration)
        } catch {
            guard configuration.startsWithoutFile, error.isPassing else { throw error }
            failure = error
            recovery = nil
            opening = try Opening.inMemory(configuration, period: 0)
        }
        file = opening.file
        streams = opening.streams
        streamIndex = Self.index(of: opening.streams)
        nextStreamNumber = failure == nil ? opening.nextStreamNumber : 1
        ownEpochs = Mutex(Self.epochs(of: opening.streams))
        configurationPath = configuration.path
        configurationTime = configuration.time
        self.configuration = configuration
        space = DiskSpace(minimumFree: configuration.minimumFree)
        ballast = Ballast(path: "\(configuration.path)-reserve", bytes: configuration.minimumFree / 2)
        self.settled = settled
        self.rejected = rejected
        self.noticed = noticed
        self.available = available
        opened = configuration.time.now().instant
        isReplacing = failure != nil
        memoryPeriods = failure == nil ? 0 : 1
        fileProblem = failure
        latestProblem.withLock { $0 = failure }
        if let recovery { noteRecovery(recovery) }
        if failure != nil {
            Task { [weak self] in await self?.openFileLater() }
        } else if opening.streams.contains(where: { $0.isInDoubt }) {
            startCounting()
        }
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
    /// A class that the outbox does not know gets a stream with the usual limits: no entry keeps another from being taken.
    /// - Returns: what could not be taken, in its order, to be offered again before anything newer: memory is full and
    ///   the commit failed, ``problem`` says why. Classes with ``ClassLimits/isReserved`` have memory of their own.
    /// - Throws: `.closed`; nothing was taken then.
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
        take(entries, places(of: entries), now: now)
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
            streams[place(of: loss.deliveryClass)].lose(
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
    private func places(of entries: [Entry]) -> [Int] {
        var places: [Int] = []
        places.reserveCapacity(entries.count)
        var last = streams.startIndex
        for entry in entries {
            let name = entry.message.deliveryClass
            if !streams.indices.contains(last) || streams[last].name != name { last = place(of: name) }
            places.append(last)
        }
        return places
    }

    /// A class's stream. One that is missing is made, in memory: the file gets to know it with the next commit.
    private func place(of name: DeliveryClass) -> Int {
        if let index = streamIndex[name] { return index }
        guard let file else { preconditionFailure("a stream is made while there is a file") }
        add([makeStream(name, file)])
        return streams.endIndex - 1
    }

    private func makeStream(_ name: DeliveryClass, _ file: OutboxFile) -> Stream {
        // In memory alone, numbers are others than those of files.
        let number = fileProblem == nil ? nextStreamNumber : (streams.map(\.number).max() ?? 0) + 1
        if fileProblem == nil { nextStreamNumber += 1 }
        streamsMade += 1
        return Opening.newStream(name, number: number, file, limits: configuration.classes[name] ?? ClassLimits())
    }

    /// Streams have come.
    func add(_ new: [Stream]) {
        streams += new
        streamIndex = Self.index(of: streams)
        noteEpochs()
    }

    /// A salvage uses numbers of streams up to this one.
    func reserveStreamNumbers(through number: Int64) { nextStreamNumber = max(nextStreamNumber, number + 1) }

    // MARK: Settings

    /// Other settings are in force from now on; nothing that waits or is on its way is lost by it.
    ///
    /// A new class has its stream at once. Where a bound has become smaller, what the class holds beyond it goes as its
    /// ``ClassLimits/overflow`` says, with a gap record: the oldest of a class that drops those, and nothing of the
    /// others, which only take nothing new. A class that is no longer in the settings delivers what it holds, within
    /// the bounds that it had.
    /// - Parameters:
    ///   - classes: as ``Configuration/classes``.
    ///   - minimumFree: as ``Configuration/minimumFree``.
    ///   - window: as ``Configuration/window``.
    package func reconfigure(
        classes: [DeliveryClass: ClassLimits], minimumFree: Int64, window: Int
    ) throws(OutboxError) {
        guard !isClosed else { throw .closed }
        for (name, limits) in configuration.classes where classes[name] == nil { retiredLimits[name] = limits }
        for name in classes.keys { retiredLimits[name] = nil }
        configuration.classes = classes
        configuration.window = window
        if minimumFree != configuration.minimumFree {
            configuration.minimumFree = minimumFree
            space = DiskSpace(minimumFree: minimumFree)
            _ = ballast.release()
            ballast = Ballast(path: ballast.path, bytes: minimumFree / 2)
            if minimumFree == 0 {
                for index in streams.indices { streams[index].grow(byAtMost: .max) }
                latestShortage.withLock { $0 = nil }
            }
        }
        for index in streams.indices { streams[index].limits = limits(of: streams[index].name) }
        guard let file else { return }
        let missing = classes.keys.filter { streamIndex[$0] == nil }.sorted { $0.name < $1.name }
        for name in missing { add([makeStream(name, file)]) }
        commitSoon()
        available()
    }

    func limits(of name: DeliveryClass) -> ClassLimits { configuration.limits(of: name, retired: retiredLimits) }

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

    /// There is something to write, outside of what was told to the schedule.
    func commitSoon() {
        let now = configuration.time.now().instant
        schedule.isNeeded(now: now)
        commitDue(now: now)
        tell()
        startTimer(now: now)
    }

    /// Commits what is due. For the timer, and for tests that move the clock by hand.
    package func tick() {
        timer = nil
        let now = configuration.time.now().instant
        commitDue(now: now)
        tell()
        if streams.contains(where: { $0.hasUnclaimed }) { available() }
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
            // All classes come into the file together: their numbers are in the order of the settings.
            if drafts.contains(where: { $0.differsFromFile }) {
                for index in drafts.indices { drafts[index].mustBeKnown() }
            }
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
            let isInDoubt = streams.contains { $0.isInDoubt }
            // A crash leaves a log, which says as much; after a close, the file must say so itself.
            if !isInDoubt || isClosed { try file.setCounted(!isInDoubt) }
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
        let waiting = streams.indices.filter { streams[$0].hasUnclaimed }
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
            for (index, share) in zip(order, shares) where !budget.isSpent && streams[index].hasUnclaimed {
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
        var replaced = Replaced()
        do throws(SQLiteError) {
            try withLogRestarted(file) { () throws(SQLiteError) in
                replaced = try change(file, doing: "set messages aside in") { drafts throws(SQLiteError) in
                    try Self.replace(refused, in: &drafts) { stream, id, reason throws(SQLiteError) in
                        try stream.setAside(id, reason: reason, file, gapTopic: gapTopic)
                    }
                }
            }
        } catch {
            failed(error)
            var drafts = streams
            replaced = try perform { () throws(SQLiteError) in
                try Self.replace(refused, in: &drafts) { stream, id, _ throws(SQLiteError) in
                    try stream.leaveOut(id, file, gapTopic: gapTopic)
                }
            }
            streams = drafts
        }
        try settle(replaced.others)
        return replaced.records
    }

    /// One transaction that changes streams. It works on copies, which take the originals' places when the COMMIT has
    /// succeeded; the counters are written at its end.
    func change<R>(
        _ file: OutboxFile, doing: String, _ body: (inout [Stream]) throws(SQLiteError) -> R
    ) throws(SQLiteError) -> R {
        var drafts = streams
        let result = try file.transaction(doing: doing) { () throws(SQLiteError) in
            let result = try body(&drafts)
            for index in drafts.indices { try drafts[index].writeCounters(file) }
            return result
        }
        streams = drafts
        return result
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
        let all = try perform { () throws(SQLiteError) in
            try streams.map { stream throws(SQLiteError) in try stream.backlog(file, now: now, opened: opened) }
        }
        // What is no longer in the settings is of no interest once it is empty.
        return all.filter { $0.count > 0 || $0.setAside > 0 || retiredLimits[$0.deliveryClass] == nil }
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
        damage.raise()
        // The log is durable as it is: a checkpoint that fails here is made up for at the next opening. Without the note
        // that the counters are in doubt, the log says so.
        if file?.isCounted == streams.allSatisfy({ !$0.isInDoubt }) { try? file?.connection.checkpoint() }
        file = nil
    }

    // MARK: Helpers

    func openFile() throws(OutboxError) -> OutboxFile {
        guard let file else { throw isReplacing ? problem ?? .closed : .closed }
        return file
    }

    /// While there is no file, that stays the cause, and not the errors that follow from it.
    private func note(_ problem: OutboxError?) {
        let problem = fileProblem ?? problem
        latestProblem.withLock { $0 = problem }
        let now = configuration.time.now()
        latestCondition.withLock { condition in
            let new = problem.map { OutboxCondition.Problem(reason: $0.reason, remedy: $0.remedy, since: now) }
            condition.memoryOnly = fileProblem == nil ? nil : new?.going(on: condition.memoryOnly)
            condition.commitFailure = fileProblem == nil ? new?.going(on: condition.commitFailure) : nil
        }
    }

    private nonisolated func noteRecovery(_ recovery: Recovery) {
        let now = configurationTime.now()
        latestCondition.withLock { $0.recovery = (recovery, at: now) }
    }

    func noteMended(_ difference: CountDifference) {
        latestCondition.withLock { condition in
            condition.mended.removeAll { $0.deliveryClass == difference.deliveryClass }
            condition.mended.append(difference)
        }
        noticed(.mended(difference))
    }

    /// - Parameter error: why a damaged file cannot be brought in yet; `nil`: it was.
    func noteSalvage(_ path: String, _ error: OutboxError?) {
        let now = configuration.time.now()
        let isNews = latestCondition.withLock { condition in
            let old = condition.unsalvaged[path]
            let new = error.map { OutboxCondition.Problem(reason: $0.reason, remedy: $0.remedy, since: now) }
            condition.unsalvaged[path] = new?.going(on: old)
            return new?.reason == old?.reason ? nil : new
        }
        if let isNews { noticed(.unsalvaged(path: path, isNews)) }
    }

    /// Somebody has taken the others away.
    func forgetSalvageProblems(exceptOf paths: Set<String>) {
        latestCondition.withLock { condition in
            condition.unsalvaged = condition.unsalvaged.filter { paths.contains($0.key) }
        }
    }

    // MARK: Files

    /// Takes note of an error; one that says that the file is damaged has it replaced.
    func failed(_ error: SQLiteError) {
        note(.database(error))
        guard error.condition == .corrupt, !isReplacing, file != nil else { return }
        isReplacing = true
        // Not here: what failed goes on with the file, and a visitor must not wait for the disk.
        Task { await replaceDamagedFile(reason: error.reason) }
    }

    /// Moves the damaged file aside and goes on with an empty one, into which comes what memory holds. What is on its
    /// way out of the old one counts as unknown when it is acknowledged: it comes once more with what is salvaged.
    private func replaceDamagedFile(reason: String) async {
        timer?.task.cancel()
        timer = nil
        file = nil
        var quarantined: String?
        await openFileEventually { () throws(OutboxError) in
            if quarantined == nil { quarantined = try Opening.moveAside(configuration.path) }
            return try Opening.make(configuration, streamsFrom: nextStreamNumber).0
        }
        guard let quarantined else { return }
        let recovery = Recovery(quarantined: quarantined, reason: reason)
        noteRecovery(recovery)
        noticed(.replaced(recovery))
        damage.raise()
    }

    /// At the start there was no file that could be opened: takes it into use as soon as it can be.
    private func openFileLater() async {
        note(nil)
        if let problem = condition.memoryOnly { noticed(.memoryOnly(problem)) }
        var recovery: Recovery?
        try? await Task.sleep(for: GrowingPause.disk.lowerBound)
        await openFileEventually { () throws(OutboxError) in
            let (opening, moved) = try Opening.make(configuration, streamsFrom: nextStreamNumber)
            recovery = moved ?? recovery
            return opening
        }
        guard let recovery else { return }
        noteRecovery(recovery)
        noticed(.replaced(recovery))
    }

    /// Until a file can be opened it goes on in memory: nothing is told to be safe then until the upstream has it.
    private func openFileEventually(_ open: () throws(OutboxError) -> Opening) async {
        var pauses = GrowingPause(GrowingPause.disk)
        while !isClosed {
            do throws(OutboxError) {
                let opening = try open()
                let wasInMemory = fileProblem != nil
                fileProblem = nil
                isReplacing = false
                go(on: opening)
                if wasInMemory { noticed(.fileInUse(path: configuration.path)) }
                damage.raise()
                return
            } catch {
                fileProblem = error
                if file == nil, let opening = try? Opening.inMemory(configuration, period: memoryPeriods) {
                    memoryPeriods += 1
                    go(on: opening)
                    if let problem = condition.memoryOnly { noticed(.memoryOnly(problem)) }
                }
                note(nil)
                try? await Task.sleep(for: pauses.next())
            }
        }
        isReplacing = false
    }

    /// From now on the outbox works with this file: what memory holds comes behind what is there.
    private func go(on opening: Opening) {
        let now = configuration.time.now().instant
        let isFile = fileProblem == nil
        var renewed = opening.streams
        for index in renewed.indices { renewed[index].limits = limits(of: renewed[index].name) }
        if isFile { nextStreamNumber = max(nextStreamNumber, opening.nextStreamNumber) }
        // Messages in memory whose class this file does not know.
        for old in streams where !renewed.contains(where: { $0.name == old.name }) && old.unstored.count > 0 {
            let number = (renewed.map(\.number).max() ?? 0) + 1
            renewed.append(Opening.newStream(old.name, number: number, opening.file, limits: old.limits))
            if isFile { nextStreamNumber = max(nextStreamNumber, number + 1) }
        }
        for old in streams {
            guard let index = renewed.firstIndex(where: { $0.name == old.name }) else { continue }
            renewed[index].takeOver(old)
        }
        file = opening.file
        streams = renewed
        streamIndex = Self.index(of: renewed)
        streamsMade += 1
        noteEpochs()
        isEpochUntold = false
        schedule = CommitSchedule()
        schedule.isNeeded(now: now)
        note(nil)
        commitDue(now: now)
        tell()
        available()
        startTimer(now: now)
        if streams.contains(where: { $0.isInDoubt }) { startCounting() }
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
