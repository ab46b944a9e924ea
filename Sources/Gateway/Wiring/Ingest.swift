import Broker
import Logging
import Outbox
import Pipeline
import Readings
import Sensors
import Synchronization

/// Takes what waits in the intake through the pipeline into the outbox, one transaction per round.
///
/// A commit that fails is tried again with the same messages until it succeeds: nothing is acknowledged meanwhile, the
/// intake fills, and the broker stops reading. So a full disk slows devices down and loses nothing.
final class Ingest: Sendable {
    /// What is on its way from the intake to the outbox, for `status` and the watchdog.
    struct Progress: Sendable {
        var rounds: UInt64 = 0
        var forwarded: UInt64 = 0
        var undecodable: UInt64 = 0
        var lastFailure: String?
        /// Why the last commit failed; `nil` once one succeeded.
        var storeFailure: String?
        /// Each sensor's last readings, by metric in the order of their names.
        var readings: [DeviceID: [Reading]] = [:]
    }

    private let intake: GatewayIntake
    private let outbox: OutboxStore
    private let broker: BrokerServer
    private let time: any TimeSource
    private let logger: Logger
    private let initial: ReadingPipeline
    private let sensors: SensorSupervisor
    private let window: Duration
    private let sent: (@Sendable ([Message]) -> Void)?
    private let state = Mutex(Progress())

    /// How often values are looked at that may have become stale.
    private static let expiryInterval = Duration.milliseconds(250)
    /// The longest that a sensor's sample is held for others to share its commit.
    private static let longestWindow = Duration.milliseconds(100)
    private static let heldLimit = 256
    /// Series of one sensor that are kept for `status`.
    private static let shownSeries = 64

    /// - Parameters:
    ///   - commitAfter: the latest time until a sample is on disk.
    ///   - sent: sees every message just before it is committed; the demo keeps its books with it.
    init(
        intake: GatewayIntake, pipeline: ReadingPipeline, outbox: OutboxStore, broker: BrokerServer,
        sensors: SensorSupervisor, commitAfter: Duration, time: any TimeSource, logger: Logger,
        sent: (@Sendable ([Message]) -> Void)? = nil
    ) {
        self.intake = intake
        self.initial = pipeline
        self.outbox = outbox
        self.broker = broker
        self.sensors = sensors
        window = min(commitAfter, Self.longestWindow)
        self.time = time
        self.logger = logger
        self.sent = sent
    }

    var progress: Progress { state.withLock { $0 } }

    /// Runs until the intake is finished and empty, or the task is cancelled while the store fails.
    func run() async {
        guard initial.canExpire else { return await take() }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                while (try? await Task.sleep(for: Self.expiryInterval)) != nil { self.intake.nudge() }
            }
            tasks.addTask { await self.take() }
            // The clock never ends by itself.
            await tasks.next()
            tasks.cancelAll()
        }
    }

    private func take() async {
        var pipeline = initial
        var held: [OutboxStore.Entry] = []
        var heldSince: Instant?
        while let (batch, wasCongested) = await intake.next() {
            held += process(batch, with: &pipeline)
            let now = time.now().instant
            if isDue(held.count, since: heldSince, after: batch, now: now) {
                await commit(held)
                held = []
                heldSince = nil
            } else if !held.isEmpty, heldSince == nil {
                heldSince = now
                Task {
                    try? await Task.sleep(for: self.window)
                    self.intake.nudge()
                }
            }
            if wasCongested { broker.resume() }
            state.withLock { $0.rounds += 1 }
        }
        await commit(held)
    }

    /// Whether what is held is committed now. Nobody waits for a sensor's sample, so that those which come within the window
    /// share a commit; a hundred sensors that are out of step would else make a hundred a second. What a device sent is
    /// never held up.
    private func isDue(_ count: Int, since: Instant?, after batch: [Arrival], now: Instant) -> Bool {
        guard count > 0 else { return false }
        if window == .zero || count >= Self.heldLimit { return true }
        if let since, now - since >= window { return true }
        return batch.contains { if case .device = $0.source { true } else { false } }
    }

    private func process(_ batch: [Arrival], with pipeline: inout ReadingPipeline) -> [OutboxStore.Entry] {
        let now = time.now()
        var entries: [OutboxStore.Entry] = []
        var local: [LocalMessage] = []
        var unforwarded: [SettleToken] = []
        entries.reserveCapacity(batch.count)
        for arrival in batch {
            if case .payload(let payload) = arrival.body, case .device = arrival.source {
                sensors.command(arrival.topic, payload: payload)
            }
            let step = pipeline.step(arrival, now: now.instant)
            local += step.local
            if let last = step.messages.indices.last {
                for (index, message) in step.messages.enumerated() {
                    entries.append(.init(message: message, settle: index == last ? arrival.settle : nil))
                }
            } else if let token = arrival.settle {
                unforwarded.append(token)
            }
            note(step, from: arrival.source)
        }
        if pipeline.canExpire {
            let step = pipeline.expire(now: now)
            local += step.local
            entries += step.messages.map { .init(message: $0, settle: nil) }
            note(step.readings)
        }
        if !local.isEmpty { broker.publish(local) }
        if !unforwarded.isEmpty { broker.settle(unforwarded) }
        return entries
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

    private func commit(_ entries: [OutboxStore.Entry]) async {
        guard !entries.isEmpty else { return }
        sent?(entries.map(\.message))
        var pause = Duration.milliseconds(100)
        while true {
            do {
                try await outbox.append(entries)
                state.withLock { progress in
                    progress.forwarded += UInt64(entries.count)
                    progress.storeFailure = nil
                }
                return
            } catch {
                state.withLock { $0.storeFailure = "\(error)" }
                logger.error(
                    "messages cannot be stored; devices wait for their acknowledgement",
                    metadata: ["waiting": "\(entries.count)", "error": "\(error)"])
                // A retry interval, not a wait for something: a full disk tells nobody when it has room again.
                do { try await Task.sleep(for: pause) } catch { return }
                pause = min(pause * 2, .seconds(10))
            }
        }
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
