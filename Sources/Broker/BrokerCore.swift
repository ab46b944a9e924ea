import Logging
import MQTT
import NIOCore
import Readings

/// All of the listener's state and what happens to it: connections, sessions, subscriptions, retained messages. Lives
/// on one event loop, so it needs no locks; the sockets' side is ``ClientHandler``.
///
/// This file has the connections, `BrokerCore+Connecting` who may have one. What becomes of a session is in `BrokerCore+Sessions`, of a message in
/// `BrokerCore+Messages`, of a subscription in `BrokerCore+Subscriptions`; what is kept over a restart, and what has to
/// wait for that, in `BrokerCore+Storing`.
final class BrokerCore {
    private(set) var configuration: BrokerConfiguration
    private var addresses: AddressLimits
    let intake: any Intake
    let time: any TimeSource
    let logger: Logger
    let loop: any EventLoop
    let allocator = ByteBufferAllocator()

    var clients: [UInt64: Client] = [:]
    var sessions: [UInt64: Session] = [:]
    var sessionByID: [SessionID: Session] = [:]
    /// Connections without a CONNECT yet, oldest first; numbers of those that went on are skipped when they come up.
    private var pending: [UInt64] = []
    var pendingCount = 0
    private var nextNumber: UInt64 = 1
    var nextSession: UInt64 = 1
    var subscriptions = SubscriptionTree<UInt64, Session.Subscription>()
    var shared = SharedGroups()
    var retained: RetainedStore
    var counters = BrokerSnapshot.Counters()
    var traffic = SystemTopics.Traffic()
    /// What was last published below `$SYS`.
    var systemValues: [String: [UInt8]] = [:]
    /// Counts the timers of `$SYS`: an older one ends itself.
    private(set) var systemTopicsSchedule: UInt64 = 0
    let startedAt = Int64(NIODeadline.now().uptimeNanoseconds)
    /// Refusals that were logged, or wait for their count to be.
    var refusals = RefusalBursts()
    var refusalTimer: Scheduled<Void>?
    /// What the access rules deny most.
    var denials = TopCounts<BrokerSnapshot.Denial.Subject>()
    /// Bytes of the messages that wait for kept sessions.
    var keptBytes = 0

    /// QoS 2 publishes that are not safe yet, by connection and publication: whose they are.
    var receipts: [SettleToken: (session: UInt64, packetIdentifier: UInt16)] = [:]
    /// Publishes of the read that is going on, for the intake.
    var batch: [Arrival] = []
    /// The connections that they came by.
    var batchSenders: [UInt64] = []
    private var dirty: [Client] = []
    /// Reused by every settle.
    var acknowledgements: [InboundWindow.Settled] = []
    /// Reused by every match.
    var matches: [(UInt64, Session.Subscription)] = []
    var journal: Journal
    var retainedSchedule: RetainedSchedule
    var retainedTimer: (at: Int64, task: Scheduled<Void>)?
    /// When retained messages last went to the store; monotonic nanoseconds.
    var lastRetainedWrite: Int64?
    /// The store failed, and is left alone for a moment.
    var isPausing = false
    /// The pauses between attempts to write to a store that fails.
    var storePauses = GrowingPause(GrowingPause.disk)
    /// When the store began to fail.
    var storeFailedAt: Int64?
    private var sessionTimer: (at: Int64, task: Scheduled<Void>)?
    private(set) var isStopping = false

    init(
        configuration: BrokerConfiguration, intake: any Intake, time: any TimeSource, logger: Logger,
        loop: any EventLoop, store: (any SessionStore)?
    ) {
        self.configuration = configuration
        addresses = AddressLimits(configuration.addressLimits)
        self.intake = intake
        self.time = time
        self.logger = logger
        self.loop = loop
        journal = Journal(store: store)
        retainedSchedule = RetainedSchedule(now: startedAt)
        retained = RetainedStore(
            countLimit: configuration.maximumRetained, byteLimit: configuration.maximumRetainedBytes,
            levelLimit: configuration.maximumTopicLevels)
    }

    var now: Int64 { Int64(NIODeadline.now().uptimeNanoseconds) }

    // MARK: Connections

