import Glibc
package import Logging
package import MQTT
package import NIOCore
import NIOPosix
package import Readings
import Synchronization

/// The built-in MQTT listener. A thin shell: sockets and threads are here, everything that is decided is decided in
/// ``BrokerCore`` on one event loop of `group`.
package final class BrokerServer: Sendable {
    private let configuration: BrokerConfiguration
    private let loop: any EventLoop
    private let intake: any Intake
    private let time: any TimeSource
    private let logger: Logger
    private let store: (any SessionStore)?
    private let systemTopics: @Sendable () -> [LocalMessage]
    private let core: NIOLoopBoundBox<BrokerCore?>
    private let channels = Mutex<[any Channel]>([])

    /// - Parameters:
    ///   - store: keeps sessions over a restart; `nil`: they end with the process.
    ///   - systemTopics: what else stands below `$SYS`; called on the event loop, and must not block.
    package init(
        configuration: BrokerConfiguration, group: any EventLoopGroup, intake: any Intake, time: any TimeSource,
        store: (any SessionStore)? = nil, logger: Logger,
        systemTopics: @escaping @Sendable () -> [LocalMessage] = { [] }
    ) {
        self.store = store
        self.systemTopics = systemTopics
        self.configuration = configuration
        loop = group.next()
        self.intake = intake
        self.time = time
        self.logger = logger
        core = NIOLoopBoundBox.makeEmptyBox(valueType: BrokerCore.self, eventLoop: loop)
    }

    /// Where it really listens, as `host:port`; empty before `start`.
    package var listening: [String] {
        channels.withLock { $0.map { $0.localAddress.map(Self.text) ?? "" } }
    }

    private static func text(_ address: SocketAddress) -> String {
        ListenAddress(host: address.ipAddress ?? "", port: address.port ?? 0).description
    }

    /// Binds every address; returns where it listens. On an error nothing is left listening.
    package func start() async throws(BrokerError) -> [String] {
        try configuration.validate()
        do {
            try await loop.submit { [self] in
                self.core.value = BrokerCore(
                    configuration: configuration, intake: intake, time: time, logger: logger, loop: loop, store: store)
            }.get()
            if let store {
                let kept = try await store.load()
                try await loop.submit { [core] in core.value?.restore(kept) }.get()
            }
            if configuration.systemInterval > 0 {
                let systemTopics = systemTopics
                loop.scheduleRepeatedTask(initialDelay: .zero, delay: .seconds(configuration.systemInterval)) {
                    [core] task in
                    guard let core = core.value, !core.isStopping else { return task.cancel() }
                    core.publishSystemTopics(systemTopics())
                }
            }
        } catch {
            throw BrokerError(.other, doing: "start the listener", reason: "\(error)")
        }
        let core = core
        let bootstrap = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let core = core.value else { throw ChannelError.ioOnClosedChannel }
                    try channel.pipeline.syncOperations.addHandler(ClientHandler(core: core))
                }
            }
        for address in configuration.listen {
            do {
                let channel = try await bootstrap.bind(host: address.host, port: address.port).get()
                channels.withLock { $0.append(channel) }
            } catch {
                await closeListeners()
                throw BrokerError(binding: address, error)
            }
        }
        return listening
    }

    /// Messages are safe: their PUBACKs leave. From any thread.
    package func settle(_ tokens: [SettleToken], reason: ReasonCode = .success) {
        loop.execute { [core] in core.value?.settled(tokens, reason: reason) }
    }

    /// The intake has room again: reading goes on. From any thread.
    package func resume() {
        loop.execute { [core] in core.value?.resume() }
    }

    /// Publishes to LAN subscribers, at QoS 1. From any thread.
    package func publish(_ messages: [LocalMessage]) {
        guard !messages.isEmpty else { return }
        loop.execute { [core] in core.value?.publish(messages) }
    }

    /// What it is doing right now; asks the event loop.
    package func snapshot() async -> BrokerSnapshot {
        let listening = listening
        let empty = BrokerSnapshot(
            listening: listening, clients: [], counters: .init(), sessions: 0, subscriptions: 0, retained: 0)
        return (try? await loop.submit { [core] in core.value?.snapshot(listening: listening) ?? empty }.get()) ?? empty
    }

    /// Stops: accepts and reads no more, lets acknowledgements that become due until `deadline` still leave, then
    /// says goodbye to every client.
    package func shutdown(deadline: Duration) async {
        let core = core
        let loop = loop
        let end = NIODeadline.now() + .nanoseconds(deadline.wholeNanoseconds)
        try? await loop.submit { core.value?.stopTaking() }.get()
        await closeListeners()
        // Acknowledgements come as they come; whether any is still owed is looked at every few milliseconds.
        while NIODeadline.now() < end {
            let owed = (try? await loop.submit { core.value?.owedAcknowledgements ?? 0 }.get()) ?? 0
            if owed == 0 { break }
            do { try await Task.sleep(for: .milliseconds(5)) } catch { break }
        }
        try? await loop.submit { core.value?.closeAll() }.get()
    }

    private func closeListeners() async {
        let open = channels.withLock { channels in
            defer { channels = [] }
            return channels
        }
        for channel in open { try? await channel.close().get() }
    }
}

extension BrokerError {
    fileprivate init(binding address: ListenAddress, _ error: any Error) {
        let doing = "listen on \(address)"
        switch (error as? IOError)?.errnoCode {
        case EADDRINUSE:
            self.init(
                .addressInUse, doing: doing, reason: "another program listens there (EADDRINUSE)",
                remedy: "stop it (for Debian's broker: systemctl disable --now mosquitto), or choose another port")
        case EACCES:
            self.init(
                .permission, doing: doing, reason: "no permission (EACCES)",
                remedy: "choose a port of 1024 or above")
        case EADDRNOTAVAIL:
            self.init(
                .addressNotAvailable, doing: doing, reason: "this machine has no such address (EADDRNOTAVAIL)",
                remedy: "see the addresses it has with: ip address")
        default:
            self.init(.other, doing: doing, reason: "\(error)")
        }
    }
}
