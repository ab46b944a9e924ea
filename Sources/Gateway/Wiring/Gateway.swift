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
import Synchronization
import Timekeeping
import Upstream

/// The wiring, and nothing else: which room is joined to which, and which parts the supervisor runs.
///
///     sensors ─┐
///              ├─ intake ─▶ ingest (pipeline) ─▶ outbox ─▶ link ─▶ cloud
///     broker ──┘                └─▶ broker (LAN subscribers)
///        ◀────────────── settled ──┘   (PUBACK to the device)
///     cloud ─▶ link ─▶ accept rules ─▶ broker (LAN subscribers), outputs
///
/// Made once, and there until the process ends: outbox, state store, broker, intake and pipeline. What can be replaced
/// while the gateway runs is a part: see ``startParts()`` for the list, `Gateway+Reload` for what a reload changes.
package final class Gateway: Sendable {
    /// The plan in force.
    private let plan: Mutex<GatewaySettings>
    var settings: GatewaySettings { plan.withLock { $0 } }
    func setSettings(_ settings: GatewaySettings) { plan.withLock { $0 = settings } }

    let time: any TimeSource
    let started: Timestamp
    let logger: Logger
    let makeLogger: @Sendable (_ label: String) -> Logger
    /// Where the settings are read from again; `nil`: nowhere.
    let source: SettingsSource?
    /// The level of all logs, which a reload may change; `nil`: it stays.
    let threshold: LogThreshold?
    /// What of the settings is not in use, and why.
    let settingsProblems: Mutex<[String]>
    /// A reload is under way.
    let isReloading = Atomic(false)

    let supervisor: Supervisor
    let group: MultiThreadedEventLoopGroup
    let intake: GatewayIntake
    let state: StateStore
    let accounts: Accounts
    let broker: BrokerServer
    let sensors: SensorHub
    let outbox: OutboxStore
    let ingest: Ingest
    let commands: CommandRouter
    let currentLink: CurrentLink
    let control: ControlServer
    let systemd: SystemdNotifier

    /// Makes every room and joins them. Opens the outbox, which must exist before anything may be acknowledged; starts
    /// nothing.
    /// - Parameters:
    ///   - settingsProblems: what of the settings is not in use, for `status`.
    ///   - source: where a reload reads the settings.
    ///   - sent: sees every message just before it is committed.
    package init(
        settings: GatewaySettings, settingsProblems: [String] = [], source: SettingsSource? = nil,
        threshold: LogThreshold? = nil, time: any TimeSource, sent: (@Sendable ([Message]) -> Void)? = nil,
        logging: @escaping @Sendable (String) -> any LogHandler
    ) throws(GatewayError) {
        let makeLogger: @Sendable (String) -> Logger = { Logger(label: $0, factory: logging) }
        self.makeLogger = makeLogger
        plan = Mutex(settings)
        self.settingsProblems = Mutex(settingsProblems)
        self.source = source
        self.threshold = threshold
        self.time = time
        started = time.now()
        logger = makeLogger("gateway")
        systemd = SystemdNotifier()
        supervisor = Supervisor(time: time, logger: makeLogger("parts"))
        // One loop serves the LAN: broker state then needs no locks, and one core carries more than a LAN sends.
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        // A folder that cannot be used is reported by its part; the stores go on in memory.
        do throws(GatewayError) {
            try DataDirectory.prepare(settings.gateway.dataDirectory)
        } catch {
            guard error.kind != .configuration else { throw error }
        }

        // Where devices and sensors come in.
        let sensorEntries = settings.sensorEntries
        let intake = GatewayIntake(
            rules: settings.forward, commandTopics: SensorHub.commandTopics(of: sensorEntries))
        let reference = GatewayReference()
        let state = try StateStore(settings, time: time, logger: makeLogger("state")) {
            Task { await reference.accountsRead() }
        }
        let accounts = try Accounts()
        let currentLink = CurrentLink()
        let connection = LinkAnnouncement(gateway: settings.gateway.id, link: currentLink)
        let broker = BrokerServer(
            configuration: settings.lan(with: accounts), group: group, intake: intake, time: time, store: state,
            logger: makeLogger("broker"), systemTopics: { connection.messages })
        let sensors = SensorHub(
            sensorEntries, time: time, directory: "\(settings.gateway.dataDirectory)/sensors",
            logger: makeLogger("sensors")
        ) { arrival in _ = intake.accept([arrival]) }

        // What is acknowledged is in the outbox: its commits settle with the devices, and wake the link.
        let outbox = try OutboxStore(
            settings, time: time, logger: makeLogger("outbox"),
            settled: { broker.settle($0) },
            rejected: { broker.settle($0, reason: .quotaExceeded) },
            available: { currentLink.wake() })
        ingest = Ingest(
            intake: intake, pipeline: settings.pipeline, outbox: outbox, broker: broker, sensors: sensors, time: time,
            logger: makeLogger("ingest"), sent: sent)
        commands = CommandRouter(
            accept: settings.accept, timeTopic: settings.upstream?.timeTopic, broker: broker, sensors: sensors,
            time: time, logger: makeLogger("upstream"))

        self.intake = intake
        self.state = state
        self.accounts = accounts
        self.broker = broker
        self.sensors = sensors
        self.outbox = outbox
        self.currentLink = currentLink
        control = ControlServer(group: group, logger: makeLogger("control"), answers: reference.answers)
        reference.attach(self)
    }

    /// Runs until `stop` returns, or a part is given up; then stops within 5 s. What is left is in the outbox.
    /// - Parameter stop: returns when the gateway is to end.
    /// - Throws: when a part was given up, so that systemd starts the gateway anew.
    package func run(until stop: @escaping @Sendable () async -> Void) async throws(GatewayError) {
        do throws(AccountError) {
            try await accounts.load(from: state)
        } catch {
            await close()
            throw GatewayError(.io, doing: "read users and access rules", reason: "\(error)")
        }
        await startParts()
        await announceListeners()
        systemd.send("READY=1")
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await stop() }
            tasks.addTask { await self.supervisor.escalation.wait() }
            await tasks.next()
            tasks.cancelAll()
        }
        systemd.send("STOPPING=1", "STATUS=stopping")
        logger.notice("stopping")
        await supervisor.stopAll()
        let givenUp = supervisor.escalation.hasHappened
        await close()
        if givenUp {
            throw GatewayError(
                .internalFault, doing: "go on", reason: "a part of the gateway failed again and again",
                remedy: "see the log for which one (journalctl -u tidegate); systemd starts the gateway anew")
        }
    }

    private func close() async {
        sensors.close()
        accounts.close()
        await outbox.close()
        await state.close()
        try? await group.shutdownGracefully()
        logger.notice("stopped")
    }
}
