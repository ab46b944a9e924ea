import Glibc
import TestSupport
import Testing

/// Signals from outside, to the real binary.
@Suite(.timeLimit(.minutes(2))) struct SignalTests {
    /// By default each of them ends a process without a stop.
    private static let ignored: [(number: Int32, name: String)] = [
        (SIGHUP, "SIGHUP"), (SIGUSR1, "SIGUSR1"), (SIGUSR2, "SIGUSR2"), (SIGALRM, "SIGALRM"),
        (SIGVTALRM, "SIGVTALRM"), (SIGPROF, "SIGPROF"), (SIGIO, "SIGIO"), (SIGPWR, "SIGPWR"),
        (SIGSTKFLT, "SIGSTKFLT"), (SIGXFSZ, "SIGXFSZ"), (__libc_current_sigrtmin(), "SIGRTMIN+0"),
        (__libc_current_sigrtmax(), "SIGRTMIN+30"),
    ]

    @Test func signalsWithoutAMeaningAreNamedAndIgnored() async throws {
        let upstream = try await MosquittoProcess()
        let gateway = try await TidegateProcess(upstreamPort: upstream.port)
        #expect(try await gateway.isConnected())
        for (number, name) in Self.ignored {
            gateway.process.signal(number)
            #expect(await eventually { gateway.process.errors.contains("signal=\(name) ") }, "\(name)")
        }
        #expect(gateway.process.errors.contains("sender=\"process \(getpid())\""), "\(gateway.process.errors)")
        // One that comes for ever does not fill the log.
        for _ in 0..<100 { gateway.process.signal(SIGUSR1) }
        try await gateway.publish("a", "1")
        #expect(gateway.process.endingIfOver == nil)
        #expect(gateway.process.errors.split(separator: "signal=SIGUSR1 ").count < 10)
        // Handlers, which programs that the gateway starts do not inherit (execve(2)); of what is ignored only SIGPIPE.
        let status = textOfFile("/proc/\(gateway.process.pid)/status")
        let mask = status.firstRange(of: "SigIgn:\t").map { status[$0.upperBound...].prefix(16) }
        // Signals 32 and 33 are the C library's own (nptl(7)).
        #expect(mask.flatMap { UInt64($0, radix: 16) }.map { $0 & ~(3 << 31) } == 1 << 12, "\(status)")
        gateway.process.signal(SIGTERM)
        #expect(await gateway.process.wait() == .exited(0))
    }

    @Test(arguments: [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT"), (SIGQUIT, "SIGQUIT")])
    func theGatewayStopsInOrder(number: Int32, name: String) async throws {
        let gateway = try await TidegateProcess(upstreamPort: freePort())
        try await gateway.publish("a", "kept")
        // Twice: an impatient hand does not cut the stop short.
        gateway.process.signal(number)
        gateway.process.signal(number)
        #expect(await gateway.process.wait() == .exited(0), "\(gateway.process.errors)")
        #expect(gateway.process.errors.contains("signal=\(name)"), "\(gateway.process.errors)")
        #expect(gateway.process.errors.contains("gateway: stopped"), "\(gateway.process.errors)")
    }

    @Test(arguments: [(SIGHUP, ["demo"]), (SIGQUIT, ["demo"]), (SIGTERM, ["demo", "--once"])])
    func theDemoLeavesNothingBehind(number: Int32, words: [String]) async throws {
        let directory = try TemporaryDirectory()
        let demo = try ChildProcess([TidegateProcess.binary] + words, environment: ["TMPDIR": directory.path])
        #expect(await eventually { directory.names.contains { access(directory["\($0)/outbox.db"], F_OK) == 0 } })
        demo.signal(SIGUSR2)
        demo.signal(number)
        #expect(await demo.wait() == .exited(words.count == 1 ? 0 : 69), "\(demo.errors)")
        #expect(directory.names == [])
    }
}
