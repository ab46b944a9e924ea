import Glibc
import Linux
package import Logging
package import Readings
import Synchronization

/// The sensors, as the rest of the gateway sees them: commands go in, arrivals and snapshots come out.
///
/// Starts nothing by itself. ``run(_:opened:)`` is one attempt at one sensor, made again after a failure by the
/// gateway's supervisor. Sensors come and go while others run, which do not notice. Safe to use from any thread.
package final class SensorHub: Sendable {
    package struct Entry: Sendable {
        package var id: DeviceID
        /// The driver's name.
        package var driver: String
        /// Where its samples are published.
        package var topic: String
        /// Where it takes commands, when it does: this topic, and one level below it for each of its metrics.
        package var commandTopic: String
        package var sensor: any Sensor

        /// - Parameter commandTopic: `cmd/` and the id unless given.
        package init(id: DeviceID, driver: String, topic: String, commandTopic: String? = nil, sensor: any Sensor) {
            self.id = id
            self.driver = driver
            self.topic = topic
            self.commandTopic = commandTopic ?? "cmd/\(id)"
            self.sensor = sensor
        }

        /// The topics that command it.
        package var commandTopics: [String] { sensor.commands.map(commandTopic(for:)) }

        fileprivate func commandTopic(for metric: String?) -> String {
            metric.map { "\(commandTopic)/\($0)" } ?? commandTopic
        }
    }

    /// All that is known of one sensor.
    private struct Member: Sendable {
        var entry: Entry
        var snapshot: SensorSnapshot
        /// Made when it first runs, and there until it is removed: a command waits out a restart.
        var mailbox: CommandMailbox?
        /// Since when it has not been working; `nil` while it works.
        var failingSince: Instant?
        /// Its present failure ended an attempt: the supervisor tells it, and when it is over.
        var hasEnded = false
        var refusals = DoublingThrottle()
    }

    private struct CommandTarget: Sendable {
        var id: DeviceID
        var metric: String?
    }

    private struct State: Sendable {
        var members: [DeviceID: Member] = [:]
        /// In the order in which they came.
        var order: [DeviceID] = []
        var targets: [String: CommandTarget] = [:]
        var poller: DescriptorPoller?
        var isClosed = false
    }

    private let state = Mutex(State())
    private let watchers = DeliveryWatchers()
    private let shared = SharedResources()
    private let time: any TimeSource
    private let logger: Logger
    private let directory: String?
    private let deliver: @Sendable (Arrival) -> Void

    /// - Parameters:
    ///   - entries: those that are there from the start.
    ///   - directory: where sensors keep small files of their own; made when it is missing.
    ///   - deliver: takes each arrival; called on the sensors' tasks, must not block, and bounds what it keeps.
    package init(
        _ entries: [Entry] = [], time: any TimeSource, directory: String? = nil, logger: Logger,
        deliver: @escaping @Sendable (Arrival) -> Void
    ) {
        self.directory = directory
        self.time = time
        self.logger = logger
        self.deliver = deliver
        for entry in entries { add(entry) }
    }

    /// The topics that command one of `entries`.
    package static func commandTopics(of entries: [Entry]) -> Set<String> { Set(entries.flatMap(\.commandTopics)) }

    // MARK: Coming and going

    /// Takes a sensor in, to be run. One of the same id is replaced, and must not be running: what it counted, and
    /// commands that wait for it, are the new one's.
    package func add(_ entry: Entry) {
        state.withLock { state in
            if state.members[entry.id] == nil {
                state.order.append(entry.id)
                state.members[entry.id] = Member(
                    entry: entry, snapshot: SensorSnapshot(id: entry.id, driver: entry.driver))
            } else {
                state.targets = state.targets.filter { $0.value.id != entry.id }
                state.members[entry.id]?.entry = entry
                state.members[entry.id]?.snapshot.driver = entry.driver
                if entry.sensor.commands.isEmpty { state.members[entry.id]?.mailbox = nil }
            }
            for metric in entry.sensor.commands {
                state.targets[entry.commandTopic(for: metric)] = CommandTarget(id: entry.id, metric: metric)
            }
        }
    }

    /// Forgets a sensor, which must not be running. Nothing happens where there is none of this id.
    package func remove(_ id: DeviceID) {
        state.withLock { state in
            state.members[id] = nil
            state.order.removeAll { $0 == id }
            state.targets = state.targets.filter { $0.value.id != id }
        }
        watchers.wake { $0 == id }
    }

    /// Ends every attempt, and lets none begin: the sensors deliver nothing any more.
    package func close() {
        let poller = state.withLock { state in
            state.isClosed = true
            return state.poller.take()
        }
        poller?.stop()
    }

    // MARK: Running

    /// Opens a sensor and delivers what it measures, until the task is cancelled, or the hub is closed.
    /// - Parameter opened: called each time the sensor works; from any thread, cheap.
    /// - Throws: when the device fails. It is closed then, and can be run again.
    package func run(_ id: DeviceID, opened: @escaping @Sendable () -> Void = {}) async throws(SensorError) {
        guard let (entry, context) = try prepare(id, opened: opened) else { return }
        defer { context.commands.abandon() }
        do throws(SensorError) {
            try await entry.sensor.run(context)
        } catch {
            update(id) { $0.snapshot.restarts += 1 }
            fail(id, error, hasEnded: true)
            throw error
        }
        // A sensor that has nothing more to say, such as a recording that was played, stays as it is.
        _ = await context.poller.firstReadable(of: [])
    }

    /// - Returns: `nil` where there is no such sensor, or the hub is closed.
    private func prepare(
        _ id: DeviceID, opened: @escaping @Sendable () -> Void
    ) throws(SensorError) -> (Entry, SensorContext)? {
        if let directory { mkdir(directory, 0o750) }
        return try state.withLock { state throws(SensorError) in
            guard let member = state.members[id], !state.isClosed else { return nil }
            let poller: DescriptorPoller
            if let there = state.poller { poller = there } else { poller = try DescriptorPoller() }
            state.poller = poller
            let mailbox: CommandMailbox
            if let there = member.mailbox {
                mailbox = there
            } else {
                mailbox = try CommandMailbox(isUsed: !member.entry.sensor.commands.isEmpty)
            }
            state.members[id]?.mailbox = mailbox
            if member.failingSince == nil { state.members[id]?.snapshot.state = .starting }
            let context = SensorContext(
                id: id, time: time, poller: poller, commands: mailbox, shared: shared, directory: directory,
                tell: { [self] event in
                    take(event, from: id)
                    if case .opened = event { opened() }
                })
            return (member.entry, context)
        }
    }

    // MARK: Asking

    /// Every sensor's state, in the order in which they came.
    package func snapshot() -> [SensorSnapshot] {
        state.withLock { state in state.order.compactMap { state.members[$0]?.snapshot } }
    }

    /// One sensor's state; `nil` where there is none of this id.
    package func snapshot(of id: DeviceID) -> SensorSnapshot? { state.withLock { $0.members[id]?.snapshot } }

    /// What is wrong with a sensor right now; `nil` while it works.
    package func problem(of id: DeviceID) -> SensorError? {
        if case .failed(let error)? = snapshot(of: id)?.state { error } else { nil }
    }

    /// Waits for the sensor's next delivery, or until the task is cancelled; it is then in the snapshot.
    package func nextDelivery(of id: DeviceID) async { await watchers.next(of: id) }

    /// Gives a publish to the sensor whose command topic it came to; false when it is none's. Does not block. A command that
    /// comes before the sensor has begun waits for it.
    /// - Parameter done: called once, on any thread, when the command is carried out, refused, or its sensor has failed.
    @discardableResult
    package func command(_ topic: String, payload: [UInt8], done: @escaping @Sendable () -> Void = {}) -> Bool {
        let found = state.withLock { state -> (target: CommandTarget, mailbox: CommandMailbox?, hasFailed: Bool)? in
            guard let target = state.targets[topic] else { return nil }
            state.members[target.id]?.snapshot.commands += 1
            if state.members[target.id]?.mailbox == nil {
                state.members[target.id]?.mailbox = try? CommandMailbox(isUsed: true)
            }
            return (target, state.members[target.id]?.mailbox, state.members[target.id]?.failingSince != nil)
        }
        guard let (target, mailbox, hasFailed) = found else { return false }
        let command = SensorCommand(metric: target.metric, payload: payload)
        guard let mailbox, mailbox.put(command, done: done) else {
            refuse(target.id, command, reason: "the sensor does not take commands right now")
            done()
            return true
        }
        if hasFailed { mailbox.abandon() }
        return true
    }

    // MARK: What sensors tell

    private func take(_ event: SensorContext.Event, from id: DeviceID) {
        switch event {
        case .opened: works(id)
        case .emitted(let body, let time, let raw):
            let topic = update(id) { member in
                member.snapshot.samples += 1
                member.snapshot.raw = raw ?? body.raw
                member.snapshot.last = .init(body: body, time: time)
                return member.entry.topic
            }
            guard let topic else { return }
            deliver(Arrival(source: .sensor(id), topic: topic, body: body, time: time))
            watchers.wake { $0 == id }
        case .dropped(let count): update(id) { $0.snapshot.dropped += count }
        case .failing(let error): fail(id, error, hasEnded: false)
        case .counted(let name, let value): update(id) { $0.snapshot.set(name, to: value) }
        case .refused(let command, let reason): refuse(id, command, reason: reason)
        case .offered(let utc, let instant):
            update(id) { $0.snapshot.offeredTime = .init(utc: utc, at: instant) }
            time.offer(utc: utc, at: instant)
        }
    }

    private func works(_ id: DeviceID) {
        let now = time.now().instant
        let recovered = update(id) { member -> (away: Duration, resource: String?)? in
            member.snapshot.state = .running
            guard let since = member.failingSince else { return nil }
            member.failingSince = nil
            return member.hasEnded ? nil : (now - since, member.entry.sensor.claim?.resource)
        }
        guard let (away, resource) = recovered ?? nil else { return }
        var metadata: Logger.Metadata = ["sensor": "\(id)", "away": "\(away.inSeconds)"]
        if let resource { metadata["on"] = "\(resource)" }
        logger.notice("a sensor works again", metadata: metadata)
    }

    /// Tells a failure once, however often the sensor meets it: in the snapshot, and to those that follow its topics. In
    /// the log as well where the sensor goes on trying by itself; the end of an attempt is the supervisor's to tell.
    private func fail(_ id: DeviceID, _ error: SensorError, hasEnded: Bool) {
        let now = time.now().instant
        let topic = update(id) { member -> String? in
            let isNews = if case .failed(error) = member.snapshot.state { false } else { true }
            member.snapshot.state = .failed(error)
            member.failingSince = member.failingSince ?? now
            member.hasEnded = hasEnded
            return isNews ? member.entry.topic : nil
        }
        guard let topic = topic ?? nil else { return }
        if !hasEnded {
            logger.warning("a sensor does not work", metadata: ["sensor": "\(id)", "error": "\(error)"])
        }
        deliver(
            Arrival(
                source: .sensor(id), topic: topic, body: .unavailable(reason: error.summary), time: time.now()))
    }

    private func refuse(_ id: DeviceID, _ command: SensorCommand, reason: String) {
        let told = update(id) { member in
            member.snapshot.refusedCommands += 1
            member.snapshot.lastRefusal = reason
            return member.refusals.note()
        }
        guard let count = told ?? nil else { return }
        logger.warning(
            "a command was refused",
            metadata: [
                "sensor": "\(id)", "value": "\(command.metric ?? "-")", "reason": "\(reason)", "so_far": "\(count)",
            ])
    }

    /// - Returns: `nil` where there is no such sensor any more.
    @discardableResult
    private func update<R: Sendable>(_ id: DeviceID, _ change: (inout Member) -> R) -> R? {
        state.withLock { state in
            guard var member = state.members.removeValue(forKey: id) else { return nil }
            defer { state.members[id] = member }
            return change(&member)
        }
    }
}

extension Duration {
    /// "12.3 s".
    fileprivate var inSeconds: String { "\(Double(wholeNanoseconds / 100_000_000) / 10) s" }
}

extension Arrival.Body {
    /// The bytes that came, for `sensor read`.
    fileprivate var raw: RawReading? {
        if case .payload(let bytes) = self { .bytes(bytes) } else { nil }
    }
}