    /// A connection was accepted. Where too many have not sent their CONNECT, the oldest of them gives way: whoever
    /// just came is more likely to be a device than who has been silent for longest.
    func opened(_ channel: any Channel, at listener: OpenListener) -> Client? {
        guard !isStopping, !listener.refusesConnections else { return nil }
        let now = now
        let peer = PeerAddress(channel.remoteAddress)
        let verdict = addresses.opened(peer.key, isLoopback: peer.isLoopback, now: now)
        if verdict != .welcome { counters.refusedAddresses += 1 }
        // An answer over TLS would cost a handshake each, which is what a flood of connections is after.
        let isCostly = verdict == .tooFast && listener.tls != nil
        if verdict == .notWorthAnAnswer || isCostly {
            note(
                .limit, address: peer.text, listener: listener,
                reason: verdict.refusal?.detail ?? "", remedy: "max_connections_per_address, connect_rate in [lan]")
            addresses.closed(peer.key)
            return nil
        }
        let client = Client(
            number: nextNumber, channel: channel, listener: listener, addressKey: peer.key, verdict: verdict,
            limits: configuration.limits, now: now)
        nextNumber += 1
        clients[client.number] = client
        pending.append(client.number)
        pendingCount += 1
        counters.accepted += 1
        while pendingCount > configuration.maximumPending, let oldest = oldestPending() {
            counters.silent += 1
            let error = MQTTError(.serverBusy, "too many connections without CONNECT")
            note(.silence, of: oldest, reason: error.detail)
            close(oldest, for: error)
        }
        if pending.count > 64, pending.count > pendingCount * 2 {
            pending.removeAll { clients[$0].map { $0.session == nil } != true }
        }
        return client
    }

    private func oldestPending() -> Client? {
        while let number = pending.first {
            pending.removeFirst()
            if let client = clients[number], client.session == nil { return client }
        }
        return nil
    }

    /// The connection is gone, for whatever reason; its session may go on without it.
    func closed(_ client: Client) {
        client.isClosing = true
        guard clients.removeValue(forKey: client.number) != nil else { return }
        addresses.closed(client.addressKey)
        guard let session = client.session else {
            pendingCount -= 1
            return
        }
        logger.debug("client gone", metadata: ["client": "\(session.identifier)"])
        if session.client === client { disconnected(session) }
    }

    /// The client hung up.
    func gone(_ client: Client) {
        guard client.deciding == nil else {
            // What it sent behind its CONNECT is taken once it is known whether it may.
            client.isGone = true
            return
        }
        received(client, isGone: true)
        closed(client)
    }

    /// Ends a connection, telling the client why where its version can [MQTT-4.13.1-1].
    func close(_ client: Client, for error: MQTTError) {
        guard !client.isClosing else { return }
        client.connection.assume(version: client.decoder.version)
        if let (packet, version) = client.connection.closing(for: error, refusedLevel: client.decoder.refusedLevel) {
            client.append(packet, version: version)
        }
        logger.debug(
            "connection closed",
            metadata: ["client": "\(client.identifier)", "address": "\(client.address)", "reason": "\(error.detail)"])
        end(client)
    }

    /// Sends what waits, then closes. A client that takes no bytes is closed at once.
    func end(_ client: Client) {
        guard !client.isClosing else { return }
        client.isClosing = true
        if client.channel.isWritable, let output = client.output, output.readableBytes > 0 {
            let channel = client.channel
            channel.writeAndFlush(output).whenComplete { _ in linger(channel) }
        } else {
            client.channel.close(promise: nil)
        }
        // The will and the subscriptions do not wait for the socket.
        closed(client)
    }

    /// The listener is closed, and its connections with it.
    func disconnectClients(of listener: OpenListener) {
        for client in Array(clients.values) where client.listener === listener {
            close(client, for: MQTTError(.administrativeAction, "the listener of this connection was closed"))
        }
        endTurn()
    }

    /// Other limits and rules from now on; see ``BrokerServer/reconfigure(_:)``.
    func reconfigure(_ new: BrokerConfiguration) {
        configuration = new
        addresses.configuration = new.addressLimits
        retained.limit(count: new.maximumRetained, bytes: new.maximumRetainedBytes, levels: new.maximumTopicLevels)
        for session in sessions.values {
            session.outbound.limit(count: new.limits.queueCount, bytes: new.limits.queueBytes)
        }
        accountsChanged(removed: [])
    }

    // MARK: Packets

