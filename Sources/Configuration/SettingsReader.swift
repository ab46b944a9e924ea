import Broker
import Glibc
import MQTT
import Outbox
import Pipeline
import Readings
import Sensors
import Settings
import Upstream

/// Turns a merged settings document into the rooms' own terms, telling every mistake on the way.
struct SettingsReader {
    let document: SettingsDocument
    let directory: String
    let diagnostics: Diagnostics
    let named = NamedFiles()
    /// What `document` is the usable part of: its mistakes have been told, without `[upstream]` there is none, and a rule
    /// with a mistake holds what it would have sent.
    var original: SettingsDocument?
    var isLenient: Bool { original != nil }

    /// The settings; worth using only when `diagnostics` has no error afterwards.
    func settings() -> GatewaySettings? {
        document.checkSections(SettingsKeys.sections, into: diagnostics)
        let gateway = identity()
        let classes = classes()
        let rules = rules(gateway: gateway.id, classes: classes)
        let sensors = sensors(forward: rules.forward)
        let lan = lan()
        var upstream: GatewaySettings.Upstream?
        if document.has("upstream") || !isLenient {
            upstream = self.upstream(gateway, accept: rules.accept)
            if upstream == nil { return nil }
        }
        return GatewaySettings(
            gateway: gateway, lan: lan, upstream: upstream, classes: classes,
            forward: rules.forward, accept: rules.accept, sensors: sensors, files: named.list)
    }

    func reader(_ name: String, keys: [Key]) -> TableReader {
        TableReader(document.table(name, into: diagnostics), keys: keys, path: "[\(name)]", diagnostics: diagnostics)
    }

    // MARK: [gateway]

    private func identity() -> GatewaySettings.Identity {
        let reader = reader("gateway", keys: SettingsKeys.gateway)
        let id = reader.string("id") ?? Self.hostName()
        if id.isEmpty || id.utf8.count > 64 || id.first == "$"
            || id.contains(where: { "+#/{}".contains($0) || $0.isNewline })
        {
            reader.error(
                "id: \"\(id)\" becomes the first level of every topic: expected 1 to 64 bytes without / + # { }, not beginning with $",
                at: "id")
        }
        let dataDirectory = reader.string("data_dir") ?? ""
        if !dataDirectory.hasPrefix("/") {
            reader.error("data_dir: expected an absolute path, found \"\(dataDirectory)\"", at: "data_dir")
        }
        return GatewaySettings.Identity(
            id: id, dataDirectory: dataDirectory, minimumFree: reader.byteSize("min_free") ?? 16_000_000,
            logLevel: reader.choice("log_level") ?? "notice")
    }

