import Broker
import Logging
import MQTT
import NIOCore
import NIOPosix
import Readings
import Registry
import Synchronization
import TestSupport
import Testing

/// Settles what comes in any order, and is full now and then.
private final class MoodyIntake: Intake {
    private let random: Mutex<SplitMix64>
    private let server = Mutex<BrokerServer?>(nil)

    init(seed: UInt64) { random = Mutex(SplitMix64(seed: seed)) }

    func attach(_ server: BrokerServer) { self.server.withLock { $0 = server } }

    func accept(_ batch: [Arrival]) -> IntakeVerdict {
        guard let server = server.withLock({ $0 }) else { return .accepted }
        let (tokens, isFull) = random.withLock { random in
            (batch.compactMap(\.settle).shuffled(using: &random), random.once(in: 10))
        }
        server.settle(tokens)
        guard isFull else { return .accepted }
        // Runs behind this turn, so that the reading stops before it goes on.
        server.resume()
        return .congested
    }
}

private struct Adapter: SessionStore {
    let store: StateStore
    func load() async throws -> StoredSessions { await store.load() }
    func commit(_ changes: [SessionChange]) async throws { try await store.commit(changes) }
    func rewrite(_ everything: [SessionChange]) async throws -> SessionRewrite { try await store.rewrite(everything) }
    func isIntact() async -> Bool { await store.isIntact() }
}

/// Whole rounds from seeds: a real listener, many connections that play scripts at once, and a witness that has to be
/// served all the while.
@Suite(.timeLimit(Fuzzing.limit)) struct ServerFuzzTests {
    /// Seeds that failed once.
    private static let kept: [UInt64] = [6_967_432_554_382_619_561]

    private static let connections = 20

    @Test func roundsFromSeeds() async {
        await Fuzzing.run("server", kept: Self.kept, count: 100) { try await Self.round($0) }
    }

    private static func round(_ seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        var granted = FuzzScript.Granted()
        granted.receiveMaximum = random.pick([1, 2, 10, 1_000])
        granted.topicAliasMaximum = random.pick([0, 1, 16])
        granted.maximumPacketSize = random.pick([1_000, 256 << 10])
        var configuration = BrokerConfiguration()
        configuration.listeners = [Listener(.tcp(ListenAddress(host: "127.0.0.1", port: 0)))]
        configuration.limits.receiveMaximum = UInt16(granted.receiveMaximum)
        configuration.limits.topicAliasMaximum = UInt16(granted.topicAliasMaximum)
        configuration.limits.maximumPacketSize = UInt32(granted.maximumPacketSize)
        configuration.limits.sendWindow = random.pick([1, 100])
        configuration.maximumOutputBytes = random.pick([16 << 10, 256 << 10])
        configuration.maximumSessionExpiry = random.pick([0, .max])
        let directory = random.once(in: 4) ? try TemporaryDirectory() : nil
        let play = Play(seed: random.next(), granted: granted, endsSessions: configuration.maximumSessionExpiry == 0)
        let last = try await serve(configuration, directory, seed: random.next()) { server, port in
            try play.run(server, port)
        }
        guard let directory else { return }
        // What was kept is there again, and can be read.
        let restarted = try await serve(configuration, directory, seed: 0) { _, port in
            try FuzzWitness(port: port).lookAround()
        }
        guard restarted.sessions == last.sessions, restarted.subscriptions == last.subscriptions else {
            throw FuzzFailure(
                "\(last.sessions) sessions with \(last.subscriptions) subscriptions became \(restarted.sessions) with "
                    + "\(restarted.subscriptions)")
        }
    }

    /// Returns what the server said of itself when its clients had gone.
    private static func serve(
        _ configuration: BrokerConfiguration, _ directory: TemporaryDirectory?, seed: UInt64,
        _ body: @escaping @Sendable (BrokerServer, Int) throws -> Void
    ) async throws -> BrokerSnapshot {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let intake = MoodyIntake(seed: seed)
        let store = try directory.map { try StateStore(path: $0["state.db"], boot: "this", time: KernelTime()) }
        let server = BrokerServer(
            configuration: configuration, group: group, intake: intake, time: KernelTime(),
            store: store.map { Adapter(store: $0) }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        intake.attach(server)
        try await server.start()
        guard let port = try await server.open(configuration.listeners[0]).port else {
            throw FuzzFailure("no listener")
        }
        var failure: (any Error)?
        do {
            try await onOwnThread { try body(server, port) }
            guard await eventually({ await server.snapshot().clients.isEmpty }) else {
                throw FuzzFailure("clients are left behind: \(await server.snapshot().clients.map(\.id))")
            }
        } catch {
            failure = error
        }
        let snapshot = await server.snapshot()
        await server.shutdown(deadline: .seconds(5))
        try await group.shutdownGracefully()
        await store?.close()
        if let failure { throw failure }
        return snapshot
    }

    /// The connections of one round, all on one thread: which of them goes on next is the seed's choice.
    private struct Play: Sendable {
        let seed: UInt64
        let granted: FuzzScript.Granted
        let endsSessions: Bool

        func run(_ server: BrokerServer, _ port: Int) throws {
            var random = SplitMix64(seed: seed)
            let witness = try FuzzWitness(port: port)
            var peers: [FuzzPeer] = []
            var begun = 0
            while begun < connections || !peers.isEmpty {
                if begun < connections, peers.isEmpty || peers.count < 8 && random.once(in: 4) {
                    begun += 1
                    let script = FuzzScript(seed: random.next(), name: "own-\(begun)", granted: granted)
                    peers.append(try FuzzPeer(script, port: port))
                }
                let index = random.number(0...peers.count - 1)
                let peer = peers[index]
                if peer.hasMore, !random.once(in: 100) {
                    peer.send()
                    if random.once(in: 2) { try peer.drain() }
                } else {
                    if peer.hasMore { peer.close() } else { try peer.finish() }
                    peers.remove(at: index)
                }
                if random.once(in: 40) { try witness.lookAround() }
            }
            try witness.lookAround()
            try witness.looksAtSystemTopics()
            witness.leave()
            try judge(server)
        }

        /// What is left when all have gone.
        private func judge(_ server: BrokerServer) throws {
            let snapshot = wait {
                _ = await eventually { await server.snapshot().clients.isEmpty }
                return await server.snapshot()
            }
            guard snapshot.retained >= 0, snapshot.sessions <= connections + 1, snapshot.storeProblem == nil else {
                throw FuzzFailure("\(snapshot)")
            }
            if endsSessions, snapshot.sessions != 0 || snapshot.subscriptions != 0 {
                throw FuzzFailure("\(snapshot.sessions) sessions, \(snapshot.subscriptions) subscriptions are left")
            }
            guard snapshot.counters.accepted == UInt64(connections) + 1 else {
                throw FuzzFailure("\(snapshot.counters)")
            }
        }
    }
}
