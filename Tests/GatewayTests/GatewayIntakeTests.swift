import Broker
import Gateway
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
        let intake = GatewayIntake(filters: [])
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
        #expect(await intake.next() == nil)
    }

    @Test func finishingEndsAWait() async {
        let intake = GatewayIntake(filters: [])
        async let next = intake.next()
        intake.finish()
        #expect(await next == nil)
    }

    @Test func saysWhenItIsHalfFullAndNeverDropsWhatIsOwed() async {
        let intake = GatewayIntake(filters: [], countLimit: 4, byteLimit: 1 << 20)
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
        let intake = GatewayIntake(filters: [], countLimit: 100, byteLimit: 1_000)
        #expect(intake.accept([Self.arrival(1, bytes: 800)]) == .congested)
        _ = intake.accept([Self.arrival(2, bytes: 800)])
        #expect(intake.counts.dropped == 1)
    }
}
