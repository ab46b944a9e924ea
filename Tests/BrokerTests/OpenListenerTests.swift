import Broker
import Glibc
import Logging
import MQTT
import NIOCore
import NIOPosix
import TestSupport
import Testing

/// Listeners that are opened and closed one by one, while the server and its clients go on.
@Suite(.timeLimit(.minutes(2))) struct OpenListenerTests {
    private static func withServer(
        _ change: (inout BrokerConfiguration) -> Void = { _ in },
        _ body: (BrokerServer, MultiThreadedEventLoopGroup) async throws -> Void
    ) async throws {
        var configuration = BrokerConfiguration()
        change(&configuration)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = BrokerServer(
            configuration: configuration, group: group, intake: RecordingIntake(), time: StillTime(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await server.start()
        #expect(server.listening.isEmpty)
        do { try await body(server, group) } catch { Issue.record(error) }
        await server.shutdown(deadline: .zero)
        try await group.shutdownGracefully()
    }

    private static func tcp(_ host: String, _ port: Int = 0) -> Listener {
        Listener(.tcp(ListenAddress(host: host, port: port)))
    }

    private static func isServed(_ address: SocketAddress, _ group: MultiThreadedEventLoopGroup) async -> Bool {
        guard let channel = try? await ClientBootstrap(group: group).connect(to: address).get() else { return false }
        try? await channel.close().get()
        return true
    }

    private static func failure(_ listener: Listener, _ server: BrokerServer) async -> BrokerError? {
        do throws(BrokerError) {
            _ = try await server.open(listener)
            return nil
        } catch {
            return error
        }
    }

    private static func isAlive(_ client: PacketClient) throws -> Bool {
        client.send(.pingreq)
        return try client.receive() == .pingresp
    }

    @Test func closingAListenerKeepsOrDisconnectsItsClientsAndNobodyElses() async throws {
        try await Self.withServer { server, _ in
            let first = try await server.open(Self.tcp("127.0.0.1"))
            let second = try await server.open(Self.tcp("127.0.0.1"))
            let ports = (try #require(first.port), try #require(second.port))
            #expect(server.listening == ["127.0.0.1:\(ports.0)", "127.0.0.1:\(ports.1)"])
            let kept = try PacketClient(port: ports.0, id: "kept")
            let closed = try PacketClient(port: ports.1, id: "closed")

            await first.close(disconnectingClients: false)
            try await first.closed()
            #expect(LoopbackSocket(port: ports.0) == nil && !first.isOpen && first.addresses.isEmpty)
            #expect(try Self.isAlive(kept) && Self.isAlive(closed))

            await second.close(disconnectingClients: true)
            guard case .disconnect(let disconnect) = try closed.receive() else {
                Issue.record("not told")
                return
            }
            #expect(disconnect.reason == .administrativeAction)
            #expect(try Self.isAlive(kept))
            #expect(server.listening.isEmpty)

            // The address can be had again, and the client that was kept is still the same.
            let again = try await server.open(Self.tcp("127.0.0.1", ports.0))
            _ = try PacketClient(port: ports.0, id: "new")
            #expect(try Self.isAlive(kept))
            #expect(await server.snapshot().clients.contains { $0.id == "kept" })
            #expect(again.problem == nil)
        }
    }

    @Test func aWaitForAListenerEndsWithItOrWithItsTask() async throws {
        try await Self.withServer { server, _ in
            let listener = try await server.open(Self.tcp("127.0.0.1"))
            let cancelled = Task { try await listener.closed() }
            let waiting = Task { try await listener.closed() }
            cancelled.cancel()
            try await cancelled.value
            #expect(listener.isOpen)
            await listener.close(disconnectingClients: false)
            try await waiting.value
        }
    }

    @Test func aPortInUseIsNamedAndCostsNobodyElse() async throws {
        try await Self.withServer { server, _ in
            let first = try await server.open(Self.tcp("127.0.0.1"))
            let port = try #require(first.port)
            let error = try #require(await Self.failure(Self.tcp("127.0.0.1", port), server))
            #expect(error.kind == .addressInUse && error.doing.contains("127.0.0.1:\(port)"))
            #expect(!error.remedy.isEmpty)
            _ = try PacketClient(port: port, id: "a")
            await first.close(disconnectingClients: false)
            _ = try await server.open(Self.tcp("127.0.0.1", port))
        }
    }

    @Test func anAddressThatIsNotThereIsNamed() async throws {
        try await Self.withServer { server, _ in
            // Of those for documentation (RFC 5737).
            let error = try #require(await Self.failure(Self.tcp("192.0.2.1"), server))
            #expect(error.kind == .addressNotAvailable && error.reason.contains("EADDRNOTAVAIL"))
        }
    }

    @Test func everyAddressMeansBothFamilies() async throws {
        try await Self.withServer { server, group in
            let listener = try await server.open(Self.tcp("*"))
            let port = try #require(listener.port)
            #expect(server.listening == ["*:\(port)"])
            #expect(await Self.isServed(try SocketAddress(ipAddress: "127.0.0.1", port: port), group))
            #expect(await Self.isServed(try SocketAddress(ipAddress: "::1", port: port), group))
            #expect(await Self.isServed(try SocketAddress(ipAddress: "127.7.7.7", port: port), group))
        }
    }

    @Test func theUnspecifiedAddressOfIPv4IsIPv4Only() async throws {
        try await Self.withServer { server, group in
            let port = try #require(try await server.open(Self.tcp("0.0.0.0")).port)
            #expect(await Self.isServed(try SocketAddress(ipAddress: "127.0.0.1", port: port), group))
            #expect(await !Self.isServed(try SocketAddress(ipAddress: "::1", port: port), group))
        }
    }

    /// The same port on all of them.
    @Test func aNameMeansAllItsAddresses() async throws {
        try await Self.withServer { server, group in
            let listener = try await server.open(Self.tcp("localhost"))
            let port = try #require(listener.port)
            #expect(listener.addresses.contains("127.0.0.1:\(port)"))
            #expect(listener.problem == nil)
            for text in listener.addresses {
                let host = try #require(ListenAddress(text)).host
                #expect(await Self.isServed(try SocketAddress(ipAddress: host, port: port), group))
            }
            #expect(await Self.isServed(try SocketAddress(ipAddress: "127.0.0.1", port: port), group))
        }
    }

    @Test func aNameThatNobodyKnowsIsNamed() async throws {
        try await Self.withServer { server, _ in
            let opening = Task { await Self.failure(Self.tcp("no-such-host.invalid"), server) }
            // A name server that does not answer is not waited for by a task that is cancelled.
            let patience = Task {
                try? await Task.sleep(for: .seconds(5))
                opening.cancel()
            }
            let error = try #require(await opening.value)
            patience.cancel()
            #expect(error.kind == .name && error.reason.contains("no-such-host.invalid"), "\(error)")
        }
    }

    // MARK: Unix sockets

    @Test func aSocketFileThatNobodyListensOnIsReplacedAndALiveOneIsNot() async throws {
        let directory = try TemporaryDirectory()
        let path = directory["mqtt.sock"]
        try await Self.withServer { server, group in
            let address = try SocketAddress(unixDomainSocketPath: path)
            let listener = try await server.open(Listener(.unix(path: path)))
            #expect(listener.addresses == ["unix:\(path)"])
            var information = stat()
            #expect(lstat(path, &information) == 0 && information.st_mode & 0o777 == 0o660)
            let error = try #require(await Self.failure(Listener(.unix(path: path)), server))
            #expect(error.kind == .addressInUse && error.doing.contains(path))
            #expect(await Self.isServed(address, group))

            // What a killed program leaves: a file that nobody listens on.
            let copy = directory["copy"]
            #expect(link(path, copy) == 0)
            await listener.close(disconnectingClients: false)
            #expect(access(path, F_OK) != 0)
            #expect(rename(copy, path) == 0)
            #expect(await !Self.isServed(address, group))
            _ = try await server.open(Listener(.unix(path: path)))
            #expect(await Self.isServed(address, group))
        }
        #expect(access(path, F_OK) != 0)
    }

    @Test func whatIsInTheWayOfASocketIsNamedAndLeftAlone() async throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("precious\n", to: "file")
        try await Self.withServer { server, _ in
            for (path, kind, words) in [
                ("\(directory.path)/no/such/mqtt.sock", .path, "the folder \(directory.path)/no/such does not exist"),
                (file, .path, "a file that is no socket"), (directory.path, .path, "a folder that is no socket"),
                ("\(file)/mqtt.sock", .path, "Not a directory"),
            ] as [(String, BrokerError.Kind, String)] {
                let error = try #require(await Self.failure(Listener(.unix(path: path)), server))
                #expect(error.kind == kind && error.reason.contains(words), "\(error)")
                #expect(error.doing.contains(path))
            }
        }
        #expect(textOfFile(file) == "precious\n")
    }

    @Test(arguments: [false, true]) func aSocketWhoseFileIsGoneEnds(isReplaced: Bool) async throws {
        let directory = try TemporaryDirectory()
        let path = directory["mqtt.sock"]
        try await Self.withServer { server, group in
            let listener = try await server.open(Listener(.unix(path: path)))
            if isReplaced {
                try directory.write("another's\n", to: "other")
                #expect(rename(directory["other"], path) == 0)
            } else {
                #expect(unlink(path) == 0)
            }
            do throws(BrokerError) {
                try await listener.closed()
                Issue.record("it ended without a reason")
            } catch {
                #expect(error.kind == .lost && error.reason.contains(isReplaced ? "another" : "removed"), "\(error)")
            }
            await listener.close(disconnectingClients: false)
            // A file that another program put there is not ours to remove.
            #expect((access(path, F_OK) == 0) == isReplaced)
            if !isReplaced { _ = try await server.open(Listener(.unix(path: path))) }
        }
    }

    // MARK: Certificates

    @Test func aCertificateThatIsGoneIsAProblemWhileTheOldOneServes() async throws {
        let certificates = try Certificates()
        try certificates.issue("localhost", "subjectAltName=DNS:localhost")
        var listener = Self.tcp("127.0.0.1")
        listener.tls = Listener.TLS(
            certificateFile: certificates.certificate("localhost"), keyFile: certificates.key("localhost"))
        try await Self.withServer { [listener] server, group in
            let open = try await server.open(listener)
            let port = try #require(open.port)
            #expect(open.problem == nil && open.addresses == ["127.0.0.1:\(port) (TLS)"])
            #expect(rename(certificates.key("localhost"), certificates.key("away")) == 0)
            #expect(await eventually { open.problem?.reason.contains("No such file") == true })
            #expect(open.problem?.doing.contains(certificates.key("localhost")) == true)
            let shown = try await runToEnd([
                "openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", certificates.authority,
            ])
            #expect(shown.output.contains("Verify return code: 0"), "\(shown.output) \(shown.errors)")
            #expect(rename(certificates.key("away"), certificates.key("localhost")) == 0)
            #expect(await eventually { open.problem == nil })
            // A new one cannot be opened with it, and says so.
            #expect(unlink(certificates.certificate("localhost")) == 0)
            let error = try #require(await Self.failure(listener, server))
            #expect(error.kind == .certificate && error.doing.contains(certificates.certificate("localhost")))
        }
    }

    // MARK: Changes

    @Test func limitsChangeWhileClientsStay() async throws {
        try await Self.withServer { server, _ in
            let port = try #require(try await server.open(Self.tcp("127.0.0.1")).port)
            let first = try PacketClient(port: port, id: "first")
            first.publish("r/1", "1", retain: true)
            first.publish("r/2", "2", retain: true)
            #expect(try Self.isAlive(first))
            var configuration = BrokerConfiguration()
            configuration.maximumClients = 1
            configuration.maximumRetained = 1
            configuration.limits.topicAliasMaximum = 3
            await server.reconfigure(configuration)
            #expect(throws: (any Error).self) { try PacketClient(port: port, id: "second") }
            first.publish("r/3", "3", retain: true)
            #expect(try Self.isAlive(first))
            let snapshot = await server.snapshot()
            #expect(snapshot.retained == 2 && snapshot.counters.retainedRefused == 1)
            configuration.maximumClients = 2
            await server.reconfigure(configuration)
            let client = try PacketClient(port: port)
            client.send(.connect(Connect(version: .v5_0, clientIdentifier: "third")))
            guard case .connack(let connack) = try client.receive() else {
                Issue.record("not answered")
                return
            }
            #expect(connack.reason == .success && connack.properties.topicAliasMaximum == 3)
            #expect(try Self.isAlive(first))
        }
    }
}
