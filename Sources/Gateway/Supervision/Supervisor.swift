import Logging
import Readings
import Synchronization

/// Starts, restarts, stops and reports the gateway's parts: the only supervisor that there is.
///
/// Each part runs in a task of its own. How soon a failed part is started again is decided by ``PartMachine``. A part that
/// fails keeps no other part from starting. Safe to use from any thread.
final class Supervisor: Sendable {
    /// One part as it stands.
    struct Row: Sendable {
        var name: PartName
        var state: PartMachine.State
        var since: Instant
        var restarts: UInt64
        /// What is wrong now; `nil` while the part is well.
        var problem: PartFailure?
        /// The last failure, also of a part that has recovered since.
        var lastFailure: PartFailure?

        var isWell: Bool { state == .running && problem == nil }
    }

    private struct Entry: Sendable {
        let part: any Part
        let stop = OneShotEvent()
        let end = OneShotEvent()
        var machine: PartMachine
        /// Since when a part that runs has had its present problem.
        var problemSince: Instant?
    }

    private struct State: Sendable {
        /// In the order in which the parts were started.
        var entries: [PartName: Entry] = [:]
        var order: [PartName] = []
        /// Happens at the next change of any part's state.
        var change = OneShotEvent()
    }

    private let state = Mutex(State())
    private let time: any TimeSource
    private let logger: Logger
    /// A part was given up: the gateway is to end.
    let escalation = OneShotEvent()
    private let gatewayStop = OneShotEvent()
    /// How long the parts of one kind may take to stop; each bounds itself to less.
    private static let stopLimit = Duration.seconds(4)

    init(time: any TimeSource, logger: Logger) { (self.time, self.logger) = (time, logger) }

    // MARK: Starting and stopping

    /// Starts a part; returns at once. A part whose name another one has is not started, and the log says so.
    func start(_ part: any Part) {
        let entry = Entry(part: part, machine: PartMachine(now: time.now().instant))
        let isNew = state.withLock { state in
            guard state.entries[part.name] == nil else { return false }
            state.entries[part.name] = entry
            state.order.append(part.name)
            return true
        }
        guard isNew else {
            logger.error("a part is not started, because another one has its name", metadata: ["part": "\(part.name)"])
            return
        }
        Task { await supervise(entry) }
    }

    /// Stops a part and forgets it. Returns once it has ended; at once where there is none of this name.
    func stop(_ name: PartName) async {
        guard let entry = state.withLock({ $0.entries[name] }) else { return }
        entry.stop.signal()
        await entry.end.wait()
        state.withLock { state in
            state.entries[name] = nil
            state.order.removeAll { $0 == name }
        }
    }

    /// Stops every part, kind after kind in the reverse of their order; returns once all have ended, or
    /// those that do not end have been left behind.
    func stopAll() async {
        gatewayStop.signal()
        for kind in PartName.Kind.allCases.reversed() {
            let entries = state.withLock { state in state.entries.values.filter { $0.part.name.kind == kind } }
            for entry in entries { entry.stop.signal() }
            for entry in entries where await !entry.end.wait(atMost: Self.stopLimit) {
                logger.error("a part does not stop; it is left behind", metadata: ["part": "\(entry.part.name)"])
            }
        }
    }

    private func supervise(_ entry: Entry) async {
        let name = entry.part.name
        let life = PartLife(stop: entry.stop, gatewayStop: gatewayStop) { [weak self] in self?.runs(name) }
        while !entry.stop.hasHappened {
            change(name) { $0.start(now: $1) }
            let failure: PartFailure
            do throws(PartFailure) {
                try await entry.part.run(life)
                failure = PartFailure(.inside, "\(name) ended without having been stopped", remedy: nil)
            } catch {
                failure = error
            }
            if entry.stop.hasHappened { break }
            guard case .restart(let pause) = failed(name, failure) else {
                escalation.signal()
                await entry.stop.wait()
                break
            }
            if pause > .zero { await entry.stop.wait(atMost: pause) }
        }
        change(name) { $0.stop(now: $1) }
        entry.end.signal()
    }

