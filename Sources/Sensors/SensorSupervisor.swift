import Glibc
package import Logging
package import Readings
import Synchronization

/// Runs every sensor as a task of its own. One that fails is reported, rests and is started again; the others do not
/// notice.
package final class SensorSupervisor: Sendable {
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
    }

    private let entries: [Entry]
    private let time: any TimeSource
    private let logger: Logger
    private let deliver: @Sendable (Arrival) -> Void
    private let directory: String?
    private let states: Mutex<[DeviceID: SensorSnapshot]>
    /// The mailboxes of sensors that run or are to run; `nil` for one that has ended.
    private let mailboxes = Mutex<[DeviceID: CommandMailbox?]>([:])
    private let shared = SharedResources()
    private let commandTargets: [String: CommandTarget]

    /// Who waits for a sensor's next delivery.
    private let watchers = Mutex<[Watcher]>([])

    private struct Watcher: Sendable {
        var number: UInt64
        var id: DeviceID
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct CommandTarget: Sendable {
        var id: DeviceID
        var metric: String?
    }
    private let progress = Mutex(Progress.waiting)

    private enum Progress {
        case waiting
        case running(Task<Void, Never>)
        case stopped
    }

    /// - Parameters:
    ///   - directory: where sensors keep small files of their own; made when it is missing.
    ///   - deliver: takes each arrival; called on the sensors' tasks, must not block, and bounds what it keeps.
    package init(
        _ entries: [Entry], time: any TimeSource, directory: String? = nil, logger: Logger,
        deliver: @escaping @Sendable (Arrival) -> Void
    ) {
        self.directory = directory
        self.entries = entries
        self.time = time
        self.logger = logger
        self.deliver = deliver
        states = Mutex(
            Dictionary(entries.map { ($0.id, SensorSnapshot(id: $0.id, driver: $0.driver)) }) { first, _ in first })
        commandTargets = Self.targets(of: entries)
    }

    private static func targets(of entries: [Entry]) -> [String: CommandTarget] {
        var targets: [String: CommandTarget] = [:]
        for entry in entries {
            for metric in entry.sensor.commands {
                let topic = metric.map { "\(entry.commandTopic)/\($0)" } ?? entry.commandTopic
                targets[topic] = CommandTarget(id: entry.id, metric: metric)
            }
        }
        return targets
    }

    /// Waits for the sensor's next delivery, or until the task is cancelled; it is then in the snapshot.
    package func nextDelivery(of id: DeviceID) async {
        let number = UInt64.random(in: 0...UInt64.max)
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = watchers.withLock { watchers in
                    if Task.isCancelled { return true }
                    watchers.append(Watcher(number: number, id: id, continuation: continuation))
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            wake { $0.number == number }
        }
    }

    private func wake(_ isMeant: (Watcher) -> Bool) {
        let woken = watchers.withLock { watchers -> [Watcher] in
            guard !watchers.isEmpty else { return [] }
            let woken = watchers.filter(isMeant)
            watchers.removeAll(where: isMeant)
            return woken
        }
        for watcher in woken { watcher.continuation.resume() }
    }

    /// The topics that command one of `entries`.
    package static func commandTopics(of entries: [Entry]) -> Set<String> { Set(targets(of: entries).keys) }

    /// Gives a publish to the sensor whose command topic it came to; false when it is none's. Does not block.
    /// - Parameter done: called once, on any thread, when the command is carried out, refused, or its sensor has failed.
    @discardableResult
    package func command(_ topic: String, payload: [UInt8], done: @escaping @Sendable () -> Void = {}) -> Bool {
        guard let target = commandTargets[topic] else { return false }
        let command = SensorCommand(metric: target.metric, payload: payload)
        let hasFailed = update(target.id) { snapshot in
            snapshot.commands += 1
            return if case .failed = snapshot.state { true } else { false }
        }
        guard let mailbox = try? mailbox(of: target.id, isUsed: true), mailbox.put(command, done: done) else {
            refuse(target.id, command, reason: "the sensor does not take commands right now")
            done()
            return true
        }
        if hasFailed { mailbox.abandon() }
        return true
    }

    /// The sensor's mailbox, made when it is asked for first: a command that comes before the sensor has begun waits there.
    /// - Returns: `nil` when the sensor has ended.
    private func mailbox(of id: DeviceID, isUsed: Bool) throws(SensorError) -> CommandMailbox? {
        try mailboxes.withLock { mailboxes throws(SensorError) in
            if let known = mailboxes[id] { return known }
            let mailbox = try CommandMailbox(isUsed: isUsed)
            mailboxes[id] = .some(mailbox)
            return mailbox
        }
    }

    /// Every sensor's state, in the order of the settings.
    package func snapshot() -> [SensorSnapshot] {
        states.withLock { states in entries.compactMap { states[$0.id] } }
    }

    /// One sensor's state.
    package func snapshot(of id: DeviceID) -> SensorSnapshot? { states.withLock { $0[id] } }

    /// Runs until cancelled, or until `stop`; once.
    package func run() async {
        guard !entries.isEmpty else { return }
        if let directory { mkdir(directory, 0o750) }
        let poller: DescriptorPoller
        do {
            poller = try DescriptorPoller()
        } catch {
            logger.error("no sensor can run", metadata: ["error": "\(error)"])
            for entry in entries { fail(entry, error, nextAttempt: nil) }
            return
        }
        defer { poller.stop() }
        let task = progress.withLock { progress -> Task<Void, Never>? in
            // Stopped before it began, or run twice.
            guard case .waiting = progress else { return nil }
            let task = Task {
                await withTaskGroup(of: Void.self) { group in
                    for entry in entries {
                        group.addTask { await self.supervise(entry, poller: poller) }
                    }
                }
            }
            progress = .running(task)
            return task
        }
        guard let task else { return }
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// Ends every sensor for good; `run` returns once all are closed.
    package func stop() {
        let task = progress.withLock { progress -> Task<Void, Never>? in
            defer { progress = .stopped }
            return if case .running(let task) = progress { task } else { nil }
        }
        task?.cancel()
    }

    private func supervise(_ entry: Entry, poller: DescriptorPoller) async {
        var backoff = RestartBackoff()
        var random = SystemRandomNumberGenerator()
        let mailbox: CommandMailbox
        do throws(SensorError) {
            guard let own = try self.mailbox(of: entry.id, isUsed: !entry.sensor.commands.isEmpty) else { return }
            mailbox = own
        } catch {
            fail(entry, error, nextAttempt: nil)
            return
        }
        defer {
            mailboxes.withLock { $0[entry.id] = .some(nil) }
            mailbox.abandon()
        }
        let context = SensorContext(
            id: entry.id, time: time, poller: poller, commands: mailbox, shared: shared, directory: directory,
            tell: { [self] in take($0, from: entry) })
        while !Task.isCancelled {
            update(entry.id) { if case .failed = $0.state {} else { $0.state = .starting } }
            let started = time.now().instant
            do throws(SensorError) {
                try await entry.sensor.run(context)
                return
            } catch {
                let now = time.now().instant
                let rest = backoff.failed(startedAt: started, now: now, isAbsent: error.isAbsent, using: &random)
                update(entry.id) { $0.restarts += 1 }
                fail(entry, error, nextAttempt: now + rest)
                mailbox.abandon()
                if case .cancelled = await poller.firstReadable(of: [], within: rest) { return }
            }
        }
    }

    private func take(_ event: SensorContext.Event, from entry: Entry) {
        switch event {
        case .opened:
            let wasRunning = update(entry.id) { snapshot in
                defer { snapshot.state = .running }
                return if case .running = snapshot.state { true } else { false }
            }
            if !wasRunning { logger.info("sensor runs", metadata: ["sensor": "\(entry.id)"]) }
        case .emitted(let body, let time, let raw):
            update(entry.id) { snapshot in
                snapshot.samples += 1
                snapshot.raw = raw ?? body.raw
                snapshot.last = .init(body: body, time: time)
            }
            deliver(Arrival(source: .sensor(entry.id), topic: entry.topic, body: body, time: time))
            wake { $0.id == entry.id }
        case .dropped(let count): update(entry.id) { $0.dropped += count }
        case .failing(let error): fail(entry, error, nextAttempt: nil)
        case .counted(let name, let value): update(entry.id) { $0.set(name, to: value) }
        case .refused(let command, let reason): refuse(entry.id, command, reason: reason)
        case .offered(let utc, let instant):
            update(entry.id) { $0.offeredTime = .init(utc: utc, at: instant) }
            time.offer(utc: utc, at: instant)
        }
    }

    /// Tells it once: in the log, in the snapshot, and to whoever follows the sensor's topics.
    private func fail(_ entry: Entry, _ error: SensorError, nextAttempt: Instant?) {
        let isNews = update(entry.id) { snapshot in
            defer { snapshot.state = .failed(error, nextAttempt: nextAttempt) }
            if case .failed(let earlier, _) = snapshot.state { return earlier != error }
            return true
        }
        guard isNews else { return }
        logger.warning("sensor failed", metadata: ["sensor": "\(entry.id)", "error": "\(error)"])
        deliver(
            Arrival(
                source: .sensor(entry.id), topic: entry.topic, body: .unavailable(reason: error.summary),
                time: time.now()))
    }

    private func refuse(_ id: DeviceID, _ command: SensorCommand, reason: String) {
        let count = update(id) { snapshot in
            snapshot.refusedCommands += 1
            snapshot.lastRefusal = reason
            return snapshot.refusedCommands
        }
        // Every power of two: the first is news, the thousandth is not.
        guard count & (count - 1) == 0 else { return }
        logger.warning(
            "a command was refused",
            metadata: [
                "sensor": "\(id)", "value": "\(command.metric ?? "-")", "reason": "\(reason)", "so_far": "\(count)",
            ])
    }

    @discardableResult
    private func update<R: Sendable>(_ id: DeviceID, _ change: (inout SensorSnapshot) -> R) -> R {
        states.withLock { states in
            guard states[id] != nil else { preconditionFailure("every sensor has a state from the start") }
            return change(&states[id, default: SensorSnapshot(id: id, driver: "")])
        }
    }
}

extension Arrival.Body {
    /// The bytes that came, for `sensor read`.
    fileprivate var raw: RawReading? {
        if case .payload(let bytes) = self { .bytes(bytes) } else { nil }
    }
}
