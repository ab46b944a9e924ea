package import Admin
import Broker
import Configuration
import Diagnosis
import Glibc
import Outbox
import Readings
import Registry
import Sensors
import Synchronization
import Upstream

extension Gateway {
    /// What every room says of itself right now. Asks the event loop and the outbox, so it answers only while they do.
    package func status() async -> GatewayStatus {
        let wall = time.now()
        let now = wall.instant
        func seconds(since instant: Instant) -> Double { Double((now - instant).wholeNanoseconds) / 1e9 }

        let broker = await broker.snapshot()
        let backlog = (try? await outbox.backlog()) ?? []
        let progress = ingest.progress
        let counts = intake.counts
        var status = GatewayStatus(
            gateway: settings.gateway.id,
            version: GatewayVersion.current,
            uptimeSeconds: seconds(since: started.instant),
            clockIsTrusted: wall.quality == .synced,
            clock: rfc3339(unixNanoseconds: wall.unixNanoseconds),
            listening: broker.listening,
            link: linkStatus(progress, now: wall),
            queues: backlog.map { .init($0, maximumBytes: settings.classes[$0.deliveryClass]?.maximumBytes) },
            sensors: sensorStates(progress.readings, now: wall),
            intake: GatewayStatus.Intake(
                received: counts.received, forwarded: progress.forwarded, waiting: counts.queued,
                dropped: counts.dropped, undecodable: progress.undecodable, lastFailure: progress.lastFailure,
                storeProblem: outbox.problem.map { "\($0)" }, shortOfSpace: outbox.shortage),
            lan: lan(broker),
            clientCount: broker.clients.count,
            clients: broker.clients.prefix(100).map { client in
                GatewayStatus.Client(
                    id: client.id, user: client.user, address: client.address, version: client.version,
                    secondsConnected: seconds(since: client.connectedSince), received: client.received,
                    sent: client.sent)
            })
        status.intake.storeNotes = outbox.condition.notes(now: now)
        status.flashBytes = FlashWear.writtenBytes
        status.flashBytesPerDay = status.flashBytes.map { Double($0) * 86_400 / max(1, status.uptimeSeconds) }
        if counts.received > 0 {
            status.flashBytesPerMessage = status.flashBytes.map { Double($0) / Double(counts.received) }
        }
        status.settingsProblems = settingsProblems.withLock { $0 }
        status.parts = supervisor.table.map { GatewayStatus.Part($0, now: now) }
        status.processID = Int(getpid())
        return status
    }
}

extension Gateway {
    private func linkStatus(_ progress: Ingest.Progress, now: Timestamp) -> GatewayStatus.Link {
        guard let link = currentLink.link?.snapshot(), let upstream = settings.upstream else {
            return GatewayStatus.Link(
                state: "not configured", url: "", secondsInState: 0, secondsSinceConfirmation: nil, inFlight: 0,
                published: 0, acknowledged: 0, refused: 0, reconnects: 0, looped: progress.looped,
                problem: "there is no upstream that could be used: everything waits in the queue\n"
                    + "  try: mend [upstream] in the settings (tidegate check), and restart")
        }
        func seconds(since instant: Instant) -> Double { Double((now.instant - instant).wholeNanoseconds) / 1e9 }
        func days(until unixSeconds: Int64) -> Double {
            Double(unixSeconds - now.unixNanoseconds / 1_000_000_000) / 86_400
        }
        return GatewayStatus.Link(
            state: link.state.name, url: (link.address ?? upstream.configuration.addresses[0]).description,
            secondsInState: seconds(since: link.since),
            secondsSinceConfirmation: link.lastConfirmation.map(seconds(since:)),
            inFlight: link.inFlight, published: link.published, acknowledged: link.acknowledged,
            refused: link.refused, reconnects: link.reconnects, received: link.received,
            looped: link.looped + progress.looped, address: link.peer, version: link.version?.description,
            certificateDays: link.certificateExpiry.map(days),
            brokerCertificateDays: link.brokerCertificateExpiry.map(days), problem: link.problem)
    }

    private func sensorStates(_ readings: [DeviceID: [Reading]], now: Timestamp) -> [GatewayStatus.Sensor] {
        settings.sensors.compactMap { entry in
            guard let sensor = sensors.snapshot(of: entry.id) else { return nil }
            return GatewayStatus.Sensor(
                id: sensor.id.name, driver: sensor.driver, topic: entry.topic, state: sensor.state.name,
                problem: sensor.state.problem, samples: sensor.samples, dropped: sensor.dropped,
                restarts: sensor.restarts, commandTopic: entry.sensor.commands.isEmpty ? nil : entry.commandTopic,
                commands: sensor.commands, refusedCommands: sensor.refusedCommands, lastRefusal: sensor.lastRefusal,
                counters: sensor.counters.map { .init(name: $0.name, value: $0.value) },
                clockAheadSeconds: sensor.offeredTime.map { offered in
                    // What this board's clock said when the time was offered.
                    let then = now.unixNanoseconds - (now.instant - offered.at).wholeNanoseconds
                    return Double(then.subtractingReportingOverflow(offered.utc).partialValue) / 1e9
                },
                readings: (readings[sensor.id] ?? []).map { .init($0, now: now.instant) })
        }
    }

