import Pipeline
import Readings
import Testing

/// Values that are not refreshed, and what is announced of their sensors: time is a parameter.
@Suite struct PresenceTests {
    static func at(_ seconds: Double) -> Timestamp {
        Timestamp(
            instant: Instant(nanoseconds: Int64(seconds * 1e9)), unixNanoseconds: Int64(seconds * 1e9), quality: .synced
        )
    }

    static func pipeline(staleAfter: Duration?) throws -> ReadingPipeline {
        let filter = try TopicFilter("#")
        let rule = ForwardRule(from: filter, to: try TopicTemplate("{gateway}/{topic}", gateway: "gw", filter: filter))
        return ReadingPipeline(
            rules: [rule], sensors: [DeviceID("s"): Treatment(unit: Unit("Cel"))],
            watched: [WatchedSensor(id: DeviceID("s"), topic: "sensors/s", staleAfter: staleAfter)])
    }

    static func arrival(_ body: Arrival.Body, _ seconds: Double) -> Arrival {
        Arrival(source: .sensor(DeviceID("s")), topic: "sensors/s", body: body, time: at(seconds))
    }

    static func texts(_ step: ReadingPipeline.Step) -> [String] {
        step.messages.map { "\($0.topic) \(String(decoding: $0.payload, as: UTF8.self))\($0.retain ? " R" : "")" }
    }

    static func step(_ pipeline: inout ReadingPipeline, _ body: Arrival.Body, _ seconds: Double) -> [String] {
        texts(pipeline.step(arrival(body, seconds), now: at(seconds).instant))
    }

    @Test func aValueThatIsNotRefreshedSaysSo() throws {
        var pipeline = try Self.pipeline(staleAfter: .seconds(30))
        #expect(
            Self.step(&pipeline, .samples([Sample(value: .number(21.5))]), 1) == [
                "gw/sensors/s/$state online R",
                "gw/sensors/s {\"ts\":1000,\"tq\":\"synced\",\"v\":21.5,\"u\":\"Cel\",\"q\":\"good\"}",
            ])
        #expect(Self.texts(pipeline.expire(now: Self.at(30.9))) == [])
        #expect(
            Self.texts(pipeline.expire(now: Self.at(31))) == [
                "gw/sensors/s {\"ts\":31000,\"tq\":\"synced\",\"v\":21.5,\"u\":\"Cel\",\"q\":\"stale\",\"why\":\"not refreshed for 30 s\"}",
                "gw/sensors/s/$state stale R",
            ])
        // Once.
        #expect(Self.texts(pipeline.expire(now: Self.at(99))) == [])
        #expect(
            Self.step(&pipeline, .samples([Sample(value: .number(21.5))]), 100).first == "gw/sensors/s/$state online R")
    }

    @Test func eachOfSeveralValuesIsWatched() throws {
        var pipeline = try Self.pipeline(staleAfter: .seconds(10))
        _ = Self.step(
            &pipeline, .samples([Sample(metric: "a", value: .integer(1)), Sample(metric: "b", value: .integer(2))]), 0)
        _ = Self.step(&pipeline, .samples([Sample(metric: "a", value: .integer(1))]), 8)
        let stale = Self.texts(pipeline.expire(now: Self.at(10)))
        #expect(stale.count == 2 && stale[0].hasPrefix("gw/sensors/s/b {") && stale[1] == "gw/sensors/s/$state stale R")
        // The sensor is whole again only when all its values are.
        #expect(Self.step(&pipeline, .samples([Sample(metric: "a", value: .integer(1))]), 11).count == 1)
        #expect(
            Self.step(&pipeline, .samples([Sample(metric: "b", value: .integer(1))]), 12).first
                == "gw/sensors/s/$state online R")
    }

    @Test func aFailureIsAnnouncedAtOnceAndOnce() throws {
        var pipeline = try Self.pipeline(staleAfter: nil)
        #expect(Self.step(&pipeline, .unavailable(reason: "gone"), 0) == ["gw/sensors/s/$state offline R"])
        #expect(Self.step(&pipeline, .unavailable(reason: "still gone"), 1) == [])
        #expect(Self.step(&pipeline, .samples([Sample(value: .integer(1))]), 2).count == 2)
        #expect(!pipeline.canExpire)
        #expect(Self.texts(pipeline.expire(now: Self.at(1e6))) == [])
    }

    @Test func aSensorThatNeverSaysAnythingIsStaleToo() throws {
        var pipeline = try Self.pipeline(staleAfter: .seconds(10))
        #expect(Self.texts(pipeline.expire(now: Self.at(5))) == [])
        #expect(Self.texts(pipeline.expire(now: Self.at(15))) == ["gw/sensors/s/$state stale R"])
        // What has failed is offline, not stale.
        #expect(Self.step(&pipeline, .unavailable(reason: "gone"), 16) == ["gw/sensors/s/$state offline R"])
        #expect(Self.texts(pipeline.expire(now: Self.at(99))) == [])
    }

    @Test func aBadValueDoesNotBecomeStale() throws {
        var pipeline = try Self.pipeline(staleAfter: .seconds(10))
        let bad = Self.step(&pipeline, .samples([Sample(value: .missing, quality: .bad, reason: "checksum")]), 0)
        #expect(bad.last == "gw/sensors/s {\"ts\":0,\"tq\":\"synced\",\"v\":null,\"q\":\"bad\",\"why\":\"checksum\"}")
        #expect(Self.texts(pipeline.expire(now: Self.at(20))) == ["gw/sensors/s/$state stale R"])
    }

    @Test func theDriversUnitGoesBeforeUntilTheValueIsScaled() throws {
        func unit(_ treatment: Treatment, _ sample: Sample) -> String? {
            var pipeline = ReadingPipeline(rules: [], sensors: [DeviceID("s"): treatment])
            return pipeline.step(Self.arrival(.samples([sample]), 0), now: Self.at(0).instant).readings.first?.unit?
                .name
        }
        let speed = Sample(value: .number(10), unit: Unit("m/s"))
        #expect(unit(Treatment(), speed) == "m/s")
        #expect(unit(Treatment(unit: Unit("km/h")), speed) == "m/s")
        #expect(unit(Treatment(scale: 3.6, unit: Unit("km/h")), speed) == "km/h")
        #expect(unit(Treatment(unit: Unit("V")), Sample(value: .integer(1))) == "V")
        #expect(unit(Treatment(unit: Unit("m3")), Sample(value: .integer(1), unit: Unit(""))) == nil)
    }
}
