import Admin
import Broker
package import Configuration
package import Logging
import MQTT
import NIOCore
import NIOPosix
import Outbox
import Pipeline
package import Readings
import Registry
import Sensors
import Upstream

/// The wiring, and nothing else: which room is joined to which, and in what order they start and stop.
///
///     sensors ─┐
///              ├─ intake ─▶ ingest (pipeline) ─▶ outbox ─▶ link ─▶ cloud
///     broker ──┘                └─▶ broker (LAN subscribers)
///        ◀────────────── settled ──┘   (PUBACK to the device)
///     cloud ─▶ link ─▶ accept rules ─▶ broker (LAN subscribers)
package final class Gateway: Sendable {
    let settings: GatewaySettings
    let time: any TimeSource
    let started: Timestamp
    let logger: Logger

    let group: MultiThreadedEventLoopGroup
    let intake: GatewayIntake
    let state: StateStore
    let accounts: Accounts
    let broker: BrokerServer
    let listeners: ListenerLoop
    let sensors: SensorSupervisor
    let outbox: OutboxStore
    /// Speaks whenever the outbox found its file damaged.
    let damage: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)
    let ingest: Ingest
    /// `nil` where the settings name no upstream that could be used.
    let link: UpstreamLink?
    /// What of the settings is not in use, and why.
    let settingsProblems: [String]
    let control: ControlServer
    let systemd: SystemdNotifier

    /// Makes every room and joins them. Opens the outbox, which must exist before anything may be acknowledged; starts
    /// nothing.
    /// - Parameters:
    ///   - settingsProblems: what of the settings is not in use, for whoever asks.
    ///   - sent: sees every message just before it is committed.
    package init(
        settings: GatewaySettings, settingsProblems: [String] = [], time: any TimeSource,
        sent: (@Sendable ([Message]) -> Void)? = nil,
        logging: @escaping @Sendable (String) -> any LogHandler
    ) throws(GatewayError) {
        func logger(_ label: String) -> Logger { Logger(label: label, factory: logging) }
        self.settings = settings
        self.settingsProblems = settingsProblems
        self.time = time
        started = time.now()
        self.logger = logger("gateway")
        systemd = SystemdNotifier()
        try DataDirectory.prepare(settings.gateway.dataDirectory)
        // One loop serves the LAN: broker state then needs no locks, and one core carries more than a LAN sends.
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

        // Where devices and sensors come in.
        let sensorEntries = settings.sensors.map {
            SensorSupervisor.Entry(
                id: $0.id, driver: $0.driver, topic: $0.topic, commandTopic: $0.commandTopic, sensor: $0.sensor)
        }
        let intake = GatewayIntake(
            rules: settings.forward,
            commandTopics: SensorSupervisor.commandTopics(of: sensorEntries))
        let state = try StateStore(settings, time: time, logger: logger("state"))
        let accounts = try Accounts()
        let connection = LinkAnnouncement(gateway: settings.gateway.id)
        var lan = settings.lan
        lan.authenticator = accounts
        lan.accessPolicy = accounts
        let broker = BrokerServer(
            configuration: lan, group: group, intake: intake, time: time, store: state,
            logger: logger("broker"), systemTopics: { connection.messages })
        let sensors = SensorSupervisor(
            sensorEntries, time: time, directory: "\(settings.gateway.dataDirectory)/sensors", logger: logger("sensors")
        ) { arrival in _ = intake.accept([arrival]) }

        // What is acknowledged is in the outbox: its commits settle with the devices, and wake the link.
        let bell = Bell()
        let damage = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let outbox = try OutboxStore(
            settings, time: time, logger: logger("outbox"),
            settled: { broker.settle($0) },
            rejected: { broker.settle($0, reason: .quotaExceeded) },
            damaged: { damage.continuation.yield() }, available: { bell.ring() })
        let ingest = Ingest(
            intake: intake,
            pipeline: ReadingPipeline(
                rules: settings.forward,
                sensors: Dictionary(settings.sensors.map { ($0.id, $0.treatment) }) { first, _ in first },
                watched: settings.sensors.map { WatchedSensor(id: $0.id, topic: $0.topic, staleAfter: $0.staleAfter) }),
            outbox: outbox, broker: broker, sensors: sensors, time: time, logger: logger("ingest"), sent: sent)

        // Up to the cloud, and back down to the LAN.
        let accept = AcceptRules(settings.accept)
        let stopped = StoppedCommands(logger: logger("upstream"))
        let link = try UpstreamLink.make(
            settings.upstream, outbox: outbox, time: time, logger: logger("upstream"),
            accepted: { arrivals in
                if let topic = settings.upstream?.timeTopic {
                    for arrival in arrivals where arrival.topic == topic { UpstreamTime.tell(arrival, to: time) }
                }
                let local = arrivals.compactMap { arrival -> LocalMessage? in
                    switch accept.way(for: arrival.topic) {
                    case .out(let topic):
                        return LocalMessage(
                            topic: topic, payload: arrival.payload, retain: arrival.retain, expiry: arrival.expiry,
                            properties: arrival.properties)
                    case .none: break
                    case .stopped(let rule): stopped.note(arrival.topic, rule: rule)
                    }
                    return nil
                }
                broker.publish(local)
                for message in local { sensors.command(message.topic, payload: message.payload) }
            })
        if let link {
            bell.attach { link.wake() }
            connection.attach { link.snapshot().state.isUp }
        }

        self.intake = intake
        self.state = state
        self.accounts = accounts
        self.broker = broker
        listeners = ListenerLoop(broker: broker, listeners: lan.listeners, logger: logger("listener"))
        self.sensors = sensors
        self.outbox = outbox
        self.ingest = ingest
        self.damage = damage
        self.link = link
        let reference = GatewayReference()
        control = ControlServer(
            path: ControlSocket.path(in: settings.gateway.dataDirectory), group: group, logger: logger("control"),
            answers: .init(
                status: { await reference.status() }, device: { await reference.device($0) },
                sensor: { await reference.sensor($0) }, queue: { await reference.queue($0) }))
        reference.attach(self)
    }

    /// Runs until SIGTERM or SIGINT, or until `stop` returns; then stops within 5 s.
    ///
    /// Parts stop in the reverse of the order below: first what brings new readings, then the way through, last the
    /// link, which waits for what is in flight. What is left is in the outbox.
    package func run(until stop: (@Sendable () async -> Void)? = nil) async throws(GatewayError) {
        do {
            try await accounts.load(from: state)
            try await broker.start()
        } catch let error as BrokerError {
            await close()
            throw GatewayError(error)
        } catch {
            await close()
            throw GatewayError(.io, doing: "read users and access rules", reason: "\(error)")
        }
        if accounts.counts.users == 0 {
            for listener in settings.lan.listeners where listener.needsUsers {
                logger.warning(
                    "nobody can log in: there are no users yet",
                    metadata: ["listener": "\(listener.endpoint)", "try": "tidegate device add NAME"])
            }
        }
        await Lifecycle.run(
            [
                { await self.runLink(until: $0) }, { await self.runIngest(until: $0) },
                { await self.runBroker(until: $0) }, { await self.runListeners(until: $0) },
                { await self.runSensors(until: $0) },
                { await self.runControl(until: $0) }, { await self.runWatchdog(until: $0) },
                { await self.runClock(until: $0) },
                { await self.runSalvage(until: $0) },
            ], until: stop ?? { await TerminationSignal.wait() })
        await close()
    }

    private func close() async {
        accounts.close()
        await outbox.close()
        await state.close()
        try? await group.shutdownGracefully()
        logger.notice("stopped")
    }
}

extension Listener {
    /// Nobody comes in here without a user and a password.
    fileprivate var needsUsers: Bool {
        !allowsAnonymous && (userSource == .login || tls?.clientCertificate != .required)
    }
}