    /// Decodes and handles what a client sent, as far as it may go on.
    /// - Parameter isGone: the client hung up, so nothing can be held back any longer: what it had sent before is
    ///   still taken, its DISCONNECT among it.
    func received(_ client: Client, isGone: Bool = false) {
        client.isReceiving = true
        defer { client.isReceiving = false }
        var budget = Self.packetsPerTurn
        while !client.isClosing, client.deciding == nil, isGone || !client.isPaused, var input = client.input {
            if budget == 0, !isGone { return giveWay(client) }
            budget -= 1
            client.input = nil
            let refused = counters.refused
            do throws(MQTTError) {
                let packet = try client.decoder.next(from: &input)
                if input.readableBytes > 0 {
                    // What was taken is not to be kept alive by what is still to come.
                    if packet == nil, input.readerIndex > 0 { input.discardReadBytes() }
                    client.input = input
                }
                guard let packet else { return }
                traffic.packetsReceived += 1
                try handle(try client.connection.receive(packet, now: now), from: client)
            } catch {
                if counters.refused == refused {
                    counters.violations += 1
                    note(
                        .breach, of: client, user: client.session?.user, reason: error.detail,
                        group: "\(error.reason)")
                }
                close(client, for: error)
            }
        }
    }

    /// Packets that one client is served before others get their turn: a read may hold tens of thousands of small ones.
    private static let packetsPerTurn = 500

    /// Goes on with the client after what else is due. The loop works off everything that it queues for itself before it
    /// looks at sockets again; what comes from another thread waits until it has.
    private func giveWay(_ client: Client) {
        client.givesWay = true
        let number = client.number
        let loop = loop
        let core = NIOLoopBound(self, eventLoop: loop)
        Task { loop.execute { core.value.takeTurn(number) } }
    }

    private func takeTurn(_ number: UInt64) {
        guard let client = clients[number] else { return }
        client.givesWay = false
        goOn(client)
        endTurn()
    }

    /// The read is over: hands every client what waits for it, the publishes up, and the changes to the store. Clients
    /// come first, since what follows wakes other threads.
    func endTurn() {
        flush()
        if !batch.isEmpty {
            let (full, senders) = (batch, batchSenders)
            batch.removeAll(keepingCapacity: true)
            batchSenders.removeAll(keepingCapacity: true)
            if intake.accept(full) == .congested {
                for sender in senders { clients[sender]?.isHeldBack = true }
            }
        }
        commit()
        flush()
    }

    /// In the order in which they got something: a message reaches its subscribers before its acknowledgement leaves.
    private func flush() {
        var index = 0
        while index < dirty.count {
            let client = dirty[index]
            index += 1
            client.isDirty = false
            if !client.isClosing { client.flush() }
        }
        dirty.removeAll(keepingCapacity: true)
    }

    private func handle(_ request: ServerConnection.Request, from client: Client) throws(MQTTError) {
        if case .connect(let connect) = request { return try self.connect(connect, client) }
        guard let session = client.session else { return }
        switch request {
        case .connect, .nothing: break
        case .publish(let publish, let publication):
            try receive(publish, from: client, session, publication: publication)
        case .puback(let acknowledgement): try puback(acknowledgement, session)
        case .pubrec(let acknowledgement): try pubrec(acknowledgement, session)
        case .pubrel(let acknowledgement): try pubrel(acknowledgement, session)
        case .pubcomp(let acknowledgement): try pubcomp(acknowledgement, session)
        case .subscribe(let packet): subscribe(packet, session, client)
        case .unsubscribe(let packet): unsubscribe(packet, session, client)
        case .ping: send(.pingresp, to: client)
        case .disconnect(let withWill, let expiry):
            if let expiry { session.expiryInterval = min(expiry, configuration.maximumSessionExpiry) }
            // A client that leaves in order takes its will with it [MQTT-3.14.4-3].
            if !withWill { session.will = nil }
            end(client)
        }
    }

    // MARK: Output

    /// There is room in front of the client, if need be after handing its socket what waits already: one turn may
    /// bring more than the bound.
    func hasRoom(_ client: Client) -> Bool {
        if client.outputBytes >= configuration.maximumOutputBytes { client.flush() }
        return client.outputBytes < configuration.maximumOutputBytes
    }

    func send(_ packet: Packet, to client: Client) {
        guard !client.isClosing else { return }
        guard client.append(packet, version: client.version) else {
            return close(client, for: MQTTError(.packetTooLarge, "the answer is larger than the client takes"))
        }
        markDirty(client)
        // Answers are owed, so they cannot be dropped: a client that asks and asks and never reads has to go.
        if !hasRoom(client), client.outputBytes > configuration.maximumOutputBytes * 4 {
            close(client, for: MQTTError(.quotaExceeded, "the client does not read its answers"))
        }
    }

    func markDirty(_ client: Client) {
        guard !client.isDirty else { return }
        client.isDirty = true
        dirty.append(client)
    }

