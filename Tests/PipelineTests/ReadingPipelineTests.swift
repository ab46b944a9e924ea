import Pipeline
import Readings
import Testing

@Suite struct ReadingPipelineTests {
    static let time = Timestamp(
        instant: Instant(nanoseconds: 1), unixNanoseconds: 1_764_000_000_123_456_789, quality: .synced)

    static func rule(
        _ from: String, _ to: String = "{gateway}/{topic}", _ name: String = "telemetry", _ treatment: Treatment? = nil
    ) throws -> ForwardRule {
        let filter = try TopicFilter(from)
        return ForwardRule(
            from: filter, to: try TopicTemplate(to, gateway: "gw", filter: filter),
            deliveryClass: DeliveryClass(name), treatment: treatment)
    }

    static func publish(_ topic: String, _ payload: String, retain: Bool = false) -> Arrival {
        Arrival(
            source: .device(DeviceID("dev")), topic: topic, body: .payload(Array(payload.utf8)), retain: retain,
            time: time)
    }

    static func sample(_ value: Value, metric: String? = nil) -> Arrival {
        Arrival(
            source: .sensor(DeviceID("s")), topic: "sensors/s",
            body: .samples([Sample(metric: metric, value: value)]), time: time)
    }

    static func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func aDevicesPayloadPassesByteForByte() throws {
        var pipeline = ReadingPipeline(rules: [try Self.rule("sensors/#")])
        let step = pipeline.step(Self.publish("sensors/a", "{odd \u{1}", retain: true), now: Self.at(0))
        let message = try #require(step.messages.first)
        #expect(step.messages.count == 1)
        #expect(message.topic == "gw/sensors/a")
        #expect(message.payload == Array("{odd \u{1}".utf8))
        #expect(message.retain)
        #expect(message.format == .opaque)
        #expect(step.local.isEmpty)
    }

    @Test func theFirstRuleThatMatchesDecides() throws {
        var pipeline = ReadingPipeline(rules: [
            try Self.rule("a/+", "first/+", "events"), try Self.rule("#", "second/{topic}"),
        ])
        let first = pipeline.step(Self.publish("a/b", "1"), now: Self.at(0)).messages
        #expect(first.map(\.topic) == ["first/b"])
        #expect(first.map(\.deliveryClass.name) == ["events"])
        #expect(pipeline.step(Self.publish("b", "1"), now: Self.at(0)).messages.map(\.topic) == ["second/b"])
    }

    @Test func whatNoRuleTakesStaysOnTheLAN() throws {
        var pipeline = ReadingPipeline(rules: [try Self.rule("sensors/#")])
        #expect(pipeline.step(Self.publish("other", "1"), now: Self.at(0)).messages.isEmpty)
        let step = ReadingPipeline(rules: [])
        var none = step
        #expect(none.step(Self.sample(.boolean(true)), now: Self.at(0)).local.map(\.topic) == ["sensors/s"])
    }

    @Test func aSensorsSampleBecomesAReadingForBothSides() throws {
        var pipeline = ReadingPipeline(
            rules: [try Self.rule("#")],
            sensors: [DeviceID("s"): Treatment(scale: 0.1, offset: -40, unit: Unit("Cel"))])
        let step = pipeline.step(Self.sample(.integer(614)), now: Self.at(0))
        let json = #"{"ts":1764000000123,"tq":"synced","v":21.400000000000006,"u":"Cel","q":"good"}"#
        #expect(step.messages.map { String(decoding: $0.payload, as: UTF8.self) } == [json])
        #expect(step.messages.map(\.format) == [.reading])
        #expect(step.local.map(\.topic) == ["sensors/s"])
        #expect(step.messages.map(\.topic) == ["gw/sensors/s"])
    }

