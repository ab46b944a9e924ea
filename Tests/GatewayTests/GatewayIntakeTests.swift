import Broker
import Database
import Gateway
import Outbox
import Pipeline
import Readings
import Testing

@Suite(.timeLimit(.minutes(1))) struct GatewayIntakeTests {
    static func arrival(_ number: Int, settle: Bool = false, bytes: Int = 1) -> Arrival {
        Arrival(
            source: .device(DeviceID("d")), topic: "\(number)", body: .payload([UInt8](repeating: 0, count: bytes)),
            time: Timestamp(instant: Instant(nanoseconds: 0), unixNanoseconds: 0, quality: .synced),
            settle: settle ? SettleToken(connection: 1, publication: UInt64(number)) : nil)
    }

    @Test func handsOutEverythingInOrderAndEnds() async {
        let intake = GatewayIntake(rules: [])
        _ = intake.accept([Self.arrival(1), Self.arrival(2)])
        _ = intake.accept([Self.arrival(3)])
        #expect(await intake.next()?.batch.map(\.topic) == ["1", "2", "3"])
        let waiting = Task { await intake.next()?.batch.map(\.topic) }
        while !waiting.isCancelled, intake.counts.queued == 0 {
            _ = intake.accept([Self.arrival(4)])
            break
        }
        #expect(await waiting.value == ["4"])
        _ = intake.accept([Self.arrival(5)])
        intake.finish()
        #expect(await intake.next()?.batch.map(\.topic) == ["5"])
        #expect(await intake.next()?.batch.count == nil)
    }

    /// A consumer and somebody else, at home on one thread, as ingest and the rest of the gateway are on the outbox's.
    private actor Home {
        private let executor: ThreadExecutor
        private(set) var isHeard = false

        init() throws { executor = try ThreadExecutor(name: "home") }

        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

        func answer() { isHeard = true }

        /// - Returns: whether ``answer()`` had its turn while there always was something to take.
        func consume(_ intake: GatewayIntake, rounds: Int) async -> Bool {
            await withTaskExecutorPreference(executor) { await take(intake, rounds: rounds, self) }
        }

        private func take(_ intake: GatewayIntake, rounds: Int, _ home: isolated Home) async -> Bool {
            for round in 0..<rounds {
                _ = intake.accept([GatewayIntakeTests.arrival(round)])
                _ = await intake.next()
                if home.isHeard { return true }
                if round == 0 { Task { home.answer() } }
            }
            return false
        }
    }

    @Test func othersHaveTheirTurnWhileTheIntakeIsNeverEmpty() async throws {
        let (intake, home) = (GatewayIntake(rules: []), try Home())
        #expect(await home.consume(intake, rounds: 100_000))
    }

    @Test func finishingEndsAWait() async {
        let intake = GatewayIntake(rules: [])
        async let next = intake.next()
        intake.finish()
        #expect(await next?.batch.count == nil)
    }

    @Test func saysWhenItIsHalfFullAndNeverDropsWhatIsOwed() async {
        let intake = GatewayIntake(rules: [], countLimit: 4, byteLimit: 1 << 20)
        #expect(intake.accept([Self.arrival(1), Self.arrival(2)]) == .accepted)
        #expect(intake.accept([Self.arrival(3)]) == .congested)
        _ = intake.accept([Self.arrival(4), Self.arrival(5), Self.arrival(6, settle: true)])
        #expect(intake.counts.dropped == 1)
        let taken = await intake.next()
        #expect(taken?.wasCongested == true)
        #expect(taken?.batch.map(\.topic) == ["1", "2", "3", "4", "6"])
        #expect(intake.accept([Self.arrival(7)]) == .accepted)
    }

    @Test func bytesAreBoundedToo() {
        let intake = GatewayIntake(rules: [], countLimit: 100, byteLimit: 1_000)
        #expect(intake.accept([Self.arrival(1, bytes: 800)]) == .congested)
        _ = intake.accept([Self.arrival(2, bytes: 800)])
        #expect(intake.counts.dropped == 1)
    }

    /// What is dropped is told, by class, and only what would have gone upstream.
    @Test func whatIsDroppedIsTold() async throws {
        func rule(_ from: String, _ name: DeliveryClass) throws -> ForwardRule {
            let filter = try TopicFilter(from)
            return ForwardRule(
                from: filter, to: try TopicTemplate("{topic}", gateway: "gw", filter: filter), deliveryClass: name)
        }
        let intake = GatewayIntake(
            rules: [try rule("a", .events), try rule("b/#", .telemetry)], countLimit: 1, byteLimit: 1 << 20)
        func arrival(_ topic: String, _ body: Arrival.Body, _ seconds: Int64) -> Arrival {
            var time = Timestamp(instant: Instant(nanoseconds: 0), unixNanoseconds: 0, quality: .synced)
            time.unixNanoseconds = seconds
            return Arrival(source: .device(DeviceID("d")), topic: topic, body: body, time: time)
        }
        let samples = Arrival.Body.samples([Sample(value: .integer(1)), Sample(metric: "m", value: .integer(2))])
        _ = intake.accept([arrival("b/1", .payload([1]), 1)])
        _ = intake.accept([
            arrival("b/1", .payload([1]), 2), arrival("a", .payload([1]), 3), arrival("b", samples, 4),
            arrival("lan", .payload([1]), 5), arrival("b", .unavailable(reason: "x"), 6),
        ])
        let taken = try #require(await intake.next())
        #expect(taken.batch.count == 1 && intake.counts.dropped == 5)
        let losses = taken.losses.sorted { $0.deliveryClass.name < $1.deliveryClass.name }
        #expect(losses.map { "\($0.deliveryClass) \($0.count)" } == ["events 1", "telemetry 3"])
        #expect(losses.map { [$0.from.unixNanoseconds, $0.to.unixNanoseconds] } == [[3, 3], [2, 4]])
        _ = intake.accept([arrival("b/1", .payload([1]), 7)])
        #expect(await intake.next()?.losses.isEmpty == true)
    }
}
