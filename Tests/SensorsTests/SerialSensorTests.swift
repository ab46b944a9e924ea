import Glibc
import Readings
import Sensors
import TestSupport
import Testing

/// The serial driver on real pseudo terminals.
@Suite(.timeLimit(.minutes(1))) struct SerialSensorTests {
    @Test func deliversLines() async throws {
        let pty = try Pty()
        let rig = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'\nmax_length = 20")])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            pty.send("21.5\r\n")
            pty.send("par")
            pty.send("tial\n" + String(repeating: "x", count: 50) + "\nend\n")
            #expect(await eventually { rig.lines(of: 0) == ["21.5", "partial", "end"] }, "\(rig.lines(of: 0))")
        }
    }

    @Test func aPortThatGoesIsReportedAndComesBack() async throws {
        let directory = try TemporaryDirectory()
        let link = directory["port"]
        var pty: Pty? = try Pty()
        symlink(try #require(pty?.path), link)
        let rig = try SensorRig([
            (SerialSensor.self, "port = '\(link)'"), (SimulatedSensor.self, "interval = '10ms'"),
        ])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            pty = nil
            unlink(link)
            #expect(await eventually { rig.state(of: 0).problem?.contains(link) == true })
            // The other sensor goes on meanwhile.
            let before = rig.values(of: 1).count
            #expect(await eventually { rig.values(of: 1).count > before + 3 })
            let again = try Pty()
            symlink(again.path, link)
            #expect(await eventually { rig.state(of: 0).name == "running" })
            again.send("back\n")
            #expect(await eventually { rig.lines(of: 0) == ["back"] })
            #expect(rig.hub.snapshot()[0].restarts >= 1)
        }
    }

    /// A scale that sends all the time: the first line after opening is seldom whole, and "1.5" is not 21.5.
    @Test func openedInTheMiddleOfALineItWaitsForTheNext() async throws {
        let pty = try Pty()
        _ = fcntl(pty.master, F_SETFL, O_NONBLOCK)
        let master = pty.master
        let talker = Task.detached {
            let text = Array("21.5\n".utf8)
            var next = 0
            while !Task.isCancelled {
                if write(master, [text[next % text.count]], 1) == 1 { next += 1 } else { await Task.yield() }
            }
        }
        for round in 1...20 {
            let rig = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'")])
            try await rig.run {
                #expect(await eventually { rig.lines(of: 0).count >= 2 })
                #expect(rig.lines(of: 0).allSatisfy { $0 == "21.5" }, "round \(round): \(rig.lines(of: 0).prefix(3))")
            }
        }
        talker.cancel()
        await talker.value
    }

    @Test func aPortHasOneOwner() async throws {
        let pty = try Pty()
        let first = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'")])
        let second = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'")])
        try await first.run {
            #expect(await eventually { first.state(of: 0).name == "running" })
            try await second.run {
                #expect(
                    await eventually(within: .seconds(5)) {
                        second.state(of: 0).problem?.contains("another program has it") == true
                    }, "\(second.state(of: 0))")
            }
        }
        // Given back: it can be had again.
        let third = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'")])
        try await third.run { #expect(await eventually { third.state(of: 0).name == "running" }) }
    }

    @Test func overlongLinesAreCounted() async throws {
        let pty = try Pty()
        let rig = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'\nmax_length = 4")])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            pty.send("12345\n1234\n" + String(repeating: "x", count: 3_000) + "\nend\n")
            #expect(await eventually { rig.lines(of: 0) == ["1234", "end"] }, "\(rig.lines(of: 0))")
            #expect(await eventually { rig.hub.snapshot()[0].dropped == 2 })
        }
    }

    @Test func tryingAgainLeaksNoDescriptor() async throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("", to: "file")
        let sensor = try #require(SensorRig.sensor(SerialSensor.self, "port = '\(file)'").sensor)
        let poller = try DescriptorPoller()
        defer { poller.stop() }
        let context = try SensorRig.context(poller: poller)
        for _ in 0..<2_000 { await #expect(throws: SensorError.self) { try await sensor.run(context) } }
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        #expect(descriptor < 1_000)
    }

    @Test func whatIsNoSerialPortSaysSo() async throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("", to: "file")
        let rig = try SensorRig([(SerialSensor.self, "port = '\(file)'")])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).problem?.contains("it is not a serial port") == true })
        }
    }

    @Test(arguments: [
        (
            "port = 'ttyUSB0'",
            "f:1:8: error: port: expected an absolute path, such as \"/dev/ttyUSB0\", found \"ttyUSB0\""
        ),
        ("port = '/x'\ndelimiter = ''", "f:2:13: error: delimiter: expected 1 to 8 bytes"),
        ("baud = 9600", "f:1:1: error: [[sensor]] needs the key \"port\" or \"usb\""),
        ("usb = 'ttyUSB0'", "f:1:7: error: usb: expected VENDOR:PRODUCT@BUS-PORT, such as \"0403:6001@1-1.2\""),
    ])
    func mistakesAreTold(text: String, expected: String) {
        let (sensor, errors) = SensorRig.sensor(SerialSensor.self, text)
        #expect(sensor == nil)
        #expect(errors.count == 1 && errors[0].hasPrefix(expected), "\(errors)")
    }

    @Test func binaryFramesAreDecoded() async throws {
        let pty = try Pty()
        let rig = try SensorRig([
            (
                SerialSensor.self,
                """
                port = '\(pty.path)'
                frame = 'length'
                start = 'AA 55'
                length_at = 2
                length_adds = 5
                checksum = 'crc-16-modbus'
                checksum_order = 'little'
                values = ['temperature @3 s16be *0.1 Cel', 'alarm @5 bit:3']
                """
            )
        ])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            var frame: [UInt8] = [0xAA, 0x55, 3, 0xFF, 0xF1, 0x08]
            let sum = Checksum.crc16Modbus.value(of: frame)
            frame += [UInt8(sum & 0xFF), UInt8(sum >> 8)]
            pty.send([0x00, 0xAA] + frame)
            #expect(await eventually { rig.samples(of: 0).count == 2 })
            #expect(rig.values(of: 0) == [.number(-1.5), .boolean(true)])
            #expect(rig.hub.snapshot()[0].raw == .bytes(frame))
        }
    }

    @Test func aReceiversLogBecomesPlacesAndATime() async throws {
        let pty = try Pty()
        let rig = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'\nframe = 'nmea'")])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            for line in [
                "$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B",
                "$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57", "$GPTXT,damaged*00",
            ] { pty.send("\(line)\r\n") }
            #expect(await eventually { rig.samples(of: 0).contains { $0.metric == "course" } })
            #expect(rig.samples(of: 0).first { $0.metric == "latitude" }?.value == .number(47.2852332))
            #expect(rig.hub.snapshot()[0].offeredTime?.utc == 1_039_422_959_000_000_000)
        }
    }

    @Test func aSmartMeterIsRead() async throws {
        let pty = try Pty()
        let rig = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'\nbaud = 115200\nframe = 'dsmr'")])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            pty.send(DSMRTests.telegram)
            #expect(
                await eventually { rig.samples(of: 0).contains { $0.metric == "gas" && $0.value == .number(0.107) } })
        }
    }

    /// It answers, is silent for a while, and answers again; and it answers too late.
    @Test func aDeviceThatIsAskedAnswers() async throws {
        let pty = try Pty()
        let rig = try SensorRig([
            (
                SerialSensor.self,
                "port = '\(pty.path)'\nrequest = \"READ?\\r\"\ninterval = '100ms'\ntimeout = '150ms'\nretries = 1"
            )
        ])
        try await rig.run {
            for round in 1...3 {
                #expect(await eventually { pty.received(upTo: "READ?\r") })
                pty.send("W=\(round)\n")
                #expect(await eventually { rig.lines(of: 0).count == round })
            }
            #expect(await eventually { rig.state(of: 0).problem?.contains("it does not answer") == true })
            // Requests that nobody read lie in the terminal: some answers come too late, and are nobody's.
            #expect(
                await eventually {
                    if pty.received(upTo: "READ?\r") { pty.send("W=4\n") }
                    return rig.state(of: 0).name == "running"
                })
        }
        #expect(rig.lines(of: 0).prefix(4) == ["W=1", "W=2", "W=3", "W=4"])
        #expect(rig.hub.snapshot()[0].restarts == 0)
    }

    @Test func aWrongSpeedIsDiagnosed() async throws {
        let pty = try Pty()
        let rig = try SensorRig([(SerialSensor.self, "port = '\(pty.path)'\nframe = 'nmea'")])
        try await rig.run {
            #expect(await eventually { rig.state(of: 0).name == "running" })
            #expect(
                await eventually(within: .seconds(30)) {
                    pty.send([UInt8](repeating: 0xF8, count: 20))
                    return rig.state(of: 0).problem?.contains("bytes arrive but never form a frame") == true
                })
            pty.send("\n$GPVTG,77.52,T,,M,0.004,N,0.008,K,A*06\r\n")
            #expect(await eventually { rig.state(of: 0).name == "running" })
        }
    }

    @Test(arguments: [
        ("frame = 'fixed'", "needs the key \"length\""), ("frame = 'start-end'", "needs the key \"end\""),
        ("frame = 'start-end'\nend = '0'", "in hexadecimal"), ("start = 'AA'", "start has a meaning only with frame"),
        ("frame = 'gap'\nvalues = ['x 2 u8']", "expected the place"), ("interval = '1s'", "only with request"),
        ("request = 'x'\nrequest_hex = '00'", "stands instead of request"),
        ("request_hex = 'x'", "bytes in hexadecimal"),
        ("frame = 'gap'\nvalues = ['x @2 u8', 'x @3 u8']", "two called"),
    ])
    func mistakesInFramesAreTold(text: String, expected: String) {
        let (sensor, errors) = SensorRig.sensor(SerialSensor.self, "port = '/x'\n\(text)")
        #expect(sensor == nil)
        #expect(errors.count == 1 && errors[0].contains(expected), "\(errors)")
    }
}
