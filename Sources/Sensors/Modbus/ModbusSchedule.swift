package import Readings

/// Who on a Modbus line is asked next, and when. A value: time and answers in, requests out.
///
/// - A device is asked in rounds, one request after the other, every interval; the pace is kept from the due time.
/// - A device that has not answered is asked again only where its timeout fits before another one's turn, so that a dead one
///   delays nobody; after its retries it is asked once per backoff period, which doubles up to a limit. What does not
///   fit is done with what time there is; every fourth time, or when it has waited for two seconds, in full, whoever
///   waits.
/// - Writes take the next slot, and are read back.
package struct ModbusSchedule: Sendable {
    /// A device as it is asked.
    package struct Device: Sendable {
        package var id: DeviceID
        /// Its address on the line, 1 to 247.
        package var slave: Int
        package var plan: ModbusReadPlan
        package var interval: Duration
        /// How long to wait for an answer.
        package var timeout: Duration
        /// Further tries before the device counts as dead.
        package var retries: Int
        /// The longest time between two tries of a dead one.
        package var longestBackoff: Duration
        /// Silence that it needs before a request, whoever was asked before.
        package var gap: Duration

        package init(
            id: DeviceID, slave: Int, plan: ModbusReadPlan, interval: Duration, timeout: Duration = .milliseconds(500),
            retries: Int = 2, longestBackoff: Duration = .seconds(60), gap: Duration = .zero
        ) {
            self.id = id
            self.slave = slave
            self.plan = plan
            self.interval = interval
            self.timeout = timeout
            self.retries = retries
            self.longestBackoff = longestBackoff
            self.gap = gap
        }
    }

    package enum Operation: Hashable, Sendable {
        case read(ModbusTable, address: Int, count: Int)
        case write(ModbusTable, address: Int, values: [UInt16])
    }

    /// One request on the line.
    package struct Job: Hashable, Sendable {
        package var id: DeviceID
        package var slave: Int
        package var operation: Operation
        package var timeout: Duration
    }

    package enum Action: Hashable, Sendable {
        /// Nothing to do before then; `nil`: before something is added.
        case wait(until: Instant?)
        case perform(Job)
    }

    package enum Event: Sendable {
        /// A round is over: what each request of the device's plan brought.
        case round(DeviceID, [(ModbusReadPlan.Request, Result<[UInt16], ModbusFailure>)])
        /// The device did not answer, after all retries; it is asked again at `next`.
        case dead(DeviceID, ModbusFailure, next: Instant)
        /// What a written place holds now.
        case written(DeviceID, write: Int, [UInt16])
        case writeFailed(DeviceID, write: Int, ModbusFailure)
    }

    /// What is counted of a device.
    package struct Statistics: Hashable, Sendable {
        package var requests: UInt64 = 0
        package var answers: UInt64 = 0
        package var timeouts: UInt64 = 0
        package var damaged: UInt64 = 0
        package var exceptions: UInt64 = 0
        package var retries: UInt64 = 0
        package var writes: UInt64 = 0
        /// Answers of others that came in its time.
        package var strays: UInt64 = 0
    }

    private struct State: Sendable {
        var device: Device
        var due: Instant
        /// Not asked before: it may still be sending an answer that came too late.
        var notBefore: Instant
        /// The round that is going on.
        var collected: [(ModbusReadPlan.Request, Result<[UInt16], ModbusFailure>)] = []
        var attempts = 0
        /// It has not answered the last request, or none yet.
        var isSuspect = true
        /// Rounds that failed in a row.
        var deadRounds = 0
        /// Tries in a row that were cut short, since they did not fit.
        var shortened = 0
        /// The slowest answer of late.
        var responseTime: Duration?
        var statistics = Statistics()
    }

    private struct Write: Sendable {
        var id: DeviceID
        var number: Int
        var table: ModbusTable
        var address: Int
        var values: [UInt16]
        var attempts = 0
        /// Written; now it is read back.
        var isWritten = false
    }

    private enum Current: Sendable {
        case round(DeviceID, ModbusReadPlan.Request)
        case write
    }

    /// The shortest time that is worth asking.
    private static let shortestTimeout = Duration.milliseconds(60)
    /// After so long somebody else's turn is late for once, rather than this one never coming.
    private static let patience = Duration.seconds(2)
    private static let writeLimit = 256

    private let leastGap: Duration
    private var states: [State] = []
    /// The statistics of devices that are away, for when they come back.
    private var left: [DeviceID: Statistics] = [:]
    private var writes: [Write] = []
    private var current: Current?
    private var strays = 0
    private var began = Instant(nanoseconds: 0)
    private var freeAt = Instant(nanoseconds: .min)

    /// - Parameter gap: silence between an answer and the next request, at least; a device may need more.
    package init(gap: Duration) { leastGap = gap }

    /// Every device hears every request, so that the longest holds for all.
    private var gap: Duration { states.map(\.device.gap).reduce(leastGap, max) }

    package var isEmpty: Bool { states.isEmpty }

    /// Adds a device, due now.
    package mutating func add(_ device: Device, now: Instant) {
        remove(device.id)
        var state = State(device: device, due: now, notBefore: now)
        state.statistics = left[device.id] ?? Statistics()
        states.append(state)
    }

    package mutating func remove(_ id: DeviceID) {
        if let state = states.first(where: { $0.device.id == id }) { left[id] = state.statistics }
        states.removeAll { $0.device.id == id }
        let first = current.map { if case .write = $0 { true } else { false } } ?? false
        // The write on the line is finished by its answer.
        writes = writes.enumerated().filter { ($0.offset == 0 && first) || $0.element.id != id }.map(\.element)
    }

    /// The line is gone: what was on it gets no answer, and what was to be written is not.
    package mutating func abandon() {
        current = nil
        writes = []
    }

    package func statistics(of id: DeviceID) -> Statistics? { states.first { $0.device.id == id }?.statistics }

    /// Queues a write; false when too many wait.
    /// - Parameter number: comes back with its event.
    package mutating func write(
        _ id: DeviceID, number: Int, table: ModbusTable, address: Int, values: [UInt16]
    ) -> Bool {
        guard writes.count < Self.writeLimit, states.contains(where: { $0.device.id == id }) else { return false }
        writes.append(Write(id: id, number: number, table: table, address: address, values: values))
        return true
    }

    /// What to do now. After `perform`, the next call is ``finished(_:now:)``.
    package mutating func next(now: Instant) -> Action {
        precondition(current == nil, "one request at a time is on the line")
        guard now >= freeAt else { return states.isEmpty && writes.isEmpty ? .wait(until: nil) : .wait(until: freeAt) }
        began = now
        if let action = nextWrite() { return action }
        let ready = states.indices.filter { states[$0].due <= now && states[$0].notBefore <= now }
        // Whoever is in the midst of a round has been due for longest.
        if let index = ready.filter({ !states[$0].isSuspect }).min(by: { states[$0].due < states[$1].due }) {
            return perform(index, timeout: usualTimeout(states[index]))
        }
        let nextTurn = states.filter { !$0.isSuspect }.map { max($0.due, $0.notBefore) }.min()
        for index in ready.sorted(by: { states[$0].due < states[$1].due }) {
            let timeout = states[index].device.timeout
            guard let nextTurn, now + timeout + gap > nextTurn else {
                states[index].shortened = 0
                return perform(index, timeout: timeout)
            }
            let room = nextTurn - now - gap
            if states[index].shortened >= 3 || now - states[index].due >= Self.patience {
                states[index].shortened = 0
                return perform(index, timeout: timeout)
            }
            let enough = max(Self.shortestTimeout, (states[index].responseTime ?? .milliseconds(20)) * 3)
            if room >= enough {
                states[index].shortened += 1
                return perform(index, timeout: room)
            }
        }
        // Those that do not fit get another chance behind the next turn.
        let pending = states.indices.filter { !ready.contains($0) }.map { max(states[$0].due, states[$0].notBefore) }
        return .wait(until: pending.min())
    }

    /// A device that answers in 20 ms and is silent for ten times as long is gone; the retry gets all the time.
    private func usualTimeout(_ state: State) -> Duration {
        guard let responseTime = state.responseTime else { return state.device.timeout }
        return min(state.device.timeout, max(.milliseconds(100), responseTime * 10))
    }

    private mutating func nextWrite() -> Action? {
        while let write = writes.first {
            guard let state = states.first(where: { $0.device.id == write.id }) else {
                writes.removeFirst()
                continue
            }
            current = .write
            return .perform(
                Job(
                    id: write.id, slave: state.device.slave,
                    operation: write.isWritten
                        ? .read(write.table, address: write.address, count: write.values.count)
                        : .write(write.table, address: write.address, values: write.values),
                    timeout: state.device.timeout))
        }
        return nil
    }

    private mutating func perform(_ index: Int, timeout: Duration) -> Action {
        let device = states[index].device
        let request = device.plan.requests[states[index].collected.count]
        states[index].statistics.requests += 1
        if states[index].attempts > 0 { states[index].statistics.retries += 1 }
        current = .round(device.id, request)
        return .perform(
            Job(
                id: device.id, slave: device.slave,
                operation: .read(request.table, address: request.address, count: request.count), timeout: timeout))
    }

    /// What came of the job. Returns what its owner is to know.
    package mutating func finished(_ result: Result<[UInt16], ModbusFailure>, now: Instant) -> [Event] {
        guard let current else { preconditionFailure("nothing is on the line") }
        self.current = nil
        freeAt = now + gap
        switch current {
        case .write: return finishedWrite(result)
        case .round(let id, let request):
            // It may have been removed meanwhile.
            guard let index = states.firstIndex(where: { $0.device.id == id }) else { return [] }
            if case .failure(.otherSlave) = result {
                states[index].statistics.strays += 1
                strays += 1
                // The line is clean now: the same again, at once, unless it never ends.
                if strays <= 3 { return [] }
            }
            strays = 0
            return finishedRequest(index, request, result, now: now)
        }
    }

    private mutating func finishedRequest(
        _ index: Int, _ request: ModbusReadPlan.Request, _ result: Result<[UInt16], ModbusFailure>, now: Instant
    ) -> [Event] {
        count(result, of: index)
        switch result {
        case .success: break
        case .failure(let failure) where failure.isPassing:
            states[index].attempts += 1
            if !failure.isAnswer { states[index].isSuspect = true }
            // A dead device gets one try a period.
            if states[index].attempts <= states[index].device.retries, states[index].deadRounds == 0 { return [] }
            return failed(index, failure, now: now)
        case .failure(.exception(let code)) where (code == 2 || code == 3) && request.values.count > 1:
            // One of several registers is missing, or it cannot answer that many: half as many at a time from now on.
            split(index, request)
            return []
        case .failure: break
        }
        // An answer at last: the one before it may still come, and would be taken for the next request's.
        if states[index].attempts > 0 { states[index].notBefore = now + states[index].device.timeout }
        if case .success = result, states[index].attempts == 0 {
            let taken = now - began
            states[index].responseTime = max(taken, (states[index].responseTime ?? .zero) * 0.98)
        }
        states[index].attempts = 0
        states[index].isSuspect = false
        states[index].deadRounds = 0
        states[index].collected.append((request, result))
        guard states[index].collected.count == states[index].device.plan.requests.count else { return [] }
        let collected = states[index].collected
        states[index].collected = []
        advance(index, by: states[index].device.interval, now: now)
        return [.round(states[index].device.id, collected)]
    }

    private mutating func count(_ result: Result<[UInt16], ModbusFailure>, of index: Int) {
        switch result {
        case .success: states[index].statistics.answers += 1
        case .failure(.noAnswer): states[index].statistics.timeouts += 1
        case .failure(.damagedAnswer), .failure(.otherSlave): states[index].statistics.damaged += 1
        case .failure(.exception): states[index].statistics.exceptions += 1
        }
    }

    /// After the last retry: rests for longer each time.
    private mutating func failed(_ index: Int, _ failure: ModbusFailure, now: Instant) -> [Event] {
        states[index].collected = []
        states[index].attempts = 0
        states[index].deadRounds += 1
        let device = states[index].device
        let first = max(device.interval, .seconds(1))
        let limit = max(first, device.longestBackoff)
        let rest = min(limit, first * (1 << min(states[index].deadRounds - 1, 16)))
        // On the grid of its interval, where it disturbs as little as before.
        advance(index, by: rest, now: now)
        return [.dead(device.id, failure, next: states[index].due)]
    }

    /// The next due time, a whole number of intervals behind the last: turns that were missed are left out.
    private mutating func advance(_ index: Int, by rest: Duration, now: Instant) {
        let interval = max(1, states[index].device.interval.wholeNanoseconds)
        let steps = max(1, (rest.wholeNanoseconds + interval - 1) / interval)
        var due = states[index].due + .nanoseconds(steps.multipliedReportingOverflow(by: interval).partialValue)
        if due <= now {
            let missed = (now - due).wholeNanoseconds / interval + 1
            due = due + .nanoseconds(missed.multipliedReportingOverflow(by: interval).partialValue)
        }
        states[index].due = due
    }

    private mutating func split(_ index: Int, _ request: ModbusReadPlan.Request) {
        states[index].device.plan = states[index].device.plan.splitting(request)
        states[index].attempts = 0
    }

    private mutating func finishedWrite(_ result: Result<[UInt16], ModbusFailure>) -> [Event] {
        guard var write = writes.first else { return [] }
        let index = states.firstIndex { $0.device.id == write.id }
        if let index {
            states[index].statistics.requests += 1
            count(result, of: index)
        }
        switch result {
        case .success(let values):
            if write.isWritten || index == nil {
                writes.removeFirst()
                return [.written(write.id, write: write.number, values)]
            }
            if let index { states[index].statistics.writes += 1 }
            write.isWritten = true
            write.attempts = 0
            writes[0] = write
            return []
        case .failure(let failure):
            write.attempts += 1
            if let index, failure.isPassing, write.attempts <= states[index].device.retries {
                writes[0] = write
                return []
            }
            writes.removeFirst()
            return [.writeFailed(write.id, write: write.number, failure)]
        }
    }
}
