import Broker
import Configuration
import Database
import Logging
import Outbox
import Readings
import Registry
import Upstream

extension OutboxStore {
    /// Opens the outbox in the data directory; says so when a damaged one had to be moved aside.
    init(
        _ settings: GatewaySettings, time: any TimeSource, logger: Logger,
        settled: @escaping @Sendable ([SettleToken]) -> Void, rejected: @escaping @Sendable ([SettleToken]) -> Void,
        available: @escaping @Sendable () -> Void
    ) throws(GatewayError) {
        let id = settings.gateway.id
        var configuration = Configuration(
            path: DataDirectory.outbox(in: settings.gateway.dataDirectory), classes: settings.classes, time: time,
            gapTopic: { "\(id)/$gap/\($0)" })
        configuration.startsWithoutFile = true
        configuration.minimumFree = settings.gateway.minimumFree
        if let upstream = settings.upstream { configuration.window = upstream.configuration.window }
        do {
            try self.init(
                configuration: configuration, settled: settled, rejected: rejected,
                noticed: { $0.tell(logger) }, available: available)
        } catch {
            throw GatewayError(error)
        }
        if let recovery { OutboxNotice.replaced(recovery).tell(logger) }
    }
}

extension StateStore: SessionStore {
    /// Opens the state database in the data directory; says so whenever a damaged one had to be moved aside, and when
    /// there is none to be used.
    /// - Parameter accountsRead: users and rules could not be read before, and now are.
    init(
        _ settings: GatewaySettings, time: any TimeSource, logger: Logger,
        accountsRead: @escaping @Sendable () -> Void
    ) throws(GatewayError) {
        do {
            try self.init(
                path: "\(settings.gateway.dataDirectory)/state.db", boot: BootID.current()?.name ?? "", time: time
            ) { event in
                switch event {
                case .replaced(let replacement): replacement.tell(logger)
                case .accountsRead: accountsRead()
                }
            }
        } catch {
            throw GatewayError(
                error.isLocked ? .unavailable : .io, doing: "open the state", reason: error.description)
        }
        let snapshot = snapshot
        for replacement in snapshot.replacements { replacement.tell(logger) }
        if let problem = snapshot.problem {
            logger.error(
                "the state file cannot be used: sessions, retained messages, users and rules are in memory",
                metadata: ["error": "\(problem.reason)", "try": "\(problem.remedy ?? "tidegate doctor")"])
        }
    }
}

extension StateSnapshot.Replacement {
    fileprivate func tell(_ logger: Logger) {
        logger.error(
            "the state file was damaged; a new one took its place",
            metadata: ["file": "\(quarantined ?? "(gone)")", "reason": "\(reason)"])
    }
}

extension GatewayError {
    init(_ error: BrokerError) {
        let kind: Kind =
            switch error.kind {
            case .permission: .permission
            case .certificate: .configuration
            case .sessions: .io
            case .addressInUse, .addressNotAvailable, .name, .path, .lost, .stopping, .other: .unavailable
            }
        self.init(kind, doing: error.doing, reason: error.reason, remedy: error.remedy)
    }

    init(_ error: OutboxError) {
        guard case .database(let failure) = error else {
            self.init(.io, doing: "open the outbox", reason: "\(error)")
            return
        }
        let kind: Kind =
            switch failure.condition {
            case .locked: .unavailable
            default: .io
            }
        self.init(kind, doing: "open the outbox", reason: failure.reason, remedy: failure.remedy)
    }
}
