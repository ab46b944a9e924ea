import Readings
import Sensors
import TestSupport
import Testing

/// A Modbus line in simulated time: the schedule asks, the test answers.
@Suite struct ModbusScheduleTests {
    /// A line of devices, some of which are silent.
    struct Line {
        var schedule = ModbusSchedule(gap: .milliseconds(4))
        var now = Instant(nanoseconds: 0)
        /// Time that a device takes to answer; `nil`: it is dead.
        var answers: [Int: Duration?] = [:]
        var rounds: [String: [Instant]] = [:]
        var deaths: [String: [Instant]] = [:]
        var requests: [(slave: Int, at: Instant)] = []
        /// What the dead cost, in time on the line.
        var silence = Duration.zero
        var timeouts: [(slave: Int, at: Instant)] = []

        mutating func add(
            _ slave: Int, every interval: Duration, timeout: Duration = .milliseconds(500), requests: Int = 1,
            gap: Duration = .zero
        ) throws {
            let registers = try (0..<requests).map { try ModbusRegister(parsing: "r\($0) holding \($0 * 10) u16") }
            schedule.add(
                .init(
                    id: DeviceID("d\(slave)"), slave: slave, plan: ModbusReadPlan(registers), interval: interval,
                    timeout: timeout, gap: gap), now: now)
        }

        mutating func run(until end: Instant) {
            while now < end {
                switch schedule.next(now: now) {
                case .wait(let until): now = min(end, max(until ?? end, now + .microseconds(1)))
                case .perform(let job):
                    requests.append((job.slave, now))
                    let answer: Result<[UInt16], ModbusFailure>
                    if let time = answers[job.slave] ?? .milliseconds(15), time <= job.timeout {
                        now = now + time
                        answer = .success([1])
                    } else {
                        now = now + job.timeout
                        silence += job.timeout
                        timeouts.append((job.slave, now))
                        answer = .failure(.noAnswer)
                    }
                    for event in schedule.finished(answer, now: now) {
                        switch event {
                        case .round(let id, _): rounds[id.name, default: []].append(now)
                        case .dead(let id, _, _): deaths[id.name, default: []].append(now)
                        default: break
                        }
                    }
                }
            }
        }

        /// How far the time between two rounds is off the interval, at that percentile.
        func jitter(_ slave: Int, interval: Duration, percentile: Double) -> Duration {
            let times = rounds["d\(slave)"] ?? []
            let off = zip(times, times.dropFirst()).map { abs(($1 - $0 - interval).wholeNanoseconds) }.sorted()
            return .nanoseconds(off[min(off.count - 1, Int(Double(off.count) * percentile))])
        }
    }

