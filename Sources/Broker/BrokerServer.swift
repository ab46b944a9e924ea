import Glibc
package import Logging
package import MQTT
package import NIOCore
import NIOPosix
import NIOSSL
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
    private let channels = Mutex<[(listener: Listener, channel: any Channel)]>([])
    private let reloading = Mutex<Task<Void, Never>?>(nil)

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

    /// Where it really listens, as `host:port` or `unix:path`, with the layers in between if there are any; empty before
    /// `start`.
    package var listening: [String] {
        channels.withLock { channels in
            channels.map { listener, channel in
                let address = channel.localAddress.flatMap { address in
                    address.port.map { ListenAddress(host: address.ipAddress ?? "", port: $0) }
                }
                return listener.text(at: address.map { .tcp($0) } ?? listener.endpoint)
            }
        }
    }

    /// Binds every address; returns where it listens. On an error nothing is left listening.
    package func start() async throws(BrokerError) -> [String] {
        let contexts = try configuration.listeners.map { listener throws(BrokerError) in
            try listener.tls.map { tls throws(BrokerError) in try TLSContext(tls, isWebSocket: listener.isWebSocket) }
        }
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
        for (index, listener) in configuration.listeners.enumerated() {
            do {
                let channel = try await bind(index, listener, contexts[index])
                channels.withLock { $0.append((listener, channel)) }
            } catch {
                await closeListeners()
                throw BrokerError(binding: listener.endpoint, error)
            }
        }
        reload(contexts.compactMap { $0 })
        return listening
    }

    private func bind(_ index: Int, _ listener: Listener, _ context: TLSContext?) async throws -> any Channel {
        let core = core
        let frameLimit = max(256 << 10, Int(configuration.limits.maximumPacketSize) + 8)
        let bootstrap = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 1_024)
            // Each connection keeps a buffer to read into: small for one that says little, and grown within a few reads
            // for one that sends a lot.
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 128, initial: 256, maximum: 64 << 10)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let core = core.value else { throw ChannelError.ioOnClosedChannel }
                    let pipeline = channel.pipeline.syncOperations
                    if let context { try pipeline.addHandler(NIOSSLServerHandler(context: context.current)) }
                    if listener.isWebSocket {
                        try WebSocketUpgrade.configure(pipeline, successor: ClientHandler.name, frameLimit: frameLimit)
                    }
                    // There from the start, so that what comes before MQTT counts and is bounded in time too.
                    try pipeline.addHandler(ClientHandler(core: core, listener: index), name: ClientHandler.name)
                }
            }
        switch listener.endpoint {
        case .tcp(let address):
            return
                try await bootstrap
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .bind(host: address.host, port: address.port).get()
        case .unix(let path):
            let channel = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
            // For the service's group: who may open the file may speak to the gateway.
            chmod(path, 0o660)
            return channel
        }
    }

    /// Looks every few seconds whether certificates were renewed: nobody tells the gateway.
    private func reload(_ contexts: [TLSContext]) {
        guard !contexts.isEmpty else { return }
        let logger = logger
        let task = Task {
            while !Task.isCancelled {
                do { try await Task.sleep(for: .seconds(2)) } catch { return }
                for context in contexts {
                    do throws(BrokerError) {
                        if try context.reload() { logger.notice("the listener's certificate was renewed") }
                    } catch {
                        logger.error(
                            "the listener's new certificate cannot be used; the old one stays",
                            metadata: ["error": "\(error)"])
                    }
                }
            }
        }
        reloading.withLock { $0 = task }
    }

    /// Users or access rules are others now. From any thread.
    /// - Parameter removed: users that are no more; their connections are closed.
    package func accountsChanged(removed: Set<String> = []) {
        loop.execute { [core] in core.value?.accountsChanged(removed: removed) }
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
        reloading.withLock { $0.take() }?.cancel()
        for (listener, channel) in open {
            try? await channel.close().get()
            if case .unix(let path) = listener.endpoint { unlink(path) }
        }
    }
}

extension BrokerError {
    fileprivate init(binding address: Listener.Endpoint, _ error: any Error) {
        let doing = "listen on \(address)"
        switch (error as? IOError)?.errnoCode {
        case EADDRINUSE:
            self.init(
                .addressInUse, doing: doing, reason: "another program listens there (EADDRINUSE)",
                remedy: "stop it (for Debian's broker: systemctl disable --now mosquitto), or choose another port")
        case EACCES:
            self.init(
                .permission, doing: doing, reason: "no permission (EACCES)",
                remedy: "choose a port of 1024 or above, or a folder that the gateway's user may write in")
        case EADDRNOTAVAIL:
            self.init(
                .addressNotAvailable, doing: doing, reason: "this machine has no such address (EADDRNOTAVAIL)",
                remedy: "see the addresses it has with: ip address")
        default:
            self.init(.other, doing: doing, reason: "\(error)")
        }
    }
}
