import Readings
import Sensors
import TestSupport
import Testing

/// DSMR telegrams, as they are published for testing.
@Suite struct DSMRTests {
    /// DSMR 5, with the checksum that it is published with.
    static let telegram = [
        "/ISk5\\2MT382-1000", "", "1-3:0.2.8(50)", "0-0:1.0.0(170102192002W)",
        "0-0:96.1.1(4B384547303034303436333935353037)",
        "1-0:1.8.1(000004.426*kWh)", "1-0:1.8.2(000002.399*kWh)", "1-0:2.8.1(000002.444*kWh)",
        "1-0:2.8.2(000000.000*kWh)",
        "0-0:96.14.0(0002)", "1-0:1.7.0(00.244*kW)", "1-0:2.7.0(00.000*kW)", "0-0:96.7.21(00013)", "0-0:96.7.9(00000)",
        "1-0:99.97.0(0)(0-0:96.7.19)", "1-0:32.32.0(00000)", "1-0:52.32.0(00000)", "1-0:72.32.0(00000)",
        "1-0:32.36.0(00000)", "1-0:52.36.0(00000)", "1-0:72.36.0(00000)", "0-0:96.13.0()", "1-0:32.7.0(0230.0*V)",
        "1-0:52.7.0(0230.0*V)", "1-0:72.7.0(0229.0*V)", "1-0:31.7.0(0.48*A)", "1-0:51.7.0(0.44*A)",
        "1-0:71.7.0(0.86*A)",
        "1-0:21.7.0(00.070*kW)", "1-0:41.7.0(00.032*kW)", "1-0:61.7.0(00.142*kW)", "1-0:22.7.0(00.000*kW)",
        "1-0:42.7.0(00.000*kW)", "1-0:62.7.0(00.000*kW)", "0-1:24.1.0(003)",
        "0-1:96.1.0(3232323241424344313233343536373839)",
        "0-1:24.2.1(170102161005W)(00000.107*m3)", "0-2:24.1.0(003)", "0-2:96.1.0()", "!6EEE", "",
    ].joined(separator: "\r\n")

    /// DSMR 2.2: no checksum, the gas meter's value on a line of its own.
    static let old = [
        "/KMP5 KA6U001660297912", "", "0-0:96.1.1(204B413655303031363630323937393132)", "1-0:1.8.1(00024.000*kWh)",
        "1-0:1.8.2(00005.000*kWh)", "0-0:96.14.0(0002)", "1-0:1.7.0(0000.03*kW)", "0-0:17.0.0(999*A)", "0-0:96.3.10(1)",
        "0-1:24.1.0(3)", "0-1:24.3.0(121030140000)(00)(60)(1)(0-1:24.2.1)(m3)", "(00024.123)", "0-1:24.4.0(1)", "!", "",
    ].joined(separator: "\r\n")

    static func samples(_ text: String) throws -> [String: Sample] {
        var framer = DSMRFramer()
        let telegram = try #require(framer.push(text.utf8).first)
        let parsed = try #require(DSMRTelegram(parsing: telegram))
        return Dictionary(parsed.samples.map { ($0.metric ?? "", $0) }) { first, _ in first }
    }

    @Test func theTablesValuesAreTaken() throws {
        let samples = try Self.samples(Self.telegram)
        #expect(samples["energy_delivered_tariff1"]?.value == .number(4.426))
        #expect(samples["energy_delivered_tariff1"]?.unit == Unit("kWh"))
        #expect(samples["power_delivered"]?.value == .number(0.244) && samples["power_delivered"]?.unit == Unit("kW"))
        #expect(samples["tariff"]?.value == .text("0002"))
        #expect(samples["power_failures"]?.value == .integer(13))
        #expect(samples["voltage_l3"]?.value == .number(229))
        #expect(samples["current_l2"]?.value == .number(0.44))
        #expect(samples["gas"]?.value == .number(0.107) && samples["gas"]?.unit == Unit("m3"))
        // The meters' numbers name a household.
        #expect(!samples.values.contains { if case .text(let text) = $0.value { text.count > 8 } else { false } })
    }

    @Test func oldMetersAreUnderstood() throws {
        let samples = try Self.samples(Self.old)
        #expect(samples["energy_delivered_tariff2"]?.value == .number(5))
        #expect(samples["gas"]?.value == .number(24.123) && samples["gas"]?.unit == Unit("m3"))
        #expect(samples["breaker"]?.value == .text("1"))
    }

    @Test func whatIsDamagedIsNotTaken() {
        var framer = DSMRFramer()
        var damaged = Array(Self.telegram.utf8)
        damaged[200] ^= 1
        #expect(framer.push(damaged).isEmpty)
        #expect(framer.checksumErrors == 1)
        // It was opened in the middle of one; the next is whole.
        #expect(framer.push(Self.telegram.utf8.dropFirst(300)).isEmpty)
        #expect(framer.push(Self.telegram.utf8).count == 1)
        // One breaks off, and another follows.
        #expect(framer.push(Array(Self.telegram.utf8.prefix(500)) + Array("\r\n\(Self.telegram)".utf8)).count == 1)
        #expect(framer.push(Array("/".utf8) + [UInt8](repeating: 0x41, count: 20_000)).isEmpty)
        #expect(framer.overlong == 1)
    }

    @Test func everyPortionAndEveryDamageIsSurvived() {
        var random = SplitMix64(seed: 21)
        let bytes = Array(Self.telegram.utf8)
        for _ in 0..<300 {
            var framer = DSMRFramer(maximumLength: 4_096)
            var stream = bytes
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                stream[Int.random(in: 0..<stream.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) {
                stream.removeSubrange(0..<Int.random(in: 1..<stream.count, using: &random))
            }
            var found: [[UInt8]] = []
            var rest = stream[...]
            while !rest.isEmpty {
                let portion = rest.prefix(Int.random(in: 1...200, using: &random))
                rest = rest.dropFirst(portion.count)
                found += framer.push(portion)
            }
            for telegram in found { _ = DSMRTelegram(parsing: telegram) }
            _ = DSMRTelegram(parsing: stream)
        }
    }
}
