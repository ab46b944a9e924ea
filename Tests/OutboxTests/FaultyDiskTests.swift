import Database
import FaultyDisk
import Outbox
import Readings
import TestSupport
import Testing

/// The disk fails at every call in turn, and the power at every moment: nothing that was told to be safe is lost, and what
/// comes comes in order.
@Suite(.serialized) struct FaultyDiskTests {
    private static let full: Int32 = 13  // SQLITE_FULL
    private static let writeError: Int32 = 10 | 3 << 8  // SQLITE_IOERR_WRITE

    let folder: TemporaryDirectory
    let time = ManualTime()

    init() throws {
        folder = try TemporaryDirectory()
        faulty_disk_install()
        faulty_disk_fail(0, 0, false)
    }

    /// What was told to the world, over all processes of a test.
    private final class Ledger {
        var next: UInt64 = 0
        /// Messages whose publisher was told that they are safe.
        var safe: Set<UInt64> = []
        /// Messages that the upstream has, with the number of the process that delivered them.
        var delivered: [UInt64] = []
    }

    private func number(_ text: String) -> UInt64 { UInt64(text.prefix { $0.isNumber }) ?? 0 }

    /// A little of everything, whatever fails.
    private func work(_ store: OutboxStore, _ sinks: Sinks, _ ledger: Ledger, rounds: Int) async {
        for round in 0..<rounds {
            let first = ledger.next + 1
            ledger.next += 4
            _ = try? await store.append(
                (first...ledger.next).map {
                    .test("\($0) " + String(repeating: "x", count: Int($0 * 131 % 2_000)), time: time.now(), token: $0)
                })
            time.advance(.milliseconds(30))
            await store.tick()
            if round % 3 == 2 {
                await store.attach()
                if let claimed = try? await store.claim(limit: 3, byteLimit: 1 << 20) {
                    ledger.delivered += claimed.map { number($0.text) }
                    try? await store.settle(claimed.map(\.id))
                }
                time.advance(.milliseconds(30))
                await store.tick()
            }
            if round % 4 == 3 { await store.release() }
        }
        ledger.safe.formUnion(sinks.settled.flatMap { $0 }.map(\.publication))
    }

    private func open(_ path: String, _ sinks: Sinks, boot: String) throws -> OutboxStore {
        var configuration = OutboxStore.Configuration(
            path: path, classes: [.telemetry: ClassLimits(commitAfter: .milliseconds(10))], time: time,
            boot: BootID(boot)
        ) { "gaps/\($0.name)" }
        // Few messages may be delivered twice, and memory is soon full.
        configuration.window = 3
        configuration.memoryMessages = 16
        return try sinks.open(configuration)
    }

    /// Everything that is left comes, and with what came before it is all that was safe.
    private func check(_ path: String, _ ledger: Ledger, _ what: String) async throws {
        let sinks = Sinks()
        let store = try open(path, sinks, boot: "last")
        await store.attach()
        var rest: [UInt64] = []
        while true {
            let claimed = try await store.claim(limit: 50, byteLimit: 1 << 20)
            if claimed.isEmpty { break }
            rest += claimed.map { number($0.text) }
            try await store.settle(claimed.map(\.id))
            try await store.flush()
        }
        #expect(store.recovery == nil, "\(what): \(String(describing: store.recovery))")
        #expect(rest == rest.sorted(), "\(what)")
        #expect(Set(rest).count == rest.count, "\(what)")
        let lost = ledger.safe.subtracting(ledger.delivered).subtracting(rest)
        #expect(lost.isEmpty, "\(what): lost \(lost.sorted())")
        await store.close()
    }

    @Test(arguments: [(full, false), (full, true), (writeError, false), (writeError, true)])
    func everyCallFailsInTurn(code: Int32, stays: Bool) async throws {
        // How many calls there are when nothing fails.
        let calls = try await run("count", failing: 0, code, stays: false)
        #expect(calls > 100)
        var call: Int64 = 1
        while call <= calls {
            _ = try await run("\(call)", failing: call, code, stays: stays)
            call += call < 60 ? 1 : 7
        }
    }

    private func run(_ name: String, failing call: Int64, _ code: Int32, stays: Bool) async throws -> Int64 {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        let path = "\(disk.path)/outbox.db"
        let ledger = Ledger()
        faulty_disk_fail(call, code, stays)
        let sinks = Sinks()
        // A disk that fails from the first call on makes no store, and nothing was told then.
        if let store = try? open(path, sinks, boot: "first") {
            await work(store, sinks, ledger, rounds: 24)
            let calls = faulty_disk_calls()
            faulty_disk_fail(0, 0, false)
            // The disk has recovered, and so does the store.
            time.advance(.seconds(20))
            await store.tick()
            #expect(store.problem == nil, "call \(name)")
            await work(store, sinks, ledger, rounds: 2)
            await store.close()
            try await check(path, ledger, "call \(name)")
            return calls
        }
        faulty_disk_fail(0, 0, false)
        try await check(path, ledger, "call \(name)")
        return 0
    }

    @Test(arguments: UInt64(1)...40) func thePowerFails(seed: UInt64) async throws {
        let disk = try TemporaryDirectory(named: "faulty-disk")
        let path = "\(disk.path)/outbox.db"
        let ledger = Ledger()
        var random = SplitMix64(seed: seed)
        for boot in 1...4 {
            faulty_disk_cache(true)
            let sinks = Sinks()
            let store = try open(path, sinks, boot: "boot-\(boot)")
            // Somewhere in between, not after a round.
            faulty_disk_fail(Int64.random(in: 1...120, using: &random), Self.writeError, true)
            await work(store, sinks, ledger, rounds: Int.random(in: 1...30, using: &random))
            faulty_disk_cut(random.next())
            faulty_disk_cache(false)
            faulty_disk_fail(0, 0, false)
            await store.close()
        }
        try await check(path, ledger, "seed \(seed)")
    }
}
