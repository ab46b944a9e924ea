import Broker
import Logging
import Outbox
import Pipeline
import Readings
import Sensors
import Synchronization

/// Takes what waits in the intake through the pipeline into the outbox.
///
/// What the outbox cannot take, since its memory and the disk are full, it is offered again until it can: nothing is
/// acknowledged meanwhile, the intake fills, and the broker stops reading. So a full disk slows devices down and loses
/// nothing.
final class Ingest: Sendable {
    /// What is on its way from the intake to the outbox, for `status` and the watchdog.
    struct Progress: Sendable {
        var rounds: UInt64 = 0
        var forwarded: UInt64 = 0
        var undecodable: UInt64 = 0
        /// What had been at this gateway before, and went no further.
        var looped: UInt64 = 0
        var lastFailure: String?
        /// Each sensor's last readings, by metric in the order of their names.
        var readings: [DeviceID: [Reading]] = [:]
    }

    private struct Working: Sendable {
        var pipeline: ReadingPipeline
        /// What a visit could not hand over.
        var held: [OutboxStore.Entry] = []
        /// What was lost behind it.
        var losses: [Loss] = []
        /// What could not be made, and has not been told.
        var unmade = UnmadeMessages()
    }

    private let intake: GatewayIntake
    private let outbox: OutboxStore
    private let broker: BrokerServer
    private let time: any TimeSource
    private let logger: Logger
    /// Whether values can become stale, and what happens when that changes.
    private let expiry: Mutex<(isPossible: Bool, change: OneShotEvent)>
    /// Used at home in the outbox only: the lock is never contended.
    private let working: Mutex<Working>
    private let sensors: SensorHub
    private let sent: (@Sendable ([Message]) -> Void)?
    private let state = Mutex(Progress())

    /// How often values are looked at that may have become stale.
    private static let expiryInterval = Duration.milliseconds(250)
    /// Entries that wait for the outbox while newer ones are still looked at.
    private static let heldLimit = 8_192
    /// Series of one sensor that are kept for `status`.
    private static let shownSeries = 64

    /// - Parameter sent: sees every message just before the outbox gets it; the demo keeps its books with it.
    init(
        intake: GatewayIntake, pipeline: ReadingPipeline, outbox: OutboxStore, broker: BrokerServer,
        sensors: SensorHub, time: any TimeSource, logger: Logger,
        sent: (@Sendable ([Message]) -> Void)? = nil
    ) {
        self.intake = intake
        expiry = Mutex((pipeline.canExpire, OneShotEvent()))
        working = Mutex(Working(pipeline: pipeline))
        self.outbox = outbox
        self.broker = broker
        self.sensors = sensors
        self.time = time
        self.logger = logger
        self.sent = sent
    }

    var progress: Progress { state.withLock { $0 } }

    /// Runs until the intake is finished and empty, or the task is cancelled while the store fails.
    func run() async {
        intake.attachShortcut { [weak self] in self?.takeAtOnce() ?? false }
        await withTaskExecutorPreference(outbox.executor) { await self.takeAndExpire() }
    }

