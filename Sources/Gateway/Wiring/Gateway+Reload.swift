import Admin
import Broker
import Configuration
import Logging
import Outbox
import Readings
import Sensors
import Synchronization
import Upstream

/// Takes other settings into use while the gateway runs: what changed is stopped and started, all else goes on.
extension Gateway {
    /// How long what changed may take to come up before the earlier plan is put back.
    static let reloadLimit = Duration.seconds(30)

    /// Reads the settings again and applies what changed.
    ///
    /// Nothing changes where the settings have a mistake, or change what only a restart can. What does not come up within
    /// 30 s puts the earlier plan back. One reload at a time.
    func reload(_ request: ReloadRequest) async -> ReloadAnswer {
        guard let source else {
            return .failure(
                GatewayError(.unavailable, doing: "reload", reason: "this gateway was not started from a settings file")
            )
        }
        if let path = request.path, path != source.path {
            return .failure(
                GatewayError(
                    .usage, doing: "reload", reason: "the gateway runs on \(source.path), not on \(path)",
                    remedy: "name that file with --config"))
        }
        guard !isReloading.exchange(true, ordering: .acquiringAndReleasing) else {
            return .failure(
                GatewayError(
                    .unavailable, doing: "reload", reason: "another reload is under way",
                    remedy:
                        "wait until it has ended: \(Self.reloadLimit.components.seconds) s at most, and as long again where it is undone"
                ))
        }
        defer { isReloading.store(false, ordering: .releasing) }
        let new: GatewaySettings
        var answer = ReloadAnswer()
        do throws(GatewayError) {
            (new, answer.diagnostics) = try source.load()
        } catch {
            return .failure(error)
        }
        let difference = PlanDifference(from: settings, to: new)
        answer.changes = difference.changes.map(\.description)
        guard !request.isDryRun else { return answer }
        for case .needsRestart(let key, _, _) in difference.changes {
            answer.failure =
                ReloadAnswer.failure(
                    GatewayError(
                        .configuration, doing: "reload", reason: "\(key) cannot change while the gateway runs",
                        remedy: "systemctl restart tidegate, or put the earlier value back")
                ).failure
            return answer
        }
        systemd.send("RELOADING=1")
        defer { systemd.send("READY=1") }
        logger.notice("reloading", metadata: ["changes": "\(difference.changes.count)"])
        if let failure = await change(to: new, difference) {
            answer.failure = ReloadAnswer.failure(failure).failure
        }
        return answer
    }

    /// - Returns: why the earlier plan is in force again; `nil` when the new one is.
    private func change(to new: GatewaySettings, _ difference: PlanDifference) async -> GatewayError? {
        let old = settings
        let wasUp = currentLink.link?.snapshot().state.isUp == true
        let deadline = time.now().instant + Self.reloadLimit
        do throws(GatewayError) {
            try await apply(difference, from: old, to: new)
        } catch {
            return await putBack(old, instead: new, because: error)
        }
        if let failure = await failureToComeUp(difference, linkWasUp: wasUp, by: deadline) {
            return await putBack(old, instead: new, because: failure)
        }
        settingsProblems.withLock { $0 = [] }
        logger.notice(
            "the settings were reloaded",
            metadata: ["changed": "\(difference.changes.map(\.description).joined(separator: "; "))"])
        return nil
    }

    private func putBack(
        _ old: GatewaySettings, instead new: GatewaySettings, because failure: GatewayError
    ) async -> GatewayError {
        do throws(GatewayError) {
            try await apply(PlanDifference(from: new, to: old), from: new, to: old)
        } catch {
            // What the earlier plan needs was there before: what fails now is a part's, which is started again.
            logger.error("a part of the earlier settings cannot be put back", metadata: ["error": "\(error)"])
        }
        logger.error("the reload was undone", metadata: ["error": "\(failure)"])
        return failure
    }

    // MARK: Applying

    /// What is new is there before anything refers to it, and what is removed goes once nothing refers to it.
    private func apply(
        _ difference: PlanDifference, from old: GatewaySettings, to new: GatewaySettings
    ) async throws(GatewayError) {
        let changes = Set(difference.changes)
        setSettings(new)
        if let level = Logger.Level(rawValue: new.gateway.logLevel) { threshold?.level = level }
        if changes.contains(.lanLimits) { await broker.reconfigure(new.lan(with: accounts)) }
        if difference.changesOutbox {
            do throws(OutboxError) {
                try await outbox.reconfigure(
                    classes: new.classes, minimumFree: new.gateway.minimumFree,
                    window: new.upstream?.configuration.window ?? .max)
            } catch {
                throw GatewayError(.internalFault, doing: "change the classes of the outbox", reason: error.reason)
            }
        }
        await stopListeners(changes, old)
        // All that change are stopped before the first is started: one may take another's port or line.
        await stopSensors(changes, old)
        if difference.changesIngest {
            intake.reconfigure(
                rules: new.forward, commandTopics: SensorHub.commandTopics(of: new.sensorEntries))
            await ingest.reconfigure(rules: new.forward, sensors: new.treatments, watched: new.watchedSensors)
        }
        startSensors(changes, new)
        startListeners(changes, new)
        if changes.contains(.linkRemoved) || changes.contains(.linkChanged) {
            await supervisor.stop(PartName(.upstream))
        }
        commands.reconfigure(accept: new.accept, timeTopic: new.upstream?.timeTopic)
        if changes.contains(.linkAdded) || changes.contains(.linkChanged) { startLink(new) }
    }