    /// Takes what had been read already, then asks the socket for more.
    func goOn(_ client: Client) {
        // What settles a publish while it is being taken does not begin anew for each: the taking itself goes on.
        guard !client.isReceiving else { return }
        received(client)
        if !client.isPaused, !client.isClosing { client.channel.read() }
    }

    /// The intake has room again. A listener that stops has been told to read no more, and does not.
    func resume() {
        guard !isStopping else { return }
        for client in clients.values where client.isHeldBack {
            client.isHeldBack = false
            if !client.isPaused { goOn(client) }
        }
        endTurn()
    }

    // MARK: Time and end

    /// One more timer of `$SYS` begins.
    func nextSystemTopicsSchedule() -> UInt64 {
        systemTopicsSchedule += 1
        return systemTopicsSchedule
    }

    /// The connection's timer went off; returns when to call again.
    func timerFired(_ client: Client) -> Int64? {
        guard !client.isClosing else { return nil }
        switch client.connection.timerFired(now: now, isHeard: !client.isPaused) {
        case .wake(let at): return at
        case .nothing: return nil
        case .close(let error):
            if client.session == nil {
                counters.silent += 1
                note(.silence, of: client, reason: error.detail)
            }
            close(client, for: error)
            endTurn()
            return nil
        }
    }

    /// Makes sure that `sessionsDue` is called by `deadline`.
    func schedule(_ deadline: Int64) {
        if let sessionTimer, sessionTimer.at <= deadline { return }
        sessionTimer?.task.cancel()
        let task = loop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(UInt64(max(0, deadline)))) {
            self.sessionTimer = nil
            self.sessionsDue()
            self.endTurn()
        }
        sessionTimer = (deadline, task)
    }

    /// No more packets are taken; acknowledgements that become due still leave.
    func stopTaking() {
        isStopping = true
        for client in clients.values { client.isHeldBack = true }
    }

    /// Acknowledgements that devices still wait for, and batches that are on their way to the store.
    var owedAcknowledgements: Int {
        clients.values.reduce(journal.isIdle ? 0 : 1) { $0 + $1.connection.owedAcknowledgements }
    }

    /// Nothing is on its way to the session store, or it takes nothing.
    var isStored: Bool { journal.isIdle }

    /// Says goodbye to everybody. Wills are published: nobody left in order [MQTT-3.1.2-8].
    func closeAll() {
        isStopping = true
        for client in Array(clients.values) {
            close(client, for: MQTTError(.serverShuttingDown, "the server is shutting down"))
        }
        sessionTimer?.task.cancel()
        sessionTimer = nil
        refusalTimer?.cancel()
        refusalTimer = nil
        writeRetained()
        endTurn()
    }

    func snapshot(listening: [String]) -> BrokerSnapshot {
        var counters = counters
        counters.retainedRefused = retained.refused
        let base = now
        let instant = time.now().instant
        let live = clients.values.filter { $0.session != nil }.sorted { $0.number < $1.number }
        return BrokerSnapshot(
            listening: listening,
            clients: live.map { client in
                BrokerSnapshot.Client(
                    id: client.identifier, address: client.address, user: client.session?.user,
                    version: client.version.text,
                    connectedSince: instant + .nanoseconds(client.connectedAt - base), received: client.received,
                    sent: client.sent)
            },
            counters: counters, sessions: sessions.count, subscriptions: subscriptions.count + shared.count,
            retained: retained.count - systemValues.count, storeProblem: journal.problem,
            denials: denials.top(20).map { BrokerSnapshot.Denial(subject: $0.key, count: $0.count) })
    }
}

extension ProtocolVersion {
    /// "3.1", "3.1.1" or "5.0".
    fileprivate var text: String {
        switch self {
        case .v3_1: "3.1"
        case .v3_1_1: "3.1.1"
        case .v5_0: "5.0"
        }
    }
}

extension Client {
    /// The peer's address, without its port.
    var address: String { PeerAddress(channel.remoteAddress).text }
}

/// Closes a channel whose last bytes were just written. Closed at once, with bytes of the peer still unread, the kernel
/// would reset the connection, and the peer would throw away what it has not read yet: the reason it is closed for. So
/// only the sending side ends now, and what still comes is read and dropped until the peer has ended too, for a second
/// at most.
private func linger(_ channel: any Channel) {
    channel.close(mode: .output).whenFailure { _ in channel.close(promise: nil) }
    let end = channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
    channel.closeFuture.whenComplete { _ in end.cancel() }
}
