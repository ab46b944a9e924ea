import Admin
import Broker
import Configuration
import Logging
import Outbox
import Pipeline
import Readings
import Sensors
import Timekeeping
import Upstream

/// Which parts there are. The supervisor starts each of them again when it fails.
extension Gateway {
    /// Starts every part of the plan. A part that cannot start holds up no other; only listeners wait until sessions have
    /// been taken up, for a while.
    func startParts() async {
        let settings = settings
        let directory = settings.gateway.dataDirectory
        supervisor.start(DataDirectoryPart(path: directory))
        supervisor.start(
            StorePart(name: PartName(.outbox)) { [outbox, time] in outbox.failure(now: time.now().instant) })
        supervisor.start(StorePart(name: PartName(.state)) { [state] in state.failure })
        startLink(settings)
        supervisor.start(IngestPart(ingest: ingest, intake: intake))
        supervisor.start(LanPart(broker: broker))
        for entry in settings.sensors { start(entry.id) }
        _ = await supervisor.wait(atMost: .seconds(10)) { rows in
            rows.contains { $0.name.kind == .lan && $0.state == .running }
        }
        for (name, listener) in PartName.listeners(settings.lan.listeners) { start(listener, name) }
        for path in controlPaths { supervisor.start(ControlPart(path: path, server: control)) }
        supervisor.start(WatchdogPart(watchdog: Watchdog(gateway: self)))
        supervisor.start(
            ClockPart(
                file: ClockFile(dataDirectory: directory), time: time, outbox: outbox, logger: makeLogger("clock")))
        supervisor.start(SalvagePart(outbox: outbox))
    }

    func startLink(_ settings: GatewaySettings) {
        guard let upstream = settings.upstream else { return }
        supervisor.start(
            LinkPart(
                configuration: upstream.configuration, outbox: outbox, current: currentLink, commands: commands,
                time: time, logger: makeLogger("upstream")))
    }

    func start(_ listener: Listener, _ name: PartName) {
        supervisor.start(ListenerPart(name, listener: listener, broker: broker))
    }

    /// Starts a sensor that the hub has.
    func start(_ sensor: DeviceID) { supervisor.start(SensorPart(sensor, hub: sensors)) }

    private var controlPaths: [String] {
        ControlSocket.paths(dataDirectory: settings.gateway.dataDirectory, settingsPath: source?.path)
    }

    /// Waits until each listener has either opened or failed, for 5 s at most, and says where the gateway listens.
    func announceListeners() async {
        _ = await supervisor.wait(atMost: .seconds(5)) { rows in
            rows.allSatisfy { $0.name.kind != .listener || $0.state != .starting }
        }
        logger.notice("listening", metadata: ["addresses": "\(broker.listening.joined(separator: ", "))"])
        guard accounts.counts.users == 0 else { return }
        for listener in settings.lan.listeners where listener.needsUsers {
            logger.warning(
                "no device can log in: there are no users yet",
                metadata: ["listener": "\(listener.endpoint)", "try": "tidegate device add NAME"])
        }
    }
}

extension GatewaySettings {
    /// The sensors as their room takes them.
    var sensorEntries: [SensorHub.Entry] {
        sensors.map {
            SensorHub.Entry(
                id: $0.id, driver: $0.driver, topic: $0.topic, commandTopic: $0.commandTopic, sensor: $0.sensor)
        }
    }

    /// The LAN's limits, with the users and rules of the state file.
    func lan(with accounts: Accounts) -> BrokerConfiguration {
        var lan = lan
        lan.authenticator = accounts
        lan.accessPolicy = accounts
        return lan
    }

    /// How each sensor's values are processed.
    var treatments: [DeviceID: Treatment] {
        Dictionary(sensors.map { ($0.id, $0.treatment) }) { first, _ in first }
    }

    var watchedSensors: [WatchedSensor] {
        sensors.map { WatchedSensor(id: $0.id, topic: $0.topic, staleAfter: $0.staleAfter) }
    }

    var pipeline: ReadingPipeline {
        ReadingPipeline(rules: forward, sensors: treatments, watched: watchedSensors)
    }
}

extension Listener {
    /// No client comes in here without a user and a password.
    fileprivate var needsUsers: Bool {
        !allowsAnonymous && (userSource == .login || tls?.clientCertificate != .required)
    }
}
