/// What `tidegate sensor read` asks for.
package enum SensorRequest: Codable, Hashable, Sendable {
    /// The sensor's next delivery, or what it last delivered when none comes in time.
    case read(sensor: String, seconds: Double)
}

/// What a sensor said, before and after it was decoded.
package struct SensorAnswer: Codable, Hashable, Sendable {
    package var id: String
    package var driver: String
    package var topic: String
    /// `starting`, `running` or `failed`.
    package var state: String
    /// What is wrong and what to do.
    package var problem: String?
    /// It came after the question.
    package var isNew: Bool
    /// What came from the device, in printable form; absent when nothing has yet.
    package var raw: String?
    /// The same in every type that it could be; only where the driver knows how.
    package var preview: String?
    package var readings: [GatewayStatus.Sensor.Reading]
    /// Why it could not be decoded.
    package var failure: String?
    /// There is no such sensor; these are there.
    package var others: [String]?

    package init(
        id: String, driver: String = "", topic: String = "", state: String = "", problem: String? = nil,
        isNew: Bool = false, raw: String? = nil, preview: String? = nil,
        readings: [GatewayStatus.Sensor.Reading] = [], failure: String? = nil, others: [String]? = nil
    ) {
        self.id = id
        self.driver = driver
        self.topic = topic
        self.state = state
        self.problem = problem
        self.isNew = isNew
        self.raw = raw
        self.preview = preview
        self.readings = readings
        self.failure = failure
        self.others = others
    }

    /// For a person.
    /// - Parameter showsPreview: with every type that the raw data could be.
    package func text(showsPreview: Bool) -> String {
        var lines = ["\(id) (\(driver)): \(state)"]
        if let problem { lines += problem.split(separator: "\n").map { "  \($0)" } }
        if raw != nil, !isNew { lines.append("nothing new has come; this is the last") }
        if let raw {
            lines.append("raw:")
            lines += raw.split(separator: "\n").map { "  \(GatewayStatus.visible(String($0)))" }
        }
        if showsPreview {
            lines.append("what it could be:")
            lines += (preview ?? "only registers of a Modbus device can be shown in other types").split(separator: "\n")
                .map { "  \($0)" }
        }
        if let failure { lines.append("not decoded: \(GatewayStatus.visible(failure))") }
        if !readings.isEmpty {
            lines.append("decoded:")
            lines += readings.map { reading in
                "  \(GatewayStatus.visible(reading.metric ?? "value")): \(GatewayStatus.visible(reading.value))"
                    + (reading.quality == "good" ? "" : " (\(reading.quality)\(reading.why.map { ": \($0)" } ?? ""))")
            }
        }
        if raw == nil, readings.isEmpty { lines.append("nothing has come yet") }
        return lines.joined(separator: "\n")
    }
}