    // MARK: What happened

    private func runs(_ name: PartName) {
        guard let away = change(name, { $0.run(now: $1) }) ?? nil else { return }
        logger.notice("a part runs again", metadata: ["part": "\(name)", "away": "\(Self.seconds(away))"])
    }

    private func failed(_ name: PartName, _ failure: PartFailure) -> PartMachine.Verdict {
        var random = SystemRandomNumberGenerator()
        let told = change(name) { machine, now in
            // A failure is told once for as long as it lasts.
            let isNews = machine.failingSince == nil || machine.lastFailure != failure
            return (machine.fail(failure, now: now, using: &random), isNews)
        }
        guard let (verdict, isNews) = told else { return .giveUp }
        if case .giveUp = verdict {
            logger.critical(
                "a part fails again and again; the gateway ends, to be started anew",
                metadata: ["part": "\(name)", "error": "\(failure)"])
        } else if isNews {
            logger.error(
                "a part has failed and is started again", metadata: ["part": "\(name)", "error": "\(failure)"])
        }
        return verdict
    }

    @discardableResult
    private func change<R: Sendable>(_ name: PartName, _ body: (inout PartMachine, Instant) -> R) -> R? {
        let now = time.now().instant
        let (result, event) = state.withLock { state -> (R?, OneShotEvent?) in
            guard var machine = state.entries[name]?.machine else { return (nil, nil) }
            let result = body(&machine, now)
            state.entries[name]?.machine = machine
            defer { state.change = OneShotEvent() }
            return (result, state.change)
        }
        event?.signal()
        return result
    }

    private static func seconds(_ duration: Duration) -> String {
        "\(Double(duration.wholeNanoseconds / 100_000_000) / 10) s"
    }

    // MARK: Looking

    /// Every part, by kind, and within a kind in the order in which the parts were started.
    var table: [Row] {
        let now = time.now().instant
        let parts = state.withLock { state in state.order.compactMap { state.entries[$0]?.part } }
        // Asked outside the lock: a part's answer must not be able to hold up the others.
        let problems = parts.map { ($0.name, $0.problem) }
        let rows = state.withLock { state in
            problems.compactMap { name, problem -> Row? in
                guard let machine = state.entries[name]?.machine else { return nil }
                var row = Row(
                    name: name, state: machine.state, since: machine.since, restarts: machine.restarts,
                    problem: machine.failingSince == nil ? nil : machine.lastFailure,
                    lastFailure: machine.lastFailure)
                guard machine.state == .running else { return row }
                if problem == nil {
                    state.entries[name]?.problemSince = nil
                } else if state.entries[name]?.problemSince == nil {
                    state.entries[name]?.problemSince = now
                }
                row.problem = problem
                row.since = state.entries[name]?.problemSince ?? row.since
                return row
            }
        }
        let rank = Dictionary(uniqueKeysWithValues: PartName.Kind.allCases.enumerated().map { ($1, $0) })
        return rows.enumerated().sorted {
            (rank[$0.element.name.kind] ?? 0, $0.offset) < (rank[$1.element.name.kind] ?? 0, $1.offset)
        }.map(\.element)
    }

    func row(_ name: PartName) -> Row? { table.first { $0.name == name } }

    /// Waits until `condition` holds for the table, at most `limit`. Looked at after each change of a part.
    /// - Returns: whether it holds.
    func wait(atMost limit: Duration, until condition: @Sendable ([Row]) -> Bool) async -> Bool {
        let deadline = time.now().instant + limit
        while true {
            let change = state.withLock { $0.change }
            if condition(table) { return true }
            let left = deadline - time.now().instant
            guard left > .zero, !Task.isCancelled else { return false }
            await change.wait(atMost: left)
        }
    }
}
