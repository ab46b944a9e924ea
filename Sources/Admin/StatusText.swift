extension GatewayStatus {
    /// The snapshot for a person with a phone: one fact a line, problems with their remedy below.
    package var text: String {
        var lines: [String] = []
        lines.append("\(gateway)  tidegate \(version), up \(Self.age(uptimeSeconds))")
        if let settingsProblems, !settingsProblems.isEmpty {
            lines.append("settings  NOT ALL IN USE")
            lines += settingsProblems.flatMap(Self.indented)
        }
        for part in parts where !part.isWell { lines += part.lines }
        if !parts.isEmpty { lines.append("parts     \(parts.count { $0.isWell }) of \(parts.count) are well") }
        lines.append("upstream  \(linkText)")
        if let certificates = certificateText { lines.append("tls       \(certificates)") }
        if let problem = link.problem { lines += Self.indented(problem) }
        if let problem = intake.storeProblem {
            lines.append("store     MESSAGES CANNOT BE STORED, devices wait")
            lines += Self.indented(problem)
        }
        for note in intake.storeNotes ?? [] { lines.append("store     \(note)") }
        if let left = intake.shortOfSpace {
            lines.append("disk      SHORT OF SPACE, \(Self.size(left)) left: full classes drop or refuse messages")
            lines += Self.indented("try: free space on the file system of data_dir, or lower min_free in [gateway]")
        }
        for queue in queues {
            lines.append("queue     \(queue.text)")
        }
        if let flashBytes {
            var line = "flash     \(Self.size(Int64(clamping: flashBytes))) written"
            if let flashBytesPerDay { line += ", \(Self.size(Int64(flashBytesPerDay))) a day" }
            if let flashBytesPerMessage { line += ", \(Self.size(Int64(flashBytesPerMessage))) a message" }
            lines.append(line)
        }
        if !clockIsTrusted {
            lines.append("clock     NOT TRUSTED, it says \(clock)")
            lines += Self.indented(
                "try: timedatectl (is there an NTP server?), a GPS receiver, or time_topic in [upstream]")
        }
        for sensor in sensors { lines += sensor.lines(heading: "sensor    ") }
        lines.append("lan       \(listening.joined(separator: ", ")), \(clientCount) clients")
        lines.append("          \(lanText)")
        if let problem = lan.problem { lines += Self.indented(problem) }
        for denial in (lan.denials ?? []).prefix(Self.shownCounts) {
            lines.append("  denied  \(denial.text), \(denial.count) times")
        }
        for topic in (lan.topicsWithoutRule ?? []).prefix(Self.shownCounts) {
            lines.append("  no rule takes \(Self.visible(topic.topic)), \(topic.count) messages: they stay on the LAN")
        }
        for client in clients {
            let user = client.user.map { " as \(Self.visible($0))" } ?? ""
            lines.append(
                "  client  \(Self.visible(client.id))\(user) (\(client.version)) from \(client.address), "
                    + "\(Self.age(client.secondsConnected)), \(client.received) in, \(client.sent) out")
        }
        if clients.count < clientCount { lines.append("  and \(clientCount - clients.count) more") }
        var intakeLine =
            "intake    \(intake.received) received, \(intake.forwarded) forwarded, \(intake.waiting) waiting"
        if intake.dropped > 0 { intakeLine += ", \(intake.dropped) DROPPED" }
        if intake.undecodable > 0 { intakeLine += ", \(intake.undecodable) unusable" }
        lines.append(intakeLine)
        if let failure = intake.lastFailure { lines += Self.indented("last unusable: \(failure)") }
        return lines.joined(separator: "\n")
    }

    /// Lines of each table that has the most frequent of something.
    private static let shownCounts = 5

    private var linkText: String {
        guard !link.url.isEmpty else { return link.state.uppercased() }
        var text = "\(link.state) \(link.url) for \(Self.age(link.secondsInState))"
        if let confirmed = link.secondsSinceConfirmation {
            text += ", last confirmed \(Self.age(confirmed)) ago"
        } else {
            text += ", never confirmed since the start"
        }
        text += ", \(link.inFlight) in flight, \(link.acknowledged) delivered"
        if link.refused > 0 { text += ", \(link.refused) REFUSED" }
        if link.looped > 0 { text += ", \(link.looped) LOOPED" }
        return text
    }

    /// Certificates that end soon are told in capitals.
    private var certificateText: String? {
        let ends = [("the gateway's certificate", link.certificateDays), ("the broker's", link.brokerCertificateDays)]
        let parts = ends.compactMap { name, days -> String? in
            guard let days else { return nil }
            guard days > 0 else { return "\(name) HAS EXPIRED" }
            return days < Self.soonDays
                ? "\(name) ENDS IN \(Self.age(days * 86_400))" : "\(name) ends in \(Int(days)) days"
        }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }
    private static let soonDays = 21.0

    private var lanText: String {
        var parts = ["\(lan.sessions) sessions", "\(lan.subscriptions) subscriptions", "\(lan.retained) retained"]
        parts.append("\(lan.users) users, \(lan.rules) access rules")
        let losses: [(UInt64, String)] = [
            (lan.refusedLogins, "LOGINS REFUSED"), (lan.refusedAddresses, "refused for too many from one address"),
            (lan.denied, "denied by access rules"), (lan.refusedSubscriptions, "subscriptions too many"),
            (lan.refusedRetained, "retained messages too many"), (lan.violations, "broke the protocol"),
            (lan.silent, "never introduced themselves"), (lan.dropped, "messages given up on"),
        ]
        for (count, name) in losses where count > 0 { parts.append("\(count) \(name)") }
        return parts.joined(separator: ", ")
    }

    /// Control characters escaped: a device chooses its name, and a terminal would obey them.
    package static func visible(_ name: String) -> String {
        name.unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
        }.joined()
    }

    static func indented(_ text: String) -> [String] {
        text.split(separator: "\n").map { "          \($0.drop { $0 == " " })" }
    }

    /// "850 ms", "12 s", "3 min", "5 h 10 min", "4 d 2 h".
    static func age(_ seconds: Double) -> String {
        let whole = Int(max(0, seconds))
        return switch whole {
        case 0: "\(Int(max(0, seconds) * 1_000)) ms"
        case ..<120: "\(whole) s"
        case ..<7_200: "\(whole / 60) min"
        case ..<172_800: "\(whole / 3_600) h \(whole % 3_600 / 60) min"
        default: "\(whole / 86_400) d \(whole % 86_400 / 3_600) h"
        }
    }

    /// "0.2/min", "3.1/s", "250/s".
    static func rate(_ perSecond: Double) -> String {
        func tenths(_ value: Double) -> String {
            let tenths = Int((value * 10).rounded())
            return "\(tenths / 10).\(tenths % 10)"
        }
        if perSecond >= 100 { return "\(Int(perSecond.rounded()))/s" }
        return perSecond >= 0.5 ? "\(tenths(perSecond))/s" : "\(tenths(perSecond * 60))/min"
    }

    /// "512 B", "12.3 kB", "256.0 MB"; decimal units, as in the settings.
    static func size(_ bytes: Int64) -> String {
        guard bytes >= 1_000 else { return "\(bytes) B" }
        var value = Double(bytes)
        var unit = 0
        let units = ["B", "kB", "MB", "GB", "TB"]
        while value >= 1_000, unit < units.count - 1 {
            value /= 1_000
            unit += 1
        }
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }
}