    /// The host name up to its first dot, as far as it can be a topic level; `tidegate` where there is none.
    private static func hostName() -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "tidegate" }
        let name = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let short = name.prefix { $0 != "." }.filter { !"+#/{}$".contains($0) && !$0.isNewline }.prefix(16)
        return short.isEmpty ? "tidegate" : String(short)
    }

    // MARK: [upstream]

    private func upstream(
        _ identity: GatewaySettings.Identity, accept: [AcceptRule]
    ) -> GatewaySettings.Upstream? {
        let gateway = identity.id
        let reader = reader("upstream", keys: SettingsKeys.upstream)
        let addresses = addresses(reader)
        let clientIdentifier = reader.string("client_id") ?? gateway
        if clientIdentifier.utf8.count > 65_535 {
            reader.error("client_id: expected at most 65,535 bytes", at: "client_id")
        }
        if reader.has("password_file"), !reader.has("username") {
            reader.error("password_file needs a username beside it", at: "password_file")
        }
        for (one, other) in [("cert_file", "key_file"), ("key_file", "cert_file")]
        where reader.has(one) && !reader.has(other) {
            reader.error("\(one) needs \(other) beside it", at: one)
        }
        if !addresses.isEmpty, !addresses.contains(where: { $0.transport == .tls }) {
            for key in ["ca_file", "cert_file", "server_name", "alpn", "tls_version"] where reader.has(key) {
                reader.error("\(key) has a meaning only with mqtts:// in url", at: key)
            }
        }
        let pauses = (reader.duration("reconnect_min") ?? .seconds(1), reader.duration("reconnect_max") ?? .seconds(60))
        if pauses.0 > pauses.1 {
            reader.error(
                "reconnect_min is longer than reconnect_max",
                at: reader.has("reconnect_min") ? "reconnect_min" : "reconnect_max")
        }
        guard !addresses.isEmpty, pauses.0 <= pauses.1 else { return nil }
        var configuration = UpstreamConfiguration(
            addresses: addresses, clientIdentifier: clientIdentifier, stateTopic: "\(gateway)/$state",
            subscriptions: accept.map(\.from.description))
        configuration.subscriptionFile = "\(identity.dataDirectory)/upstream.subscriptions"
        configuration.canaryTopic = "\(gateway)/$canary"
        configuration.username = reader.string("username")
        configuration.tls = UpstreamConfiguration.TLS(
            authorityFile: reader.string("ca_file").map(path(_:)),
            certificateFile: reader.string("cert_file").map(path(_:)),
            keyFile: reader.string("key_file").map(path(_:)))
        named.note(configuration.tls.authorityFile, .authorities, at: reader.position("ca_file"))
        named.note(configuration.tls.certificateFile, .certificate, at: reader.position("cert_file"))
        named.note(configuration.tls.keyFile, .key, at: reader.position("key_file"))
        named.note(
            reader.string("password_file").map(path(_:)), .password, at: reader.position("password_file"))
        if reader.has("password_file") { warnIfPlain(reader, addresses) }
        configuration.tls.serverName = reader.string("server_name")
        if let alpn = reader.string("alpn") {
            if !(1...255).contains(alpn.utf8.count) { reader.error("alpn: expected 1 to 255 bytes", at: "alpn") }
            configuration.tls.alpn = alpn
        }
        if reader.choice("tls_version") == "1.3" { configuration.tls.minimumVersion = .v13 }
        if let returnAfter = reader.duration("return_after") { configuration.returnAfter = returnAfter }
        if let expiry = reader.duration("session_expiry") { configuration.sessionExpiry = expiry }
        switch reader.choice("protocol") {
        case "5": configuration.protocolChoice = .only(.v5)
        case "3.1.1": configuration.protocolChoice = .only(.v311)
        default: configuration.protocolChoice = .automatic
        }
        if let keepAlive = reader.duration("keep_alive") { configuration.keepAlive = keepAlive }
        if let canary = reader.duration("canary") { configuration.canaryInterval = canary == .zero ? nil : canary }
        if let window = reader.integer("in_flight") { configuration.window = Int(window) }
        configuration.reconnectDelay = pauses.0...pauses.1
        configuration.replayRate = reader.integer("replay_rate").map { Double($0) }
        configuration.replayBandwidth = reader.byteSize("replay_bandwidth").map { Double($0) }
        let timeTopic = timeTopic(reader)
        if let timeTopic { configuration.subscriptions.append(timeTopic) }
        configuration.subscriptions = Self.withoutCovered(configuration.subscriptions)
        return GatewaySettings.Upstream(
            configuration: configuration, timeTopic: timeTopic, passwordFile: reader.string("password_file"),
            settingsDirectory: directory)
    }

    /// A password in plain text is for everybody to read on the way to another host.
    private func warnIfPlain(_ reader: TableReader, _ addresses: [UpstreamAddress]) {
        for address in addresses where address.transport == .tcp && !address.isThisMachine {
            reader.warning(
                "url: the password goes to \(address) as plain text, for everybody on the way to read\n  try: use mqtts:// in url",
                at: "url")
        }
    }

    private func timeTopic(_ reader: TableReader) -> String? {
        guard let topic = reader.string("time_topic") else { return nil }
        guard (1...60_000).contains(topic.utf8.count), !topic.contains(where: { "+#\0".contains($0) }) else {
            reader.error("time_topic: expected a topic without + and #, found \"\(topic)\"", at: "time_topic")
            return nil
        }
        return topic
    }

    private func addresses(_ reader: TableReader) -> [UpstreamAddress] {
        let positions = reader.positions("url")
        return (reader.strings("url") ?? []).enumerated().compactMap { index, url in
            do {
                return try UpstreamAddress(parsing: url)
            } catch {
                diagnostics.error(
                    "url: \(error)", at: positions.indices.contains(index) ? positions[index] : reader.position)
                return nil
            }
        }
    }

    /// A file name, relative to the settings file's directory.
    func path(_ name: String) -> String { name.hasPrefix("/") ? name : "\(directory)/\(name)" }

    // MARK: [class.NAME]

    private func classes() -> [DeliveryClass: ClassLimits] {
        var classes = ClassLimits.builtIn
        for (name, table) in document.named("class", into: diagnostics) {
            let reader = TableReader(
                table, keys: SettingsKeys.deliveryClass, path: "[class.\(name)]", diagnostics: diagnostics)
            let isValid =
                (1...32).contains(name.utf8.count)
                && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
            if !isValid {
                reader.error("\"\(name)\": expected 1 to 32 letters, digits, - or _ as the name of a class")
            }
            var limits = ClassLimits.builtIn[DeliveryClass(name)] ?? ClassLimits()
            if reader.has("max_bytes"), let bytes = reader.byteSize("max_bytes") { limits.maximumBytes = bytes }
            limits.maximumCount = reader.integer("max_count")
            if reader.has("max_age") { limits.maximumAge = reader.duration("max_age") }
            if reader.has("overflow") {
                switch reader.choice("overflow") {
                case "reject", "reject-newest": limits.overflow = .rejectNewest
                case "drop-newest": limits.overflow = .dropNewest
                default: limits.overflow = .dropOldest
                }
            }
            if reader.has("expiry") { limits.expiry = reader.duration("expiry") }
            if reader.has("reserve") { limits.isReserved = reader.boolean("reserve") ?? false }
            if reader.has("priority"), let priority = reader.integer("priority") { limits.priority = Int(priority) }
            if let after = reader.duration("commit_after") { limits.commitAfter = after }
            limits.order = reader.choice("replay") == "interleave" ? .interleave : .inOrder
            classes[DeliveryClass(name)] = limits
        }
        return classes
    }

    // MARK: [[sensor]]

    private func sensors(forward: [ForwardRule]) -> [GatewaySettings.SensorEntry] {
        var taken = Taken()
        return (document.tables("sensor", into: diagnostics) ?? []).compactMap { table in
            sensor(table, forward: forward, taken: &taken)
        }
    }

    /// What earlier sensors have, which later ones cannot have too.
    private struct Taken {
        var ids: [String: SourcePosition] = [:]
        /// Sensors by the topics that command them.
        var commandTopics: [String: String] = [:]
        var claims: [String: (id: String, claim: SensorClaim)] = [:]
    }

    private func sensor(
        _ table: TOMLTable, forward: [ForwardRule], taken: inout Taken
    ) -> GatewaySettings.SensorEntry? {
        // The driver says which keys there are; while it is not known, any driver's keys are let pass.
        var driver: (any SensorDriver.Type)?
        if case .string(let name) = table["driver"]?.value { driver = SensorDrivers.all.first { $0.name == name } }
        let keys =
            driver.map { SettingsKeys.sensor($0) }
            ?? SettingsKeys.sensor + [SettingsKeys.commandTopic]
            + SensorDrivers.all.flatMap { $0.keys.map(\.optional) }
        let reader = TableReader(
            table, keys: keys, path: "[[sensor]]", diagnostics: diagnostics)
        guard let id = reader.string("id") else { return nil }
        if id.isEmpty || id.utf8.count > 64 || id.contains(where: { "+#/".contains($0) || $0.isNewline }) {
            reader.error("id: expected 1 to 64 bytes without / + #", at: "id")
        }
        if let first = taken.ids[id] {
            reader.error("id: \"\(id)\" is the sensor at line \(first.line) already; ids must differ", at: "id")
        } else {
            taken.ids[id] = reader.position("id")
        }
        let topic = reader.string("topic") ?? "sensors/\(id)"
        let isTopic =
            (1...60_000).contains(topic.utf8.count) && !topic.contains { "+#".contains($0) } && topic.first != "$"
        if !isTopic {
            reader.error(
                "topic: expected a topic without + and #, not beginning with $, found \"\(topic)\"", at: "topic")
        } else if !forward.isEmpty, !forward.contains(where: { $0.from.match(topic) != nil }) {
            reader.warning(
                "sensor \"\(id)\" stays on the LAN: no [[forward]] rule takes its topic \"\(topic)\"", at: "id")
        }
        let treatment = reader.treatment()
        guard let driver, let sensor = driver.init(reader) else { return nil }
        if let claim = sensor.claim {
            if let other = taken.claims[claim.resource] {
                if claim.sharing == nil || claim.sharing != other.claim.sharing {
                    reader.error(
                        "sensor \"\(id)\" wants \(claim.resource), which sensor \"\(other.id)\" has"
                            + (other.claim.sharing.map { " (\($0))" } ?? ""), at: "id")
                }
            } else {
                taken.claims[claim.resource] = (id, claim)
            }
        }
        return GatewaySettings.SensorEntry(
            id: DeviceID(id), topic: topic,
            commandTopic: driver.takesCommands
                ? commandTopic(reader, id: id, sensor: sensor, taken: &taken.commandTopics) : "",
            treatment: treatment, staleAfter: staleAfter(reader, sensor: sensor), sensor: sensor, driver: driver.name,
            hardware: table.canonicalText(
                of: Set(["id", "driver", "topic", "command_topic"] + driver.keys.map(\.name))))
    }

    private func commandTopic(
        _ reader: TableReader, id: String, sensor: any Sensor, taken: inout [String: String]
    ) -> String {
        let given = reader.string("command_topic")
        let topic = given ?? "cmd/\(id)"
        for metric in sensor.commands {
            let name = metric.map { "\(topic)/\($0)" } ?? topic
            if let other = taken.updateValue(id, forKey: name), other != id {
                reader.error("command_topic: \"\(name)\" commands sensor \"\(other)\" already", at: "command_topic")
            }
        }
        guard given != nil else { return topic }
        if sensor.commands.isEmpty {
            reader.error("command_topic: this sensor takes no commands", at: "command_topic")
        } else if topic.isEmpty || topic.utf8.count > 60_000 || topic.contains(where: { "+#".contains($0) }) {
            reader.error("command_topic: expected a topic without + and #, found \"\(topic)\"", at: "command_topic")
        }
        return topic
    }

    /// Three missed samples are no accident, but on a busy board a fast sensor may be late by seconds.
    private func staleAfter(_ reader: TableReader, sensor: any Sensor) -> Duration? {
        let given = reader.duration("stale_after")
        guard let interval = sensor.interval else { return given }
        if let given, given <= interval {
            reader.error(
                "stale_after: the sensor measures every \(Quantity.text(interval)); its values would always be stale",
                at: "stale_after")
        }
        return given ?? max(interval * 3, .seconds(10))
    }
}