    static func seconds(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    @Test(arguments: [0.2, 1, 10]) func aDeadDeviceDelaysNobody(interval: Double) throws {
        var line = Line()
        let pace = Duration.seconds(interval)
        for slave in 1...4 { try line.add(slave, every: pace) }
        line.answers[3] = .some(nil)
        line.run(until: Self.seconds(interval * 1_000))
        for slave in [1, 2, 4] {
            #expect((line.rounds["d\(slave)"]?.count ?? 0) >= 985)
            #expect(line.jitter(slave, interval: pace, percentile: 0.99) <= pace / 5)
        }
        #expect(line.rounds["d3"] == nil)
    }

    @Test func aDeadDeviceCostsOneTimeoutPerBackoffPeriod() throws {
        var line = Line()
        try line.add(1, every: .seconds(1))
        try line.add(2, every: .seconds(1))
        line.run(until: Self.seconds(100))
        line.answers[2] = .some(nil)
        line.run(until: Self.seconds(1_300))
        // Three tries at first, then 1, 2, 4, … 60 s apart.
        let tries = line.timeouts.filter { $0.slave == 2 }
        #expect(tries.count <= 3 + 6 + 1_200 / 60 + 1)
        let late = tries.suffix(10).map(\.at)
        #expect(zip(late, late.dropFirst()).allSatisfy { $1 - $0 >= .seconds(59) })
        // It is back with its next try.
        line.answers[2] = .milliseconds(15)
        line.run(until: Self.seconds(1_365))
        #expect(line.rounds["d2"]?.last.map { $0 > Self.seconds(1_362) } == true)
    }

    @Test func aDayOfABusKeepsItsPace() throws {
        var line = Line()
        var random = SplitMix64(seed: 4)
        for slave in 1...8 { try line.add(slave, every: .seconds(slave < 5 ? 1 : 10), requests: slave % 3 + 1) }
        for hour in 1...24 {
            // Some device dies or comes back, answers slowly or fast.
            let slave = Int.random(in: 1...8, using: &random)
            line.answers[slave] =
                Bool.random(using: &random) ? .some(nil) : .milliseconds(Int.random(in: 5...60, using: &random))
            line.run(until: Self.seconds(Double(hour) * 3_600))
        }
        for slave in 1...8 where line.answers[slave] != .some(nil) {
            #expect(line.rounds["d\(slave)"]?.last.map { line.now - $0 < .seconds(70) } == true, "d\(slave)")
        }
        // Never two requests closer than the gap.
        let times = line.requests.map(\.at)
        #expect(zip(times, times.dropFirst()).allSatisfy { $1 - $0 >= .milliseconds(4) })
        #expect(line.silence < .seconds(2 * 3_600))
    }

    @Test func theLongestGapOfALineHoldsForAll() throws {
        var line = Line()
        try line.add(1, every: .milliseconds(100))
        try line.add(2, every: .milliseconds(100), gap: .milliseconds(30))
        line.run(until: Self.seconds(7))
        let times = line.requests.map(\.at)
        // An answer takes 15 ms.
        #expect(times.count > 110 && zip(times, times.dropFirst()).allSatisfy { $1 - $0 >= .milliseconds(45) })
    }

    /// The line is so busy that there is never room for a device that has not answered yet.
    @Test func aDeviceThatNeverFitsIsAskedAllTheSame() throws {
        var line = Line()
        try line.add(1, every: .milliseconds(50))
        line.run(until: Self.seconds(1))
        try line.add(2, every: .milliseconds(100))
        line.run(until: Self.seconds(5))
        #expect(line.rounds["d2"]?.count ?? 0 > 15)
    }

    @Test func aWriteTakesTheNextSlotAndIsReadBack() throws {
        var schedule = ModbusSchedule(gap: .zero)
        let plan = ModbusReadPlan(try (0..<5).map { try ModbusRegister(parsing: "r\($0) holding \($0 * 10) u16") })
        let id = DeviceID("d")
        schedule.add(.init(id: id, slave: 1, plan: plan, interval: .seconds(1)), now: Self.seconds(0))
        guard case .perform = schedule.next(now: Self.seconds(0)) else { Issue.record("nothing to do"); return }
        let isQueued = schedule.write(id, number: 7, table: .holding, address: 99, values: [5])
        #expect(isQueued)
        _ = schedule.finished(.success([0]), now: Self.seconds(0.01))
        guard case .perform(let write) = schedule.next(now: Self.seconds(0.01)) else {
            Issue.record("no write"); return
        }
        #expect(write.operation == .write(.holding, address: 99, values: [5]))
        _ = schedule.finished(.success([]), now: Self.seconds(0.02))
        guard case .perform(let back) = schedule.next(now: Self.seconds(0.02)) else { Issue.record("no read"); return }
        #expect(back.operation == .read(.holding, address: 99, count: 1))
        let events = schedule.finished(.success([5]), now: Self.seconds(0.03))
        guard case .written(id, write: 7, [5])? = events.first else { Issue.record("\(events)"); return }
        // The round goes on where it was.
        guard case .perform(let next) = schedule.next(now: Self.seconds(0.03)) else { Issue.record("no round"); return }
        #expect(next.operation == .read(.holding, address: 10, count: 1))
    }

    @Test func aRequestThatADeviceCannotAnswerIsSplit() throws {
        var schedule = ModbusSchedule(gap: .zero)
        let plan = ModbusReadPlan(try (0..<4).map { try ModbusRegister(parsing: "r\($0) holding \($0) u16") })
        schedule.add(.init(id: DeviceID("d"), slave: 1, plan: plan, interval: .seconds(1)), now: Self.seconds(0))
        var now = Self.seconds(0)
        var asked: [ModbusSchedule.Operation] = []
        var results: [(ModbusReadPlan.Request, Result<[UInt16], ModbusFailure>)] = []
        // The last register does not exist.
        while results.isEmpty, asked.count < 20, case .perform(let job) = schedule.next(now: now) {
            asked.append(job.operation)
            now = now + .milliseconds(1)
            guard case .read(_, let address, let count) = job.operation else { break }
            let exists = address + count <= 3
            let events = schedule.finished(
                exists ? .success(Array(repeating: 1, count: count)) : .failure(.exception(2)), now: now)
            if case .round(_, let got)? = events.first { results = got }
        }
        #expect(results.map(\.0.count) == [2, 1, 1])
        #expect(results.map { (try? $0.1.get()) != nil } == [true, true, false])
    }

    @Test func anotherDevicesAnswerIsNotThisOnes() throws {
        var schedule = ModbusSchedule(gap: .zero)
        let plan = ModbusReadPlan([try ModbusRegister(parsing: "value holding 0 u16")])
        let id = DeviceID("d")
        schedule.add(.init(id: id, slave: 1, plan: plan, interval: .seconds(1)), now: Self.seconds(0))
        guard case .perform(let first) = schedule.next(now: Self.seconds(0)) else { Issue.record("no request"); return }
        let stray = schedule.finished(.failure(.otherSlave), now: Self.seconds(0.01))
        #expect(stray.isEmpty)
        guard case .perform(let second) = schedule.next(now: Self.seconds(0.01)) else {
            Issue.record("no request"); return
        }
        #expect(first.operation == second.operation)
        let events = schedule.finished(.success([1]), now: Self.seconds(0.02))
        #expect(events.count == 1)
        #expect(schedule.statistics(of: id)?.strays == 1)
        #expect(schedule.statistics(of: id)?.retries == 0)
    }
}