    @Test func metricsGoBelowTheTopic() throws {
        var pipeline = ReadingPipeline(rules: [try Self.rule("#")])
        let step = pipeline.step(Self.sample(.text("a\"\\\n"), metric: "state"), now: Self.at(0))
        #expect(step.messages.map(\.topic) == ["gw/sensors/s/state"])
        #expect(String(decoding: step.messages[0].payload, as: UTF8.self).contains(#""v":"a\"\\\u000a""#))
        let bad = pipeline.step(Self.sample(.integer(1), metric: "a/#"), now: Self.at(0))
        #expect(bad.messages.isEmpty)
        #expect(bad.failure == .invalidMetric("a/#"))
    }

    @Test func deadbandHoldsBackSmallChangesButNotSilenceOrQuality() throws {
        let treatment = Treatment(deadband: 0.5, maximumSilence: .seconds(60))
        var pipeline = ReadingPipeline(rules: [try Self.rule("#")], sensors: [DeviceID("s"): treatment])
        func sent(_ arrival: Arrival, at second: Int64) -> Bool {
            !pipeline.step(arrival, now: Self.at(second)).messages.isEmpty
        }
        #expect(sent(Self.sample(.number(20)), at: 0))
        #expect(!sent(Self.sample(.number(20.4)), at: 1))
        #expect(sent(Self.sample(.number(20.5)), at: 2))
        #expect(!sent(Self.sample(.number(20.2)), at: 3))
        #expect(sent(Self.sample(.number(20.2)), at: 62))
        var bad = Self.sample(.number(20.2))
        bad.body = .samples([Sample(value: .number(20.2), quality: .bad)])
        #expect(sent(bad, at: 63))
        #expect(pipeline.step(Self.sample(.number(20.2)), now: Self.at(64)).readings.count == 1)
    }

    @Test func anUndecodablePayloadPassesOnAsItIs() throws {
        var pipeline = ReadingPipeline(rules: [try Self.rule("#", "{gateway}/{topic}", "telemetry", Treatment())])
        let good = pipeline.step(Self.publish("a", "21.5"), now: Self.at(0))
        #expect(good.messages.map(\.format) == [.reading])
        let bad = pipeline.step(Self.publish("a", "oops"), now: Self.at(0))
        #expect(bad.messages.map(\.payload) == [Array("oops".utf8)])
        #expect(bad.messages.map(\.format) == [.opaque])
        #expect(bad.failure != nil)
    }

    @Test func anUndecodableSensorLineIsReportedAndDropped() throws {
        var pipeline = ReadingPipeline(rules: [try Self.rule("#")])
        let line = Arrival(
            source: .sensor(DeviceID("s")), topic: "t", body: .payload(Array("garbage".utf8)), time: Self.time)
        let step = pipeline.step(line, now: Self.at(0))
        #expect(step.messages.isEmpty && step.local.isEmpty)
        #expect(step.failure == .undecodable(DecodingFailure(expected: "a number", found: "\"garbage\"")))
    }

    @Test func routesAreRememberedWithoutMixingDevicesOrGrowing() throws {
        var pipeline = ReadingPipeline(rules: [try Self.rule("#", "{device}/{topic}")])
        for round in 0..<3 {
            for index in 0..<3_000 {
                var arrival = Self.publish("t/\(index)", "1")
                arrival.source = .device(DeviceID("d\(index % 7)"))
                let step = pipeline.step(arrival, now: Self.at(Int64(round)))
                #expect(step.messages.first?.topic == "d\(index % 7)/t/\(index)")
            }
        }
    }

    @Test func topicsKeepTheirBytes() throws {
        var pipeline = ReadingPipeline(rules: [try Self.rule("#", "{topic}")])
        for topic in ["caf\u{E9}", "cafe\u{301}"] {
            let step = pipeline.step(Self.publish(topic, "1"), now: Self.at(0))
            #expect(step.messages.first.map { Array($0.topic.utf8) } == Array(topic.utf8))
        }
    }

    @Test func acceptRulesMapBack() throws {
        let filter = try TopicFilter("gw/cmd/#")
        let rules = AcceptRules([
            AcceptRule(from: filter, to: try TopicTemplate("cmd/#", gateway: "gw", filter: filter))
        ])
        #expect(rules.localTopic(for: "gw/cmd/lamp") == "cmd/lamp")
        #expect(rules.localTopic(for: "gw/other") == nil)
    }
}
