import Broker
import Glibc
import Logging
import MQTT
import NIOCore
import NIOPosix
import Readings
import Registry
import Synchronization
import TestSupport
import Testing

/// A real state file that takes nothing while the test says so.
private actor StubbornStore: SessionStore {
    struct Refusal: Error {}

    let store: StateStore
    private(set) var refuses = false
    /// Batches and changes that were asked for.
    private(set) var asked = (batches: 0, changes: 0)
    private(set) var rewrites = 0

    init(_ store: StateStore) { self.store = store }

    func refuse(_ refuses: Bool) { self.refuses = refuses }

    func load() async throws -> StoredSessions { await store.load() }

    func commit(_ changes: [SessionChange]) async throws {
        asked = (asked.batches + 1, asked.changes + changes.count)
        if refuses { throw Refusal() }
        try await store.commit(changes)
    }

    func rewrite(_ everything: [SessionChange]) async throws -> SessionRewrite {
        rewrites += 1
        if refuses { throw Refusal() }
        return try await store.rewrite(everything)
    }

    func isIntact() async -> Bool { await store.isIntact() }
}

/// What devices see of a state file that fails, and what is left of what they were told.
@Suite(.timeLimit(.minutes(1))) struct StoreFailureTests {
    private static let forever = Property.sessionExpiryInterval(.max)

    private func withServer(
        _ path: String, intake: any Intake = LocalIntake(), tell: @escaping @Sendable (StateEvent) -> Void = { _ in },
        _ body: @escaping @Sendable (BrokerServer, StubbornStore, Int) async throws -> Void
    ) async throws {
        var configuration = BrokerConfiguration()
        configuration.listeners = [Listener(.tcp(ListenAddress(host: "127.0.0.1", port: 0)))]
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let store = try StateStore(path: path, boot: "this", time: KernelTime(), tell: tell)
        let stubborn = StubbornStore(store)
        let server = BrokerServer(
            configuration: configuration, group: group, intake: intake, time: KernelTime(), store: stubborn,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await server.start()
        let port = try #require(try await server.open(configuration.listeners[0]).port)
        do { try await body(server, stubborn, port) } catch { Issue.record(error) }
        await server.shutdown(deadline: .seconds(5))
        try await group.shutdownGracefully()
        await store.close()
    }

    /// Nothing goes upstream: what is kept is kept by the store alone.
    private struct LocalIntake: Intake {
        func wants(_ topic: String) -> Bool { false }
        func accept(_ batch: [Arrival]) -> IntakeVerdict { .accepted }
    }

    /// SUBACK, PUBACK, PUBREC, PUBCOMP and UNSUBACK come; memory has it all, and so has the file once it takes it.
    @Test func devicesAreAnsweredWhileNothingCanBeStored() async throws {
        let directory = try TemporaryDirectory()
        try await withServer(directory["state.db"]) { server, store, port in
            await store.refuse(true)
            let away = try PacketClient(port: port, id: "away", properties: [Self.forever])
            #expect(try away.subscribe(.init("t/#", qos: .exactlyOnce)) == [.grantedQoS2])
            away.send(.unsubscribe(Unsubscribe(packetIdentifier: 2, filters: ["none"])))
            guard case .unsuback = try away.receive() else {
                Issue.record("no UNSUBACK")
                return
            }
            away.socket.close()
            #expect(await eventually { await server.snapshot().clients.isEmpty })
            let publisher = try PacketClient(port: port, id: "p", properties: [Self.forever])
            for number in 1...200 as ClosedRange<UInt16> {
                publisher.publish("t/\(number)", "\(number)", qos: .exactlyOnce, retain: number == 7, id: number)
                try publisher.completePublishes(1)
            }
            #expect(await server.snapshot().storeProblem != nil)
            // Messages are delivered as ever: a session of QoS 2 has its packet identifiers in memory.
            let back = try PacketClient(port: port, id: "away", cleanStart: false, properties: [Self.forever])
            for number in 1...3 {
                #expect(try back.delivery().map { String(buffer: $0.payload) } == "\(number)")
            }
            back.socket.close()
            #expect(await eventually { await server.snapshot().clients.count == 1 })
            await store.refuse(false)
            #expect(await eventually { await server.snapshot().storeProblem == nil })
        }
        try await withServer(directory["state.db"]) { server, _, port in
            #expect(await server.snapshot().retained == 1)
            let away = try PacketClient(port: port, id: "away", cleanStart: false, properties: [Self.forever])
            #expect(away.sessionPresent)
            for number in 4...200 {
                #expect(try away.delivery().map { String(buffer: $0.payload) } == "\(number)")
            }
            // What the publisher let go is let go after the restart too.
            let publisher = try PacketClient(port: port, id: "p", cleanStart: false, properties: [Self.forever])
            #expect(publisher.sessionPresent)
            publisher.send(.pubrel(Acknowledgement(packetIdentifier: 9)))
            #expect(
                try publisher.receive()
                    == .pubcomp(Acknowledgement(packetIdentifier: 9, reason: .packetIdentifierNotFound)))
        }
    }

    /// While it fails nothing is gathered: what is tried again is what there is, not what happened.
    @Test func whatIsTriedAgainDoesNotGrow() async throws {
        let directory = try TemporaryDirectory()
        try await withServer(directory["state.db"]) { server, store, port in
            await store.refuse(true)
            let client = try PacketClient(port: port, id: "c", properties: [Self.forever])
            for number in 1...2_000 {
                client.publish("r/\(number % 5)", "\(number)", qos: .atLeastOnce, retain: true, id: UInt16(number))
                guard case .puback = try client.receive() else {
                    Issue.record("no PUBACK for \(number)")
                    return
                }
            }
            #expect(await store.asked.changes < 10)
            await store.refuse(false)
            #expect(await eventually { await server.snapshot().storeProblem == nil })
        }
        let stored = await (try StateStore(path: directory["state.db"], boot: "x", time: KernelTime())).load()
        let payloads = stored.retained.map { String(buffer: $0.publish.payload) }
        #expect(payloads.sorted() == ["1996", "1997", "1998", "1999", "2000"])
    }

    /// The real file is overwritten while the listener serves: it is replaced without anybody asking, and a restart finds
    /// everything in the new one.
    @Test(arguments: [false, true]) func aFileThatIsOverwrittenIsReplacedWithoutATouch(isQuiet: Bool) async throws {
        let directory = try TemporaryDirectory()
        let path = directory["state.db"]
        let replaced = Mutex(0)
        @Sendable func publish(_ text: String, _ port: Int) throws {
            let publisher = try PacketClient(port: port, id: "p")
            publisher.publish("t", text, qos: .atLeastOnce, retain: true, id: 1)
            try publisher.completePublishes(1)
        }
        try await withServer(path) { _, _, port in
            let away = try PacketClient(port: port, id: "away", properties: [Self.forever])
            _ = try away.subscribe(.init("t", qos: .atLeastOnce))
            away.socket.close()
            try publish("before", port)
        }
        try await withServer(path, tell: { _ in replaced.withLock { $0 += 1 } }) { server, _, port in
            let file = Glibc.open(path, O_WRONLY)
            var information = stat()
            fstat(file, &information)
            let rubbish = [UInt8](repeating: 0x5A, count: Int(information.st_size))
            #expect(pwrite(file, rubbish, rubbish.count, 0) == rubbish.count)
            close(file)
            if !isQuiet { try publish("after", port) }
            #expect(await eventually { replaced.withLock { $0 } == 1 })
            if isQuiet { try publish("after", port) }
            #expect(await eventually { await server.snapshot().storeProblem == nil })
        }
        #expect(bytesExist("\(path).corrupt-1"))
        try await withServer(path) { server, _, port in
            #expect(await server.snapshot().retained == 1)
            let away = try PacketClient(port: port, id: "away", cleanStart: false, properties: [Self.forever])
            #expect(away.sessionPresent)
            #expect(try away.message() == "t=before")
            #expect(try away.message() == "t=after")
        }
    }

    private func bytesExist(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// The file cannot be read at the start. Devices come meanwhile, and when it is found, all gets together.
    @Test func sessionsThatAreFoundLateJoinWhatCameMeanwhile() async throws {
        let directory = try TemporaryDirectory()
        let path = directory["state.db"]
        try await withServer(path) { _, _, port in
            for id in ["away", "back"] {
                let client = try PacketClient(port: port, id: id, properties: [Self.forever])
                _ = try client.subscribe(.init("t", qos: .atLeastOnce))
                client.socket.close()
            }
            let publisher = try PacketClient(port: port, id: "p")
            publisher.publish("t", "old", qos: .atLeastOnce, retain: true, id: 1)
            try publisher.completePublishes(1)
        }
        #expect(rename(path, "\(path).away") == 0 && mkdir(path, 0o755) == 0)
        try await withServer(path) { server, _, port in
            let back = try PacketClient(port: port, id: "back", cleanStart: false, properties: [Self.forever])
            #expect(!back.sessionPresent)
            #expect(try back.subscribe(.init("u", qos: .atLeastOnce)) == [.grantedQoS1])
            #expect(await server.snapshot().storeProblem != nil)
            #expect(rmdir(path) == 0 && rename("\(path).away", path) == 0)
            #expect(try back.message() == "t=old")
            #expect(await eventually { await server.snapshot().storeProblem == nil })
            let away = try PacketClient(port: port, id: "away", cleanStart: false, properties: [Self.forever])
            #expect(away.sessionPresent)
            #expect(try away.message() == "t=old")
        }
        try await withServer(path) { server, _, port in
            let snapshot = await server.snapshot()
            #expect(snapshot.sessions == 2 && snapshot.subscriptions == 3 && snapshot.retained == 1)
        }
    }

    // MARK: Retained messages

    /// Takes what is to go upstream, and settles it at once.
    private final class UpstreamIntake: Intake {
        let server = Mutex<BrokerServer?>(nil)
        func accept(_ batch: [Arrival]) -> IntakeVerdict {
            server.withLock { $0 }?.settle(batch.compactMap(\.settle))
            return .accepted
        }
    }

    /// A hundred topics change over and over: they are written in turns, and not with each message, while a value that
    /// is new is on disk when its PUBACK comes.
    @Test(arguments: [QoS.atMostOnce, .atLeastOnce])
    func retainedMessagesThatChangeAllTheTimeAreWrittenInTurns(qos: QoS) async throws {
        let directory = try TemporaryDirectory()
        let intake = UpstreamIntake()
        try await withServer(directory["state.db"], intake: intake) { server, store, port in
            intake.server.withLock { $0 = server }
            let client = try PacketClient(port: port, id: "c")
            func round(_ number: Int) throws {
                for topic in 0..<100 {
                    client.publish("r/\(topic)", "\(number)", qos: qos, retain: true, id: UInt16(topic + 1))
                }
                if qos == .atLeastOnce { try client.completePublishes(100) }
                client.send(.pingreq)
                #expect(try client.receive() == .pingresp)
            }
            try round(0)
            if qos == .atLeastOnce {
                let kept = await store.asked.changes
                #expect(kept == 100, "each new value is stored before its PUBACK")
            }
            #expect(await eventually { await store.asked.changes >= 100 })
            // What is left of the budget for values that change seldom is used up.
            for number in 1...10 { try round(number) }
            let before = await store.asked
            for number in 11...60 { try round(number) }
            let after = await store.asked
            #expect(after.batches - before.batches <= 1, "\(before) \(after)")
            #expect(await server.snapshot().retained == 100)
        }
        // A stop that is orderly writes the last of each.
        let stored = await (try StateStore(path: directory["state.db"], boot: "x", time: KernelTime())).load()
        #expect(stored.retained.count == 100)
        #expect(stored.retained.allSatisfy { String(buffer: $0.publish.payload) == "60" })
    }

    /// What does not go upstream has no other keeper: its PUBACK waits for the disk, each time.
    @Test func aRetainedMessageForTheLanAloneIsStoredBeforeItsPuback() async throws {
        let directory = try TemporaryDirectory()
        try await withServer(directory["state.db"]) { _, store, port in
            let client = try PacketClient(port: port, id: "c")
            for number in 1...10 {
                client.publish("r", "\(number)", qos: .atLeastOnce, retain: true, id: UInt16(number))
                try client.completePublishes(1)
                #expect(await store.asked.changes == number)
            }
        }
    }
}
