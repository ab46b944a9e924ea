import Glibc
import TestSupport
import Testing

/// Sensors from the wire to the cloud, with the real binary.
@Suite(.serialized, .timeLimit(.minutes(3))) struct SensorsAcrossTests {
    /// A serial sensor on a pty pair: `socat` is the cable, and pulling it out ends socat.
    @Test func aSerialSensorSurvivesBeingUnplugged() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/sensors/#")
        let directory = try TemporaryDirectory()
        let near = directory["near"]
        let far = directory["far"]
        func plugIn() async throws -> ChildProcess {
            let cable = try ChildProcess(["socat", "pty,raw,echo=0,link=\(near)", "pty,raw,echo=0,link=\(far)"])
            #expect(await eventually { Self.exists(near) && Self.exists(far) }, "\(cable.errors)")
            return cable
        }
        var cable = try await plugIn()
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, directory: directory,
            settings: """
                [[sensor]]
                id = "scale"
                driver = "serial"
                port = "\(near)"
                baud = 9600
                decode = "regex"
                pattern = 'W=(?<value>[-0-9.]+)'
                unit = "kg"
                """)
        #expect(try await eventually { try await SensorsTogetherTests.states(gateway)["scale"] == "running" })
        Self.send("W=1.5\r\n", to: far)
        #expect(
            await eventually { cloud.messages.contains { $0.contains("\"v\":1.5,\"u\":\"kg\"") } },
            "\(cloud.process.output)")

        await cable.kill()
        #expect(try await eventually { try await SensorsTogetherTests.states(gateway)["scale"] == "failed" })
        cable = try await plugIn()
        #expect(
            try await eventually(within: .seconds(30)) {
                try await SensorsTogetherTests.states(gateway)["scale"] == "running"
            },
            "\(gateway.process.errors)")
        Self.send("W=2.5\r\n", to: far)
        #expect(
            await eventually { cloud.messages.contains { $0.contains("\"v\":2.5,\"u\":\"kg\"") } },
            "\(cloud.process.output)")
        await cable.kill()
    }

    /// One sensor without its port does not keep the others from working.
    @Test func aBrokenSensorFailsAloneAndSaysWhatToDo() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/sensors/#")
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port,
            settings: """
                [[sensor]]
                id = "missing"
                driver = "serial"
                port = "/dev/tidegate-no-such-port"
                [[sensor]]
                id = "wave"
                driver = "simulated"
                interval = "50ms"
                """)
        #expect(await eventually { cloud.messages.count > 5 })
        #expect(cloud.messages.contains("gw/sensors/missing/$state offline"))
        #expect(cloud.messages.contains("gw/sensors/wave/$state online"))
        let readings = cloud.messages.filter { !$0.contains("/$state ") }
        #expect(readings.allSatisfy { $0.hasPrefix("gw/sensors/wave {") })
        let status = try await gateway.status()
        #expect(status.contains("/dev/tidegate-no-such-port"), "\(status)")
        #expect(status.contains("\"state\" : \"failed\""))
    }

    /// Reads and writes that are interrupted, or come too early, cost nothing; one that fails for good restarts the sensor
    /// alone.
    @Test func faultsOfTheKernelAreSurvived() async throws {
        let upstream = try await MosquittoProcess()
        let cloud = try await Subscriber(port: upstream.port, topic: "gw/sensors/#")
        let directory = try TemporaryDirectory()
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let library = directory["faults.so"]
        let built = try await runToEnd(
            ["clang", "-shared", "-fPIC", "-O1", "-o", library, "\(root)/Tests/Peers/faults.c", "-ldl"],
            upTo: .seconds(60))
        try #require(built.ending == .exited(0), "\(built.errors)")
        let near = directory["near"]
        let far = directory["far"]
        let cable = try ChildProcess(["socat", "pty,raw,echo=0,link=\(near)", "pty,raw,echo=0,link=\(far)"])
        #expect(await eventually { Self.exists(near) && Self.exists(far) }, "\(cable.errors)")
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, directory: directory,
            settings: """
                [[sensor]]
                id = "scale"
                driver = "serial"
                port = "\(near)"
                """,
            environment: [
                "LD_PRELOAD": library, "FAULTS_EINTR": "3", "FAULTS_EAGAIN": "5", "FAULTS_EIO": "200",
            ])
        #expect(try await eventually { try await SensorsTogetherTests.states(gateway)["scale"] == "running" })
        // One line at a time, each waited for: none is lost before the line fails for good.
        var next = 1
        while next <= 60 {
            Self.send("\(next)\n", to: far)
            let number = next
            try #require(
                await eventually { cloud.messages.contains { $0.contains("\"v\":\(number),") } },
                "line \(number): \(gateway.process.errors)")
            next += 1
        }
        // The line that meets the failure is gone with it; those after the restart arrive.
        #expect(
            try await eventually(within: .seconds(30)) {
                Self.send("1000\n", to: far)
                return try await gateway.status().contains("\"restarts\" : 1")
            }, "\(gateway.process.errors)")
        #expect(
            await eventually(within: .seconds(30)) {
                Self.send("2000\n", to: far)
                return cloud.messages.contains { $0.contains("\"v\":2000,") }
            })
        #expect(gateway.process.errors.contains("input/output error (EIO)"))
        await cable.kill()
    }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static func send(_ text: String, to path: String) {
        guard let file = fopen(path, "w") else {
            Issue.record("cannot open \(path)")
            return
        }
        fputs(text, file)
        fclose(file)
    }
}
