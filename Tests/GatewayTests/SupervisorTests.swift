import Logging
import Readings
import Synchronization
import TestSupport
import Testing
import Timekeeping

@testable import Gateway

@Suite(.timeLimit(.minutes(1))) struct SupervisorTests {
    /// Fails as often as it is told to, then runs until it is stopped.
    private final class ScriptedPart: Part {
        let name: PartName
        let failures: Mutex<[PartFailure]>
        let log: Log
        let trouble = Mutex<PartFailure?>(nil)

        init(_ name: PartName, failing failures: [PartFailure] = [], log: Log) {
            self.name = name
            self.failures = Mutex(failures)
            self.log = log
        }

        var problem: PartFailure? { trouble.withLock { $0 } }

        func run(_ life: PartLife) async throws(PartFailure) {
            if let failure = failures.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { throw failure }
            life.isRunning()
            await life.stop.wait()
            log.add("\(name)")
        }
    }

    private final class Log: Sendable {
        let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private let log = Log()
    private let supervisor = Supervisor(
        time: SystemTime(), logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    private let outside = PartFailure(.outside, "the port is in use", remedy: "stop the other broker")

    @Test func partsStopKindAfterKindInTheReverseOfTheirStart() async {
        for kind in [PartName.Kind.sensor, .upstream, .ingest, .listener] {
            supervisor.start(ScriptedPart(PartName(kind), log: log))
        }
        #expect(await supervisor.wait(atMost: .seconds(30)) { $0.allSatisfy(\.isWell) })
        await supervisor.stopAll()
        #expect(log.lines.withLock { $0 } == ["sensor", "listener", "ingest", "upstream link"])
        #expect(supervisor.table.allSatisfy { $0.state == .stopped })
    }

    @Test func aPartThatFailsIsStartedAgainAndHoldsUpNoOther() async {
        let failing = PartName(.listener, "a")
        supervisor.start(ScriptedPart(failing, failing: [outside, outside], log: log))
        supervisor.start(ScriptedPart(PartName(.listener, "b"), log: log))
        #expect(await supervisor.wait(atMost: .seconds(30)) { $0.last?.isWell == true })
        #expect(await supervisor.wait(atMost: .seconds(30)) { $0.first?.isWell == true })
        let row = supervisor.row(failing)
        #expect(row?.restarts == 2)
        #expect(row?.lastFailure == outside)
        #expect(row?.problem == nil)
        await supervisor.stopAll()
    }

    @Test func whatIsWrongWithAPartThatRunsIsInTheTableUntilItIsOver() async {
        let part = ScriptedPart(PartName(.outbox), log: log)
        supervisor.start(part)
        #expect(await supervisor.wait(atMost: .seconds(30)) { $0.allSatisfy(\.isWell) })
        part.trouble.withLock { $0 = outside }
        #expect(supervisor.row(part.name)?.problem == outside)
        #expect(supervisor.row(part.name)?.isWell == false)
        part.trouble.withLock { $0 = nil }
        #expect(supervisor.row(part.name)?.isWell == true)
        await supervisor.stopAll()
    }

    @Test func aPartThatGoesOnFailingByItselfEscalates() async {
        let fault = PartFailure(.inside, "the part ended", remedy: nil)
        let part = ScriptedPart(PartName(.ingest), failing: Array(repeating: fault, count: 5), log: log)
        supervisor.start(part)
        #expect(await supervisor.escalation.wait(atMost: .seconds(60)))
        #expect(supervisor.row(part.name)?.state == .givenUp)
        await supervisor.stopAll()
    }

    @Test func ofTwoPartsWithOneNameTheFirstRuns() async {
        let name = PartName(.sensor, "a")
        supervisor.start(ScriptedPart(name, log: log))
        supervisor.start(ScriptedPart(name, failing: [outside], log: log))
        #expect(await supervisor.wait(atMost: .seconds(30)) { $0.count == 1 && $0.allSatisfy(\.isWell) })
        #expect(supervisor.row(name)?.restarts == 0)
        await supervisor.stopAll()
    }

    @Test func aStoppedPartLeavesTheTableAndItsNameCanBeUsedAgain() async {
        let name = PartName(.listener, "a")
        supervisor.start(ScriptedPart(name, failing: Array(repeating: outside, count: 50), log: log))
        await supervisor.stop(name)
        #expect(supervisor.row(name) == nil)
        supervisor.start(ScriptedPart(name, log: log))
        #expect(await supervisor.wait(atMost: .seconds(30)) { $0.allSatisfy(\.isWell) })
        await supervisor.stopAll()
    }
}
