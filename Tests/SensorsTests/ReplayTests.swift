import Readings
import Sensors
import TestSupport
import Testing

/// Recordings, and their playing back.
@Suite(.timeLimit(.minutes(1))) struct ReplayTests {
    static func entries(_ lines: String...) -> (entries: [Recording.Entry], damaged: UInt64) {
        var recording = Recording()
        let entries = lines.compactMap { recording.take(Array($0.utf8)) }
        return (entries, recording.damaged)
    }

    @Test func jsonLinesAndTables() {
        let json = Self.entries(
            #"{"ts": 1000, "v": 21.5}"#, "", #"{"ts":1500.0,"a":1,"b":true,"c":"x\ty\u00e9","d":null}"#, "\r")
        #expect(
            json.entries == [
                .init(time: 1_000, samples: [Sample(value: .number(21.5))]),
                .init(
                    time: 1_500,
                    samples: [
                        Sample(metric: "a", value: .integer(1)), Sample(metric: "b", value: .boolean(true)),
                        Sample(metric: "c", value: .text("x\tyé")),
                    ]),
            ])
        let table = Self.entries("time, value, state", "0, 1, on\r", "10,,off", "20,2.5,")
        #expect(
            table.entries.map(\.samples) == [
                [Sample(value: .integer(1)), Sample(metric: "state", value: .text("on"))],
                [Sample(metric: "state", value: .text("off"))], [Sample(value: .number(2.5))],
            ])
        #expect(json.damaged == 0 && table.damaged == 0)
    }

    @Test(arguments: [
        "{", "{}", "[]", "x", #"{"v":1}"#, #"{"ts":1}"#, #"{"ts":1,"v":}"#, #"{"ts":1,"v":nan}"#,
        #"{"ts":1,"v":{"a":1}}"#,
        #"{"ts":1,"v":[1]}"#, #"{"ts":1,"v":1} x"#, #"{"ts":1e300,"v":1}"#, #"{"ts":1,"v":"a"#,
        #"{"ts":1,"v":"\ud800"}"#,
        #"{"ts":1,"v":0x10}"#, "\u{FFFD}",
    ])
    func damagedLinesAreCounted(line: String) {
        let result = Self.entries(#"{"ts":0,"v":0}"#, line)
        #expect(result.entries.count == 1 && result.damaged == 1)
    }

    @Test func aRecordingIsPlayedAtItsPace() async throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(
            (0..<1_000).map { "{\"ts\": \(1_700_000_000_000 + $0 * 1_000), \"v\": \($0)}" }.joined(separator: "\n")
                + "\nbroken\n",
            to: "recording.jsonl")
        let rig = try SensorRig([
            (SimulatedSensor.self, "waveform = 'replay'\nfile = '\(path)'\nspeed = 5000\nloop = false"),
            (SimulatedSensor.self, "waveform = 'replay'\nfile = '\(path)'\nspeed = 1"),
            (SimulatedSensor.self, "waveform = 'replay'\nfile = '\(directory.path)/none'"),
        ])
        try await rig.run {
            #expect(await eventually { rig.values(of: 0).count == 1_000 })
            #expect(await eventually { rig.hub.snapshot()[0].dropped == 1 })
            #expect(await eventually { rig.state(of: 2).problem?.contains("check the path") == true })
        }
        #expect(rig.values(of: 0) == (0..<1_000).map { .integer(Int64($0)) })
        #expect(rig.values(of: 1).count < 10)
        let times = rig.arrivals.filter { $0.topic == "t/0" }.map(\.time.instant)
        #expect(times[999] - times[0] >= .milliseconds(199))
    }

    @Test(arguments: [
        ("waveform = 'replay'", "needs the key \"file\""),
        ("waveform = 'replay'\nfile = 'x'\nperiod = '1s'", "period has no meaning"),
        ("speed = 2", "speed has a meaning only"), ("waveform = 'replay'\nfile = 'x'\nspeed = 0", "above 0"),
    ])
    func mistakesAreTold(text: String, expected: String) {
        let (sensor, errors) = SensorRig.sensor(SimulatedSensor.self, text)
        #expect(sensor == nil)
        #expect(errors.count == 1 && errors[0].contains(expected), "\(errors)")
    }
}
