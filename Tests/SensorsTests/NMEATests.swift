import Readings
import Sensors
import TestSupport
import Testing

/// NMEA 0183: sentences from the public examples of receivers' manuals.
@Suite struct NMEATests {
    static func samples(_ lines: String...) -> [String: Sample] {
        var receiver = NMEAReceiver()
        var samples: [String: Sample] = [:]
        for line in lines { for sample in receiver.take(Array(line.utf8)) { samples[sample.metric ?? ""] = sample } }
        return samples
    }

    @Test func positionAndFix() {
        let samples = Self.samples("$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B")
        #expect(samples["latitude"]?.value == .number(47.2852332) && samples["latitude"]?.unit == Unit("lat"))
        #expect(samples["longitude"]?.value == .number(8.565265) && samples["longitude"]?.unit == Unit("lon"))
        #expect(samples["altitude"]?.value == .number(499.6))
        #expect(samples["fix_quality"]?.value == .integer(1) && samples["satellites"]?.value == .integer(8))
        #expect(samples["hdop"]?.value == .number(1.01))
        #expect(samples.values.allSatisfy { $0.quality == .good })
        let south = Self.samples("$GNGGA,074102.000,3858.10000,S,14502.10000,E,1,03,4.38,51.4,M,-1.5,M,,*4E")
        #expect(south["latitude"]?.value == .number(-38.9683333))
    }

    @Test func recommendedMinimumBringsTime() {
        var receiver = NMEAReceiver()
        let samples = receiver.take(
            Array("$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57".utf8))
        #expect(samples.first { $0.metric == "valid" }?.value == .boolean(true))
        #expect(samples.first { $0.metric == "course" }?.value == .number(77.52))
        #expect(samples.first { $0.metric == "speed" }?.value == .number(0.002))
        // date -u -d "2002-12-09 08:35:59" +%s
        #expect(receiver.utc == 1_039_422_959_000_000_000)
        _ = receiver.take(Array("$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A".utf8))
        #expect(receiver.utc == 764_426_119_000_000_000)
        _ = receiver.take(Array("$GPZDA,082710.00,16,09,2002,00,00*64".utf8))
        #expect(receiver.utc == 1_032_164_830_000_000_000)
        _ = receiver.take(Array("$GPVTG,77.52,T,,M,0.004,N,0.008,K,A*06".utf8))
        #expect(receiver.utc == nil)
    }

    /// A receiver without a fix tells what its clock woke up with.
    @Test func withoutAFixTheClockIsNotBelieved() {
        var receiver = NMEAReceiver()
        let clock = Array("$GPZDA,082710.00,16,09,2002,00,00*64".utf8)
        func tellsTime() -> Bool {
            _ = receiver.take(clock)
            return receiver.utc != nil
        }
        #expect(!tellsTime())
        _ = receiver.take(Array("$GNRMC,,V,,,,,,,,,,N,V*37".utf8))
        #expect(!tellsTime())
        _ = receiver.take(Array("$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57".utf8))
        #expect(tellsTime())
        _ = receiver.take(Array("$GNRMC,,V,,,,,,,,,,N,V*37".utf8))
        #expect(!tellsTime())
    }

    @Test func withoutAFixThereIsNoPlaceAndNoTime() {
        var receiver = NMEAReceiver()
        let samples = receiver.take(Array("$GNRMC,,V,,,,,,,,,,N,V*37".utf8))
        #expect(samples.first { $0.metric == "valid" }?.value == .boolean(false))
        let latitude = samples.first { $0.metric == "latitude" }
        #expect(latitude?.value == .missing && latitude?.quality == .bad && latitude?.reason == "no fix")
        #expect(receiver.utc == nil)
    }

    @Test func motionPrecisionAndSatellites() {
        let motion = Self.samples("$GPVTG,77.52,T,,M,0.004,N,0.008,K,A*06")
        #expect(motion["course"]?.value == .number(77.52) && motion["speed"]?.value == .number(0.002))
        let precision = Self.samples("$GPGSA,A,3,23,29,07,08,09,18,26,28,,,,,1.94,1.18,1.54*0D")
        #expect(precision["fix_mode"]?.value == .integer(3) && precision["vdop"]?.value == .number(1.54))
        let satellites = Self.samples(
            "$GPGSV,2,1,07,29,63,203,24,2,62,148,,25,61,339,24,20,33,129,*48",
            "$GPGSV,2,2,07,12,32,18,25,26,7,220,,23,1,340,*76", "$BDGSV,1,1,04,1,47,0,,4,44,22,,3,34,313,,2,12,289,*5D")
        #expect(satellites["satellites_in_view"]?.value == .integer(11))
    }

    @Test func whatIsDamagedIsCountedAndNotTaken() {
        var receiver = NMEAReceiver()
        for line in [
            "$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5C",
            "$GPGGA,092725.00,4717.11399,N",
            "GPGGA,1*00", "", "$", "$*00", "$GPGGA,\u{7}*00", "$GPGGA*5", "\\s:rx*00",
        ] { #expect(receiver.take(Array(line.utf8)).isEmpty, "\(line)") }
        #expect(receiver.sentences == 0)
        #expect(receiver.checksumErrors + receiver.malformed == 9)
        // A tag block in front is no damage.
        let tagged = receiver.take(Array("\\g:1-2-73874*4A\\$GPVTG,77.52,T,,M,0.004,N,0.008,K,A*06".utf8))
        #expect(tagged.count == 2)
    }

    @Test func nonsenseWithARightChecksumIsNoPlace() {
        func sentence(_ body: String) -> [UInt8] {
            let sum = body.utf8.reduce(UInt8(0)) { $0 ^ $1 }
            return Array("$\(body)*\(sum < 16 ? "0" : "")\(String(sum, radix: 16))".utf8)
        }
        var receiver = NMEAReceiver()
        for body in [
            "GPGGA,1,9000.1,N,00000.0,E,1,08,1,1,M,,M,,", "GPGGA,1,4760.0,N,00000.0,E,1,08,1,1,M,,M,,",
            "GPGGA,1,4710.0,X,00000.0,E,1,08,1,1,M,,M,,", "GPGGA,1,nan,N,inf,E,1,08,1,1,M,,M,,",
            "GPGGA,1,1e5,N,0,E,1,99999999999999999999,1,1,M,,M,,",
        ] {
            let samples = receiver.take(sentence(body))
            #expect(samples.first { $0.metric == "latitude" }?.value == .missing, "\(body)")
        }
        _ = receiver.take(Array("$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57".utf8))
        for body in [
            "GPZDA,256060,16,09,2002", "GPZDA,1,16,09,2002", "GPZDA,082710.00,32,09,2002",
            "GPZDA,082710.00,16,09,99999999999",
        ] {
            _ = receiver.take(sentence(body))
            #expect(receiver.utc == nil, "\(body)")
        }
        var random = SplitMix64(seed: 8)
        for _ in 0..<5_000 {
            let fields = (0..<Int.random(in: 0...20, using: &random)).map { _ in
                String(
                    ["", "A", "-1", "9999999999999999999999", "4717.1", ".", "N", "1e400", "0x1", "K"].randomElement(
                        using: &random) ?? "")
            }
            let type =
                ["GPGGA", "GNRMC", "GPVTG", "GAGSA", "GLGSV", "GPZDA", "PUBX"].randomElement(using: &random) ?? ""
            _ = receiver.take(sentence(([type] + fields).joined(separator: ",")))
        }
    }
}
