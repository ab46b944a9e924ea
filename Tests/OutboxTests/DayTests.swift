import Database
import Outbox
import Readings
import TestSupport
import Testing

/// A day at a site with a bad line.
@Suite struct DayTests {
    /// 24 hours in which the upstream is there for a fifth of the time, with restarts, on a class that is too small now and
    /// then: whatever was taken arrives in order, or a gap record speaks for it.
    @Test(arguments: UInt64(1)...2) func everythingArrivesOrIsToldOf(seed: UInt64) async throws {
        let folder = try TemporaryDirectory()
        let time = ManualTime()
        var random = SplitMix64(seed: seed)
        let limits = ClassLimits(maximumBytes: 8_000, maximumAge: .seconds(6 * 3_600))
        let classes: [DeliveryClass: ClassLimits] = [.telemetry: limits, .events: ClassLimits()]
        var sinks = Sinks()
        var store = try sinks.open(.test(folder, classes: classes, time: time, commitAfter: .milliseconds(250)))
        var taken: [String: Int] = [:]
        var arrived: [OutboxStore.Claimed] = []
        var secondsUp = 0
        var isUp = false
        var changesAt = 0
        for second in 0..<86_400 {
            time.advance(.seconds(1))
            // The board's clock is a fancy thing.
            if second % 7_000 == 5 {
                time.setWallClock(unixSeconds: [0, 2_145_916_800, 1_795_433_520].randomElement(using: &random) ?? 0)
            }
            if second == changesAt {
                isUp.toggle()
                changesAt = second + Int.random(in: isUp ? 1...900 : 1...3_600, using: &random)
                if isUp { await store.attach() } else { await store.release() }
            }
            if second % 9_001 == 9_000 {
                await store.close()
                sinks = Sinks()
                store = try sinks.open(.test(folder, classes: classes, time: time, commitAfter: .milliseconds(250)))
                isUp = false
                changesAt = second + 60
            }
            if second % 10 == 0 {
                taken["telemetry", default: 0] += 1
                try await store.append([.test("\(taken["telemetry"] ?? 0)", time: time.now())])
            }
            if second % 601 == 0 {
                taken["events", default: 0] += 1
                try await store.append([.test("\(taken["events"] ?? 0)", .events, time: time.now())])
            }
            await store.tick()
            guard isUp else { continue }
            secondsUp += 1
            let claimed = try await store.claim(limit: 20, byteLimit: 10_000)
            // The line may go before the last of them are acknowledged.
            let count = Int.random(in: 0...3, using: &random) == 0 ? claimed.count / 2 : claimed.count
            arrived += claimed
            try await store.settle(claimed.prefix(count).map(\.id))
            if count < claimed.count {
                await store.release()
                await store.attach()
            }
        }
        await store.attach()
        while case let claimed = try await store.claim(limit: 100, byteLimit: 100_000), !claimed.isEmpty {
            arrived += claimed
            try await store.settle(claimed.map(\.id))
        }
        #expect(secondsUp > 86_400 / 10 && secondsUp < 86_400 / 3, "the line was up for \(secondsUp) s")

        for (name, count) in taken {
            // As a consumer sees it: repetitions left out, each epoch by itself.
            var next: [UInt64: Int64] = [:]
            var texts: [String] = []
            var lost = 0
            for message in arrived where message.stream == name {
                let expected = next[message.epoch] ?? 1
                if message.message.topic.hasPrefix("gaps/") {
                    func number(_ key: String) -> Int64 {
                        let text = message.text
                        guard let place = text.firstRange(of: "\"\(key)\":") else { return 0 }
                        return Int64(text[place.upperBound...].prefix { $0.isNumber }) ?? 0
                    }
                    guard number("last_seq") >= expected else { continue }
                    #expect(number("first_seq") <= expected, "seed \(seed)")
                    lost += Int(number("last_seq") - expected + 1)
                    next[message.epoch] = number("last_seq") + 1
                } else if message.sequence >= expected {
                    #expect(message.sequence == expected, "seed \(seed): \(name)")
                    texts.append(message.text)
                    next[message.epoch] = message.sequence + 1
                }
            }
            #expect(texts.count + lost == count, "seed \(seed): \(name)")
            #expect(texts.compactMap { Int($0) } == texts.compactMap { Int($0) }.sorted(), "seed \(seed): \(name)")
            #expect(name == "events" ? lost == 0 : lost > 0, "seed \(seed): \(name) lost \(lost)")
        }
        await store.close()
    }
}