    private func lan(_ broker: BrokerSnapshot) -> GatewayStatus.Lan {
        let counters = broker.counters
        let counts = accounts.counts
        var problems: [String] = []
        problems += stateProblems()
        if accounts.isClosed {
            problems.append(
                "access rules were lost with a damaged file, or cannot be read: what none allows is denied\n"
                    + "  try: add them again (tidegate device allow), then tidegate device reopen")
        }
        var lan = GatewayStatus.Lan(
            users: counts.users, rules: counts.rules, sessions: broker.sessions, subscriptions: broker.subscriptions,
            retained: broker.retained, refused: counters.refused, refusedLogins: counters.refusedLogins,
            refusedAddresses: counters.refusedAddresses, denied: counters.denied,
            refusedSubscriptions: counters.refusedSubscriptions, refusedRetained: counters.retainedRefused,
            violations: counters.violations, silent: counters.silent, dropped: counters.dropped,
            problem: problems.isEmpty ? nil : problems.joined(separator: "\n"))
        lan.denials = broker.denials.map {
            .init(user: $0.subject.user, action: $0.subject.action.rawValue, topic: $0.subject.topic, count: $0.count)
        }
        lan.topicsWithoutRule = intake.topicsWithoutRule(20).map { .init(topic: $0.key, count: $0.count) }
        return lan
    }
}

extension Gateway {
    /// What is wrong with the state file, and for as long as one that was damaged still lies there, where.
    private func stateProblems() -> [String] {
        let snapshot = state.snapshot
        var problems: [String] = []
        if let problem = snapshot.problem {
            problems.append(
                "sessions, retained messages and accounts cannot be stored, and are lost with a restart: "
                    + "\(problem.reason)\n  try: \(problem.remedy ?? "tidegate doctor")")
        }
        for replacement in snapshot.replacements {
            guard let file = replacement.quarantined, access(file, F_OK) == 0 else { continue }
            problems.append(
                "the state file was damaged (\(replacement.reason)), and a new one is in use\n"
                    + "  try: look after the storage (tidegate doctor); the damaged file is \(file), and is not needed")
        }
        return problems
    }
}

extension LinkSnapshot.State {
    /// One word for a person.
    fileprivate var name: String {
        switch self {
        case .idle: "starting"
        case .down: "down"
        case .resolving: "resolving"
        case .connecting: "connecting"
        case .authenticated: "authenticated"
        case .confirmed: "confirmed"
        case .suspect: "suspect"
        case .stopping: "stopping"
        case .stopped: "stopped"
        }
    }
}

extension LinkSnapshot {
    /// What is wrong right now and what to do about it; `nil` when nothing is.
    fileprivate var problem: String? {
        var problems = refusedSubscriptions.map(\.description)
        if !state.isUp, let lastFault { problems.insert(lastFault.description, at: 0) }
        if let certificateProblem {
            problems.append("the certificates in the files are not in use: \(certificateProblem)")
        }
        if let lastRefusal { problems.append("\(lastRefusal)") }
        return problems.isEmpty ? nil : problems.joined(separator: "\n")
    }
}

extension GatewayStatus.Sensor.Reading {
    /// For a person, with its age.
    init(_ reading: Reading, now: Instant) {
        self.init(
            metric: reading.metric, value: reading.valueText, quality: reading.quality.rawValue, why: reading.reason,
            secondsSinceValue: Double((now - reading.time.instant).wholeNanoseconds) / 1e9)
    }
}

extension Reading {
    /// "21.4 Cel", "true": value and unit for a person.
    fileprivate var valueText: String {
        let text =
            switch value {
            case .number(let number): "\(number)"
            case .integer(let integer): "\(integer)"
            case .boolean(let boolean): "\(boolean)"
            case .text(let text): text
            case .missing: "none"
            }
        return [text, unit?.name].compactMap { $0 }.joined(separator: " ")
    }
}

extension GatewayStatus.Part {
    init(_ row: Supervisor.Row, now: Instant) {
        let state =
            switch row.state {
            case .starting: "starting"
            case .running: row.problem == nil ? "running" : "degraded"
            case .backingOff: "backing off"
            case .givenUp: "given up"
            case .stopped: "stopped"
            }
        self.init(
            name: "\(row.name)", state: state, secondsInState: Double((now - row.since).wholeNanoseconds) / 1e9,
            restarts: row.restarts, problem: row.problem?.reason, remedy: row.problem?.remedy,
            lastError: row.lastFailure?.reason)
    }
}
