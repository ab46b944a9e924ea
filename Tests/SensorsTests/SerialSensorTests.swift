import Glibc
import Sensors
import TestSupport
import Testing

/// The serial driver on real pseudo terminals.
@Suite(.timeLimit(.minutes(1))) struct SerialSensorTests {
    /// The far end of a pty whose near end has a name in the file system.
    final class Pty {
        let master: Int32
        let path: String

        init() throws {
            master = open("/dev/ptmx", O_RDWR | O_NOCTTY)
            // TIOCSPTLCK and TIOCGPTN (ioctl_tty(2)); Swift sees neither them nor unlockpt and ptsname.
            var locked: Int32 = 0
            var number: Int32 = 0
            try #require(ioctl(master, 0x4004_5431, &locked) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
            path = "/dev/pts/\(number)"
        }

        deinit { close(master) }

        func send(_ text: String) { _ = text.withCString { write(master, $0, strlen($0)) } }
    }

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
            #expect(rig.supervisor.snapshot()[0].restarts >= 1)
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
            #expect(await eventually { rig.supervisor.snapshot()[0].dropped == 2 })
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
}
