package import Logging
package import MQTT
package import NIOCore
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
    private let listeners = Mutex(Listeners())
    /// Messages that came before the stored sessions were taken up; `nil` from then on.
    private let early = Mutex<[EarlyPublish]?>([])
    private static let earlyLimit = 1_000

    private struct EarlyPublish: Sendable {
        let messages: [LocalMessage]
        let stored: (@Sendable () -> Void)?
    }

    private struct Listeners {
        var open: [OpenListener] = []
        var isStopping = false
    }

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

    // MARK: Start and listeners

    /// Where it really listens, as `host:port` or `unix:path`, with the layers in between if there are any; empty while
    /// no listener is open.
    package var listening: [String] { listeners.withLock { $0.open }.flatMap(\.addresses) }

    /// Takes up the stored sessions, without any listener yet. Called again only after it failed.
    package func start() async throws(BrokerError) {
        do {
            try await loop.submit { [self] in
                self.core.value = BrokerCore(
                    configuration: configuration, intake: intake, time: time, logger: logger, loop: loop, store: store)
            }.get()
            if let store {
                let kept = try await store.load()
                try await loop.submit { [core] in core.value?.restore(kept) }.get()
            }
            try await loop.submit { [self] in
                let waiting = early.withLock { early in
                    defer { early = nil }
                    return early ?? []
                }
                for publish in waiting { core.value?.publish(publish.messages, stored: publish.stored) }
                scheduleSystemTopics(every: configuration.systemInterval)
            }.get()
        } catch {
            // Connections are refused until a later start succeeds.
            try? await loop.submit { [core] in core.value = nil }.get()
            throw BrokerError(
                .sessions, doing: "take up the stored sessions", reason: "\(error)",
                remedy: "look at state.db in the data folder, and at the disk (tidegate doctor)")
        }
    }

    /// Opens one listener: reads its certificates and binds all its addresses. Returns once it listens. Host names are
    /// looked up, which may take as long as the name servers do; a cancelled task does not wait for them.
    /// - Throws: why it cannot be opened, and what to do; nothing of it is left open then.
    package func open(_ listener: Listener) async throws(BrokerError) -> OpenListener {
        let open = try OpenListener(listener, sockets: ListenerSockets(loop: loop, core: core), logger: logger)
        try await open.open()
        let isWelcome = listeners.withLock { listeners in
            guard !listeners.isStopping else { return false }
            listeners.open.removeAll { !$0.isOpen }
            listeners.open.append(open)
            return true
        }
        guard isWelcome else {
            await open.close(disconnectingClients: true)
            throw BrokerError(
                .stopping, doing: "listen on \(listener)", reason: "the gateway is stopping", remedy: "start it again")
        }
        return open
    }

    /// Other limits, users, access rules and intervals from now on. Connections keep what their CONNACK granted them (packet
    /// size, receive maximum, keep-alive, topic aliases); nobody is disconnected because fewer are served from now on, and
    /// nothing is deleted because less is kept. `listeners` is not looked at: see ``open(_:)``.
    package func reconfigure(_ configuration: BrokerConfiguration) async {
        try? await loop.submit { [self] in
            guard let core = core.value else { return }
            let interval = core.configuration.systemInterval
            core.reconfigure(configuration)
            if configuration.systemInterval != interval { scheduleSystemTopics(every: configuration.systemInterval) }
        }.get()
    }

    /// On the event loop. 0: never.
    private func scheduleSystemTopics(every seconds: Int64) {
        let number = core.value?.nextSystemTopicsSchedule()
        guard seconds > 0 else { return }
        loop.scheduleRepeatedTask(initialDelay: .zero, delay: .seconds(seconds)) { [core, systemTopics] task in
            guard let core = core.value, !core.isStopping, core.systemTopicsSchedule == number else {
                return task.cancel()
            }
            core.publishSystemTopics(systemTopics())
        }
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

    /// Publishes to LAN subscribers, at QoS 1. From any thread. What comes before ``start()`` has taken up the stored sessions
    /// waits for them; beyond 1,000 calls it is dropped, without a call of `stored`.
    /// - Parameter stored: called once on the event loop, or here for no messages, when a crash can lose nothing any more:
    ///   subscribers have the messages in their queues, and what kept sessions and retained messages need is on disk.
    ///   While the session store fails it is called without that. Must not block.
    package func publish(_ messages: [LocalMessage], stored: (@Sendable () -> Void)? = nil) {
        guard !messages.isEmpty else {
            stored?()
            return
        }
        let isEarly = early.withLock { early in
            guard let count = early?.count else { return false }
            if count < Self.earlyLimit { early?.append(EarlyPublish(messages: messages, stored: stored)) }
            return true
        }
        guard !isEarly else { return }
        loop.execute { [core] in core.value?.publish(messages, stored: stored) }
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
        // What closing changed is on its way to the store, which is closed next.
        let last = max(end, NIODeadline.now() + .seconds(1))
        while NIODeadline.now() < last {
            if (try? await loop.submit { core.value?.isStored ?? true }.get()) ?? true { break }
            do { try await Task.sleep(for: .milliseconds(5)) } catch { break }
        }
    }

    private func closeListeners() async {
        let open = listeners.withLock { listeners in
            listeners.isStopping = true
            defer { listeners.open = [] }
            return listeners.open
        }
        for listener in open { await listener.close(disconnectingClients: false) }
    }
}