extension GatewayStatus.Lan.Denial {
    /// "pump-7 may not publish to pumps/8/x".
    package var text: String {
        let user = user.map(GatewayStatus.visible) ?? "a client without a user name"
        return "\(user) may not \(action) \(GatewayStatus.visible(topic))"
    }
}

extension GatewayStatus.Sensor {
    /// For `sensor list`.
    package var text: String { lines(heading: "").joined(separator: "\n") }

    func lines(heading: String) -> [String] {
        var line = "\(heading)\(id) (\(driver)): \(state)"
        if readings.count == 1, let reading = readings.first { line += ", \(reading.text)" }
        if restarts > 0 { line += ", \(restarts) restarts" }
        if dropped > 0 { line += ", \(dropped) DROPPED" }
        if refusedCommands > 0 { line += ", \(refusedCommands) COMMANDS REFUSED" }
        var lines = [line]
        if let problem { lines += GatewayStatus.indented(problem) }
        if let lastRefusal {
            lines += GatewayStatus.indented("last refused command: \(GatewayStatus.visible(lastRefusal))")
        }
        if readings.count > 1 {
            lines += readings.map { "  value   \(GatewayStatus.visible($0.metric ?? "value")): \($0.text)" }
        }
        if let ahead = clockAheadSeconds, abs(ahead) >= 2 {
            lines += GatewayStatus.indented(
                "this board's clock is \(GatewayStatus.age(abs(ahead))) \(ahead > 0 ? "ahead of" : "behind") the sensor's time"
            )
        }
        if !counters.isEmpty {
            lines += GatewayStatus.indented(counters.map { "\($0.name) \($0.value)" }.joined(separator: ", "))
        }
        return lines
    }
}

extension GatewayStatus.Sensor.Reading {
    /// "21.4 Cel 2 s ago", "BAD none (checksum error) 2 s ago".
    fileprivate var text: String {
        let mark = quality == "good" ? "" : "\(quality.uppercased()) "
        let reason = why.map { " (\(GatewayStatus.visible($0)))" } ?? ""
        return "\(mark)\(GatewayStatus.visible(value))\(reason) \(GatewayStatus.age(secondsSinceValue)) ago"
    }
}

extension GatewayStatus.Queue {
    /// For a person: one line.
    package var text: String {
        var line = "\(name): \(messages) messages, \(GatewayStatus.size(bytes))"
        line += " of \(GatewayStatus.size(maximumBytes))"
        if let oldestSeconds { line += ", oldest \(GatewayStatus.age(oldestSeconds))" }
        if messagesPerSecond > 0 { line += ", \(GatewayStatus.rate(messagesPerSecond)) in" }
        if let secondsToDrain { line += ", gone in \(GatewayStatus.age(secondsToDrain))" }
        if let secondsLeft { line += ", room for \(GatewayStatus.age(secondsLeft)) of outage" }
        if dropped > 0 { line += ", \(dropped) DROPPED" }
        if setAside > 0 { line += ", \(setAside) REFUSED by the upstream and set aside" }
        return line
    }
}
