import Database
import Glibc
import Synchronization
import TestSupport
import Testing

private actor Recorder {
    nonisolated let executor: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private var numbers: [Int] = []
    private var threads: Set<String> = []

    init(name: String) throws { executor = try ThreadExecutor(name: name) }

    func add(_ number: Int) {
        numbers.append(number)
        let file = open("/proc/thread-self/comm", O_RDONLY)
        defer { close(file) }
        threads.insert(String(unsafeUninitializedCapacity: 32) { max(0, read(file, $0.baseAddress, 32)) })
    }

    /// Keeps the thread busy until told otherwise.
    func occupy(_ release: borrowing Atomic<Bool>, _ isOccupied: borrowing Atomic<Bool>) {
        isOccupied.store(true, ordering: .releasing)
        while !release.load(ordering: .acquiring) { usleep(100) }
    }

    var recorded: (numbers: [Int], threads: Set<String>) { (numbers, threads) }
}

@Suite struct ThreadExecutorTests {
    @Test func jobsRunOnOneNamedThread() async throws {
        let recorder = try Recorder(name: "a-name-that-is-too-long")
        for number in 0..<100 { await recorder.add(number) }
        let recorded = await recorder.recorded
        #expect(recorded.numbers == Array(0..<100))
        #expect(recorded.threads == ["a-name-that-is-\n"])
    }

    @Test func jobsOfManyTasksAreAllRun() async throws {
        let recorder = try Recorder(name: "many")
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<1000 { group.addTask { await recorder.add(number) } }
        }
        #expect(await recorder.recorded.numbers.sorted() == Array(0..<1000))
    }

    @Test func aVisitRunsWhereItIsUnlessAJobRuns() async throws {
        final class Flags: Sendable {
            let release = Atomic(false)
            let isOccupied = Atomic(false)
        }
        let recorder = try Recorder(name: "visited")
        let flags = Flags()
        try await onOwnThread {
            #expect(recorder.executor.isIsolatingCurrentContext() == false)
            let isInside = recorder.executor.runIfIdle {
                #expect(recorder.executor.runIfIdle { true } == nil, "a visit within a visit")
                recorder.assumeIsolated { $0.add(1) }
                return recorder.executor.isIsolatingCurrentContext()
            }
            #expect(isInside == true)
        }
        let job = Task { await recorder.occupy(flags.release, flags.isOccupied) }
        #expect(await eventually { flags.isOccupied.load(ordering: .acquiring) })
        try await onOwnThread { #expect(recorder.executor.runIfIdle { true } == nil) }
        flags.release.store(true, ordering: .releasing)
        await job.value
        let recorded = await recorder.recorded
        #expect(recorded.numbers == [1])
        #expect(recorded.threads != ["visited\n"])
    }

    /// Visits and jobs never run at the same time: a counter without a lock comes out right.
    @Test func visitsAndJobsExcludeEachOther() async throws {
        let recorder = try Recorder(name: "both")
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2_000 { group.addTask { await recorder.add(0) } }
            group.addTask {
                try? await onOwnThread {
                    var made = 0
                    while made < 2_000 {
                        if recorder.executor.runIfIdle({ recorder.assumeIsolated { $0.add(1) } }) != nil { made += 1 }
                    }
                }
            }
        }
        #expect(await recorder.recorded.numbers.count == 4_000)
    }

    @Test func theThreadEndsWithItsOwner() async throws {
        for _ in 0..<2000 { await (try Recorder(name: "short")).add(1) }
        // Were threads left behind, two thousand stacks and the process's limit would tell.
        var mine = 0
        guard let folder = opendir("/proc/self/task") else { return }
        defer { closedir(folder) }
        while readdir(folder) != nil { mine += 1 }
        #expect(mine < 500)
    }

    @Test func anOwnerMayGoOnItsOwnThread() async throws {
        // The job itself holds the last reference: the executor's deinit runs on the thread it would join.
        for _ in 0..<200 {
            let recorder = try Recorder(name: "own")
            Task.detached { await recorder.add(1) }
        }
        await (try Recorder(name: "last")).add(1)
    }
}
