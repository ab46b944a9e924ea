package import Broker
package import Readings

/// What changes between two plans, part by part: what `tidegate check --diff` prints and a reload applies.
package struct PlanDifference: Sendable {
    /// One thing that changes.
    package enum Change: Hashable, Sendable {
        /// A reload cannot change it.
        case needsRestart(key: String, from: String, to: String)
        case logLevel(to: String)
        case minimumFree(to: Int64)
        case classAdded(DeliveryClass)
        case classChanged(DeliveryClass)
        /// What it holds is still delivered.
        case classRemoved(DeliveryClass)
        case forwardRules
        case acceptRules
        /// How a sensor's values are processed; the sensor goes on.
        case valueProcessing(DeviceID)
        case lanLimits
        case listenerAdded(Listener.Endpoint)
        case listenerChanged(Listener.Endpoint)
        case listenerRemoved(Listener.Endpoint)
        case sensorAdded(DeviceID)
        case sensorChanged(DeviceID)
        case sensorRemoved(DeviceID)
        case linkAdded
        case linkChanged
        case linkRemoved
    }

    /// In the order in which a reload applies them.
    package let changes: [Change]

    package var isEmpty: Bool { changes.isEmpty }

    package init(from old: GatewaySettings, to new: GatewaySettings) {
        var changes: [Change] = []
        func note(_ isChange: Bool, _ change: @autoclosure () -> Change) { if isChange { changes.append(change()) } }

        note(
            old.gateway.id != new.gateway.id,
            .needsRestart(key: "id in [gateway]", from: old.gateway.id, to: new.gateway.id))
        note(
            old.gateway.dataDirectory != new.gateway.dataDirectory,
            .needsRestart(
                key: "data_dir in [gateway]", from: old.gateway.dataDirectory, to: new.gateway.dataDirectory))
        note(old.gateway.logLevel != new.gateway.logLevel, .logLevel(to: new.gateway.logLevel))
        note(old.gateway.minimumFree != new.gateway.minimumFree, .minimumFree(to: new.gateway.minimumFree))

        let classes = Set(old.classes.keys).union(new.classes.keys).sorted { $0.name < $1.name }
        for name in classes {
            switch (old.classes[name], new.classes[name]) {
            case (nil, .some): changes.append(.classAdded(name))
            case (.some, nil): changes.append(.classRemoved(name))
            case (let old, let new): note(old != new, .classChanged(name))
            }
        }
        note(old.forward != new.forward, .forwardRules)
        note(old.accept != new.accept, .acceptRules)

        note(!old.lan.hasLimits(of: new.lan), .lanLimits)
        Self.compare(old.lan.listeners, new.lan.listeners, by: \.endpoint, isSame: ==) {
            switch $1 {
            case .added: changes.append(.listenerAdded($0))
            case .removed: changes.append(.listenerRemoved($0))
            case .changed: changes.append(.listenerChanged($0))
            }
        }
        Self.compare(old.sensors, new.sensors, by: \.id, isSame: { $0.hardware == $1.hardware }) {
            switch $1 {
            case .added: changes.append(.sensorAdded($0))
            case .removed: changes.append(.sensorRemoved($0))
            case .changed: changes.append(.sensorChanged($0))
            }
        }
        for sensor in new.sensors {
            guard let before = old.sensors.first(where: { $0.id == sensor.id }) else { continue }
            note(
                before.treatment != sensor.treatment || before.staleAfter != sensor.staleAfter,
                .valueProcessing(sensor.id))
        }
        switch (old.upstream, new.upstream) {
        case (nil, nil): break
        case (nil, .some): changes.append(.linkAdded)
        case (.some, nil): changes.append(.linkRemoved)
        case (let old?, let new?):
            note(old.configuration != new.configuration || old.timeTopic != new.timeTopic, .linkChanged)
        }
        self.changes = changes
    }

    private enum Fate { case added, changed, removed }

    /// Tells what became of each element: removed ones first, since what takes their place may need what they hold.
    private static func compare<Element, Key: Hashable>(
        _ old: [Element], _ new: [Element], by key: KeyPath<Element, Key>, isSame: (Element, Element) -> Bool,
        tell: (Key, Fate) -> Void
    ) {
        let before = Dictionary(old.map { ($0[keyPath: key], $0) }) { first, _ in first }
        let after = Set(new.map { $0[keyPath: key] })
        for element in old where !after.contains(element[keyPath: key]) { tell(element[keyPath: key], .removed) }
        for element in new {
            guard let earlier = before[element[keyPath: key]] else {
                tell(element[keyPath: key], .added)
                continue
            }
            if !isSame(earlier, element) { tell(element[keyPath: key], .changed) }
        }
    }
}

extension PlanDifference.Change: CustomStringConvertible {
    /// One line for a person: what changes, and what a reload does about it.
    package var description: String {
        switch self {
        case .needsRestart(let key, let from, let to):
            "\(key) changes from \"\(from)\" to \"\(to)\": that needs a restart (systemctl restart tidegate)"
        case .logLevel(let level): "log level: becomes \(level)"
        case .minimumFree(let bytes): "outbox: keeps \(bytes) bytes of the disk free"
        case .classAdded(let name): "class \(name.name): is added"
        case .classChanged(let name): "class \(name.name): gets other limits; what it holds stays"
        case .classRemoved(let name): "class \(name.name): takes nothing new; what it holds is still delivered"
        case .forwardRules: "forward rules: hold from the next message on"
        case .acceptRules: "accept rules: hold from the next message on"
        case .valueProcessing(let id): "sensor \(id): its values are processed in another way; the sensor goes on"
        case .lanLimits: "lan: gets other limits; connections stay"
        case .listenerAdded(let endpoint): "listener \(endpoint): is started"
        case .listenerChanged(let endpoint): "listener \(endpoint): is stopped and started; its connections are closed"
        case .listenerRemoved(let endpoint): "listener \(endpoint): is stopped; its connections are closed"
        case .sensorAdded(let id): "sensor \(id): is started"
        case .sensorChanged(let id): "sensor \(id): is stopped and started"
        case .sensorRemoved(let id): "sensor \(id): is stopped"
        case .linkAdded: "upstream link: is started"
        case .linkChanged: "upstream link: is stopped and started; what is on its way is sent again where it must be"
        case .linkRemoved: "upstream link: is stopped; messages wait in the outbox"
        }
    }
}

extension BrokerConfiguration {
    /// Whether another one has the same limits; who may come in, and where, is compared elsewhere.
    fileprivate func hasLimits(of other: BrokerConfiguration) -> Bool {
        maximumClients == other.maximumClients && addressLimits == other.addressLimits
            && maximumPending == other.maximumPending && maximumSubscriptions == other.maximumSubscriptions
            && maximumTopicLevels == other.maximumTopicLevels && maximumSessions == other.maximumSessions
            && maximumSessionExpiry == other.maximumSessionExpiry && maximumKeptBytes == other.maximumKeptBytes
            && systemInterval == other.systemInterval && maximumRetained == other.maximumRetained
            && maximumRetainedBytes == other.maximumRetainedBytes && maximumOutputBytes == other.maximumOutputBytes
            && limits == other.limits
    }
}
