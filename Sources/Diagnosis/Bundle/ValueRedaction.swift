import Admin

/// Takes out of a status, a report and a log what devices have sent: only the kind of a value stays.
enum ValueRedaction {
    /// "21.4 Cel" becomes "number Cel", "open" becomes "text".
    static func kind(_ value: String) -> String {
        let words = value.split(separator: " ", maxSplits: 1)
        guard let first = words.first else { return "text" }
        if Double(first) != nil { return words.count == 2 ? "number \(words[1])" : "number" }
        switch value {
        case "none", "missing": return value
        case "true", "false": return "boolean"
        default: return "text"
        }
    }

    /// The status without values. What texts quote of them goes with ``text(_:)``.
    static func status(_ status: GatewayStatus) -> GatewayStatus {
        var status = status
        for index in status.sensors.indices {
            status.sensors[index].value = status.sensors[index].value.map(kind)
            for reading in status.sensors[index].readings.indices {
                let value = status.sensors[index].readings[reading].value
                status.sensors[index].readings[reading].value = kind(value)
            }
        }
        return status
    }

    /// A text, a log or a JSON text with one value a line: what is quoted behind "found" or given as a payload goes, up to
    /// the end of its line.
    ///
    /// Messages about values say "expected …, found …" (`DecodingFailure`). A value may hold quotes itself, so that its end
    /// cannot be told; of a line of JSON its own closing stays.
    static func text(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map(line).joined(separator: "\n")
    }

    private static let openings = ["found \"", "found \\\"", "found '", "payload=", "value="]

    private static func line(_ line: Substring) -> String {
        let found = openings.compactMap { line.firstRange(of: $0) }.min { $0.lowerBound < $1.lowerBound }
        guard let found else { return String(line) }
        let word = line[found].prefix { $0.isLetter }
        let closing = line.hasSuffix("\",") ? "\"," : line.hasSuffix("\"") && line.contains("\" : \"") ? "\"" : ""
        return "\(line[..<found.lowerBound])\(word) a value\(closing)"
    }
}