    private func stopSensors(_ changes: Set<PlanDifference.Change>, _ plan: GatewaySettings) async {
        for entry in plan.sensors
        where changes.contains(.sensorRemoved(entry.id)) || changes.contains(.sensorChanged(entry.id)) {
            await supervisor.stop(PartName(.sensor, entry.id.name))
            if changes.contains(.sensorRemoved(entry.id)) { sensors.remove(entry.id) }
        }
    }

    private func startSensors(_ changes: Set<PlanDifference.Change>, _ plan: GatewaySettings) {
        for entry in plan.sensorEntries
        where changes.contains(.sensorAdded(entry.id)) || changes.contains(.sensorChanged(entry.id)) {
            sensors.add(entry)
            start(entry.id)
        }
    }

    private func stopListeners(_ changes: Set<PlanDifference.Change>, _ plan: GatewaySettings) async {
        for (name, listener) in PartName.listeners(plan.lan.listeners)
        where changes.contains(.listenerRemoved(listener.endpoint))
            || changes.contains(.listenerChanged(listener.endpoint))
        {
            await supervisor.stop(name)
        }
    }

    private func startListeners(_ changes: Set<PlanDifference.Change>, _ plan: GatewaySettings) {
        for (name, listener) in PartName.listeners(plan.lan.listeners)
        where changes.contains(.listenerAdded(listener.endpoint))
            || changes.contains(.listenerChanged(listener.endpoint))
        {
            start(listener, name)
        }
    }

    // MARK: Coming up

    /// - Returns: which part did not come up by `deadline`, and why; `nil` when all did.
    private func failureToComeUp(
        _ difference: PlanDifference, linkWasUp: Bool, by deadline: Instant
    ) async -> GatewayError? {
        let names = partNames(startedBy: difference)
        let left = { [time] in max(.zero, deadline - time.now().instant) }
        let areUp = await supervisor.wait(atMost: left()) { rows in
            rows.allSatisfy { !names.contains($0.name) || $0.state == .running }
        }
        if !areUp, let row = supervisor.table.first(where: { names.contains($0.name) && $0.state != .running }) {
            return GatewayError(
                .unavailable, doing: "reload: the \(row.name) did not come up within 30 s",
                reason: row.problem?.reason ?? "it is still starting",
                remedy: row.problem?.remedy ?? "look at tidegate status; the earlier settings are in force again")
        }
        guard linkWasUp, difference.changes.contains(.linkChanged) else { return nil }
        if await currentLink.link?.waitUntilUp(within: left()) == true { return nil }
        let problem = currentLink.link?.snapshot().failure
        return GatewayError(
            .unavailable, doing: "reload: the upstream link did not come up within 30 s",
            reason: problem?.reason ?? "it is still connecting",
            remedy: problem?.remedy ?? "look at tidegate status; the earlier settings are in force again")
    }

    private func partNames(startedBy difference: PlanDifference) -> Set<PartName> {
        var names: Set<PartName> = []
        for change in difference.changes {
            switch change {
            case .listenerAdded(let endpoint), .listenerChanged(let endpoint):
                for (name, listener) in PartName.listeners(settings.lan.listeners) where listener.endpoint == endpoint {
                    names.insert(name)
                }
            case .sensorAdded(let id), .sensorChanged(let id): names.insert(PartName(.sensor, id.name))
            case .linkAdded, .linkChanged: names.insert(PartName(.upstream))
            default: break
            }
        }
        return names
    }
}

extension PlanDifference {
    fileprivate var changesOutbox: Bool {
        changes.contains { change in
            switch change {
            case .classAdded, .classChanged, .classRemoved, .minimumFree, .linkChanged, .linkAdded: true
            default: false
            }
        }
    }

    /// What the pipeline or the intake must know.
    fileprivate var changesIngest: Bool {
        changes.contains { change in
            switch change {
            case .forwardRules, .valueProcessing, .sensorAdded, .sensorChanged, .sensorRemoved: true
            default: false
            }
        }
    }
}

extension ReloadAnswer {
    static func failure(_ error: GatewayError) -> Self {
        ReloadAnswer(failure: RequestFailure(exitCode: error.kind.rawValue, text: "\(error)"))
    }
}
