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
        package var sensor: any Sensor

        package init(id: DeviceID, driver: String, topic: String, sensor: any Sensor) {
            self.id = id
            self.driver = driver
            self.topic = topic
            self.sensor = sensor
        }
    }

    private let entries: [Entry]
    private let time: any TimeSource
    private let logger: Logger
    private let deliver: @Sendable (Arrival) -> Void
    private let states: Mutex<[DeviceID: SensorSnapshot]>
    private let progress = Mutex(Progress.waiting)

    private enum Progress {
        case waiting
        case running(Task<Void, Never>)
        case stopped
    }

    /// - Parameter deliver: takes each arrival; called on the sensors' tasks, must not block, and bounds what it keeps.
    package init(
        _ entries: [Entry], time: any TimeSource, logger: Logger, deliver: @escaping @Sendable (Arrival) -> Void
    ) {
        self.entries = entries
        self.time = time
        self.logger = logger
        self.deliver = deliver
        states = Mutex(
            Dictionary(entries.map { ($0.id, SensorSnapshot(id: $0.id, driver: $0.driver)) }) { first, _ in first })
    }

    /// Every sensor's state, in the order of the settings.
    package func snapshot() -> [SensorSnapshot] {
        states.withLock { states in entries.compactMap { states[$0.id] } }
    }

    /// Runs until cancelled, or until `stop`; once.
    package func run() async {
        guard !entries.isEmpty else { return }
        let poller: DescriptorPoller
        do {
            poller = try DescriptorPoller()
        } catch {
            logger.error("no sensor can run", metadata: ["error": "\(error)"])
            for entry in entries { update(entry.id) { $0.state = .failed(error, nextAttempt: nil) } }
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
        let context = SensorContext(
            time: time, poller: poller,
            opened: { [self] in
                update(entry.id) { $0.state = .running }
                logger.info("sensor runs", metadata: ["sensor": "\(entry.id)"])
            },
            emitted: { [self] body, time in
                update(entry.id) { $0.samples += 1 }
                deliver(Arrival(source: .sensor(entry.id), topic: entry.topic, body: body, time: time))
            },
            dropped: { [self] count in update(entry.id) { $0.dropped += count } })
        while !Task.isCancelled {
            update(entry.id) { if case .failed = $0.state {} else { $0.state = .starting } }
            let started = time.now().instant
            do throws(SensorError) {
                try await entry.sensor.run(context)
                return
            } catch {
                let now = time.now().instant
                let rest = backoff.failed(startedAt: started, now: now, isAbsent: error.isAbsent, using: &random)
                let isNews = update(entry.id) { snapshot in
                    defer {
                        snapshot.state = .failed(error, nextAttempt: now + rest)
                        snapshot.restarts += 1
                    }
                    if case .failed(let earlier, _) = snapshot.state { return earlier != error }
                    return true
                }
                if isNews {
                    logger.warning("sensor failed", metadata: ["sensor": "\(entry.id)", "error": "\(error)"])
                }
                do { try await Task.sleep(for: rest) } catch { return }
            }
        }
    }

    @discardableResult
    private func update<R: Sendable>(_ id: DeviceID, _ change: (inout SensorSnapshot) -> R) -> R {
        states.withLock { states in
            guard states[id] != nil else { preconditionFailure("every sensor has a state from the start") }
            return change(&states[id, default: SensorSnapshot(id: id, driver: "")])
        }
    }
}

/// One sensor's state, for `status`.
package struct SensorSnapshot: Sendable {
    package enum State: Sendable {
        case starting
        case running
        /// Rests until `nextAttempt`.
        case failed(SensorError, nextAttempt: Instant?)

        /// `starting`, `running` or `failed`.
        package var name: String {
            switch self {
            case .starting: "starting"
            case .running: "running"
            case .failed: "failed"
            }
        }

        /// What is wrong and what to do.
        package var problem: String? {
            if case .failed(let error, _) = self { error.description } else { nil }
        }
    }

    package var id: DeviceID
    package var driver: String
    package var state = State.starting
    /// Deliveries since the start.
    package var samples: UInt64 = 0
    /// What the driver received and could not deliver, since the start: lines that were too long.
    package var dropped: UInt64 = 0
    package var restarts: UInt64 = 0

    init(id: DeviceID, driver: String) {
        self.id = id
        self.driver = driver
    }
}
