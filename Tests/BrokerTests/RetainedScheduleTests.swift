import Broker
import Glibc
import MQTT
import NIOCore
import Registry
import TestSupport
import Testing

/// What retained messages cost the flash.
@Suite(.timeLimit(.minutes(1))) struct RetainedScheduleTests {
    private static let second: Int64 = 1_000_000_000
    private static let day = 86_400

    /// A day of topics that change once a second.
    /// - Returns: how often they are written, and for how long a change waits at most; seconds.
    private func turns(topics: Int, payload: Int) -> (count: Int, longest: Int64) {
        var schedule = RetainedSchedule(now: 0)
        var (turns, longest, since) = (0, Int64(0), Int64?.none)
        for now in 1...Self.day {
            let now = Int64(now) * Self.second
            // What waits already does not change by changing again.
            if since == nil { for topic in 0..<topics { schedule.note("sensors/value-\(topic)", now: now) } }
            schedule.note("sensors/value-0", now: now)
            since = since ?? now
            guard let due = schedule.dueAt, due <= now else { continue }
            let count = schedule.take().count
            #expect(count == topics)
            schedule.spend(count: count, bytes: count * (2 * 16 + payload + 64), now: now)
            turns += 1
            longest = max(longest, now - (since ?? now))
            since = nil
        }
        return (turns, longest / Self.second)
    }

    /// The budget, with real files: 100 topics that change once a second cost no more than 50 MB a day.
    @Test func aHundredTopicsEverySecondCostLessThan50MegabytesADay() async throws {
        let folder = try TemporaryDirectory()
        let path = folder["state.db"]
        let store = try StateStore(
            path: path, boot: "0f2f0a4e-37a8-4b8a-9a1c-0d3c1e1f2a3b", time: KernelTime())
        func turn(_ number: Int) -> [SessionChange] {
            (0..<100).map { topic in
                .retained(
                    Publish(
                        topic: "sensors/value-\(topic)",
                        payload: ByteBuffer(string: "{\"value\":\(Double(number) + 0.25),\"unit\":\"Cel\"}"),
                        retain: true),
                    storedAt: 0)
            }
        }
        func size(_ path: String) -> Int64 {
            var information = stat()
            return stat(path, &information) == 0 ? Int64(information.st_size) : 0
        }
        try await store.commit(turn(0))
        let before = size("\(path)-wal")
        let measured = 20
        for number in 1...measured { try await store.commit(turn(number)) }
        let perTurn = (size("\(path)-wal") - before) / Int64(measured)
        try #require(perTurn > 0)
        // A checkpoint copies each page once per thousand pages of log.
        let perDay = Double(perTurn) * 1.1 * Double(turns(topics: 100, payload: 30).count)
        #expect(perDay <= 50e6, "\(perTurn) bytes a turn, \(perDay / 1e6) MB a day")
        await store.close()
    }

    @Test func whereALotChangesAChangeWaitsTenMinutesAtMost() {
        let many = turns(topics: 2_000, payload: 100)
        #expect(many.count >= Self.day / 601 && many.longest <= 601, "\(many)")
        let few = turns(topics: 1, payload: 10)
        #expect(few.longest <= 60, "\(few)")
    }

    @Test func afterAQuietTimeAChangeIsWrittenWithinASecond() throws {
        var schedule = RetainedSchedule(now: 0)
        #expect(schedule.dueAt == nil)
        for round in 1...5 as ClosedRange<Int64> {
            let now = round * 600 * Self.second
            schedule.note("t", now: now)
            let due = try #require(schedule.dueAt)
            #expect(due == now + RetainedSchedule.gathering)
            _ = schedule.take()
            schedule.spend(count: 1, bytes: 100, now: now + RetainedSchedule.gathering)
        }
    }
}