    private func takeAndExpire() async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.keepLookingForStaleValues() }
            tasks.addTask { await self.take(self.outbox) }
            // The clock never ends by itself.
            await tasks.next()
            tasks.cancelAll()
        }
    }

    /// Runs until cancelled. Costs nothing while no sensor's values can become stale.
    private func keepLookingForStaleValues() async {
        while !Task.isCancelled {
            let (isPossible, change) = expiry.withLock { $0 }
            guard isPossible else {
                await change.wait()
                continue
            }
            guard (try? await Task.sleep(for: Self.expiryInterval)) != nil else { return }
            intake.nudge()
        }
    }

    /// Processes by other rules and sensors from the next arrival on. Their classes are in the outbox already.
    /// - Returns: once the rules hold. What had come before is processed by the old ones.
    func reconfigure(rules: [ForwardRule], sensors: [DeviceID: Treatment], watched: [WatchedSensor]) async {
        await reconfigure(rules: rules, sensors: sensors, watched: watched, outbox)
    }

    private func reconfigure(
        rules: [ForwardRule], sensors: [DeviceID: Treatment], watched: [WatchedSensor], _ outbox: isolated OutboxStore
    ) {
        let now = time.now()
        // What has come so far belongs to the old rules.
        let waiting = intake.takeNow()
        let (canExpire, local) = working.withLock { working in
            if let waiting {
                let known = working.held.count
                working.held = process(waiting, with: &working)
                sent?(working.held.dropFirst(known).map(\.message))
            }
            let step = working.pipeline.reconfigure(rules: rules, sensors: sensors, watched: watched, now: now)
            working.held += step.messages.map { .init(message: $0, settle: nil) }
            return (working.pipeline.canExpire, step.local)
        }
        broker.publish(local)
        if waiting?.wasCongested == true { broker.resume() }
        state.withLock { $0.readings = $0.readings.filter { sensors[$0.key] != nil } }
        let change = expiry.withLock { expiry in
            defer { expiry = (canExpire, OneShotEvent()) }
            return expiry.change
        }
        change.signal()
        intake.nudge()
    }

    /// At home on the outbox's thread: what comes is on its way after one change of threads.
    private func take(_ outbox: isolated OutboxStore) async {
        var retry = Retry()
        while let taken = await intake.next() {
            let (held, entries) = working.withLock { ($0.held.count, process(taken, with: &$0)) }
            sent?(entries.dropFirst(held).map(\.message))
            let rest = offer(entries, outbox)
            if taken.wasCongested { broker.resume() }
            state.withLock { $0.rounds += 1 }
            working.withLock { $0.held = rest }
            noteLosses(outbox)
            guard let pause = retry.pause(isNeeded: !rest.isEmpty, now: time.now().instant) else { continue }
            logger.error(
                "messages cannot be taken; devices wait for their acknowledgement",
                metadata: ["waiting": "\(rest.count)", "error": "\(outbox.problem.map { "\($0)" } ?? "")"])
            // A retry interval, not a wait for something: a full disk tells nobody when it has room again. Unless there are
            // many, what is more urgent than those that wait may come meanwhile.
            let waiting = Task.detached { [intake] in
                try? await Task.sleep(for: pause)
                intake.nudge()
            }
            if rest.count > Self.heldLimit {
                await withTaskCancellationHandler {
                    await waiting.value
                } onCancel: {
                    waiting.cancel()
                }
                if Task.isCancelled { return }
            }
        }
        await offerRest(outbox)
    }

    /// When what could not be taken is offered again. Pure.
    struct Retry: Sendable {
        private var pauses = GrowingPause(GrowingPause.disk)
        private var due: Instant?

        /// - Returns: how long to wait; `nil` when nothing is to be offered again, or a wait is under way.
        mutating func pause(isNeeded: Bool, now: Instant) -> Duration? {
            guard isNeeded else {
                self = Retry()
                return nil
            }
            if let due, now < due { return nil }
            let pause = pauses.next()
            due = now + pause
            return pause
        }
    }

    /// The intake is empty and will stay so: what the outbox could not take is offered until the task is cancelled.
    private func offerRest(_ outbox: isolated OutboxStore) async {
        var rest = working.withLock { $0.held }
        while !rest.isEmpty {
            rest = offer(rest, outbox)
            working.withLock { [rest] in $0.held = rest }
            if !rest.isEmpty, (try? await Task.sleep(for: .milliseconds(100))) == nil { return }
        }
        working.withLock { working in
            for loss in working.unmade.takeAll() { working.losses.merge(loss) }
        }
        noteLosses(outbox)
    }

    /// Takes what has come, on the thread that it came on, when the outbox is idle: it is on its way then without any
    /// change of threads.
    private func takeAtOnce() -> Bool {
        outbox.visit { outbox in
            guard outbox.isQuiet, working.withLock({ $0.held.isEmpty }) else { return false }
            guard let taken = intake.takeNow() else { return true }
            let entries = working.withLock { process(taken, with: &$0) }
            sent?(entries.map(\.message))
            let rest = offer(entries, outbox)
            state.withLock { $0.rounds += 1 }
            if !rest.isEmpty {
                working.withLock { $0.held = rest }
                intake.nudge()
            }
            noteLosses(outbox)
            if taken.wasCongested { broker.resume() }
            return true
        } ?? false
    }

    private func process(_ taken: GatewayIntake.Taken, with working: inout Working) -> [OutboxStore.Entry] {
        let batch = taken.batch
        for loss in taken.losses { working.losses.merge(loss) }
        let now = time.now()
        var entries = working.held
        working.held = []
        var local: [LocalMessage] = []
        var unforwarded: [SettleToken] = []
        entries.reserveCapacity(batch.count)
        for arrival in batch {
            if let properties = arrival.properties, properties.hasPassed({ outbox.isOwn(epoch: $0) }) {
                noteLoop(arrival.topic)
                // Sent again it would only come back again.
                if let token = arrival.settle { unforwarded.append(token) }
                continue
            }
            let step = working.pipeline.step(arrival, now: now.instant)
            // Who gets no acknowledgement sends it again, and again: what it commands is done when it is acknowledged.
            if case .payload(let payload) = arrival.body, case .device = arrival.source,
                arrival.settle == nil || !step.isHeld
            {
                sensors.command(arrival.topic, payload: payload)
            }
            working.unmade.add(step.lost, at: arrival.time)
            local += step.local
            if let last = step.messages.indices.last {
                for (index, message) in step.messages.enumerated() {
                    entries.append(
                        .init(
                            message: message, settle: index == last ? arrival.settle : nil, isContinued: index < last))
                }
            } else if let token = arrival.settle, !step.isHeld {
                unforwarded.append(token)
            }
            note(step, from: arrival.source)
        }
        if working.pipeline.canExpire {
            let step = working.pipeline.expire(now: now)
            working.unmade.add(step.lost, at: now)
            local += step.local
            entries += step.messages.map { .init(message: $0, settle: nil) }
            note(step.readings)
        }
        for loss in working.unmade.take(now: now.instant) { working.losses.merge(loss) }
        if let pause = working.unmade.wait(now: now.instant) {
            Task.detached { [intake] in
                try? await Task.sleep(for: pause)
                intake.nudge()
            }
        }
        if !local.isEmpty { broker.publish(local) }
        if !unforwarded.isEmpty { broker.settle(unforwarded) }
        return entries
    }

    private func noteLoop(_ topic: String) {
        let count = state.withLock { progress in
            progress.looped += 1
            return progress.looped
        }
        guard count & (count - 1) == 0 else { return }
        logger.warning(
            "a message has come back that had been here before; it goes no further",
            metadata: [
                "topic": "\(topic)", "so_far": "\(count)",
                "try": "look for gateways or bridges on the LAN that send to each other",
            ])
    }

    private func note(_ step: ReadingPipeline.Step, from source: Arrival.Source) {
        if let failure = step.failure {
            let (count, text) = state.withLock { progress in
                progress.undecodable += 1
                let text = "\(source.name): \(failure)"
                progress.lastFailure = text
                return (progress.undecodable, text)
            }
            // Every power of two: the first is news, the thousandth of a stuck device is not.
            if count & (count - 1) == 0 {
                logger.warning("a value could not be used", metadata: ["reason": "\(text)", "so_far": "\(count)"])
            }
        }
        if case .sensor = source { note(step.readings) }
    }

    private func note(_ readings: [Reading]) {
        guard !readings.isEmpty else { return }
        state.withLock { progress in
            for reading in readings {
                var known = progress.readings[reading.device] ?? []
                progress.readings[reading.device] = nil
                if let index = known.firstIndex(where: { $0.metric == reading.metric }) {
                    known[index] = reading
                } else if known.count < Self.shownSeries {
                    let place = known.firstIndex { ($0.metric ?? "") > (reading.metric ?? "") } ?? known.endIndex
                    known.insert(reading, at: place)
                }
                progress.readings[reading.device] = known
            }
        }
    }

    /// Tells the outbox what was lost, once what came before it has been taken.
    private func noteLosses(_ outbox: isolated OutboxStore) {
        let losses = working.withLock { working in
            guard working.held.isEmpty, !working.losses.isEmpty else { return [Loss]() }
            defer { working.losses = [] }
            return working.losses
        }
        guard !losses.isEmpty else { return }
        // What could not be made has been told one by one.
        let overflow = losses.filter { $0.reason == .overflow }.reduce(0) { $0 + $1.count }
        if overflow > 0 {
            logger.warning(
                "more came than could be taken; a gap record tells the upstream", metadata: ["lost": "\(overflow)"])
        }
        do throws(OutboxError) {
            try outbox.note(losses)
        } catch {
            // Another file is about to take the place of a damaged one: it is told then.
            logger.error("what was lost cannot be noted yet", metadata: ["error": "\(error)"])
            working.withLock { working in
                let later = working.losses
                working.losses = losses
                for loss in later { working.losses.merge(loss) }
            }
        }
    }

    /// - Returns: what the outbox cannot take now.
    private func offer(_ entries: [OutboxStore.Entry], _ outbox: isolated OutboxStore) -> [OutboxStore.Entry] {
        // Closed, it has taken nothing.
        let rest = (try? outbox.append(entries)) ?? entries
        state.withLock { $0.forwarded += UInt64(entries.count - rest.count) }
        return rest
    }
}

extension Arrival.Source {
    fileprivate var name: String {
        switch self {
        case .device(let id): "device \(id)"
        case .sensor(let id): "sensor \(id)"
        }
    }
}
