import Pipeline
import Readings
import Settings

extension TableReader {
    /// The keys of `SettingsKeys.treatment` as one value. A mistake between them is told, and a plain treatment
    /// returned.
    func treatment() -> Treatment {
        let unit = string("unit")
        if let unit, unit.isEmpty || unit.utf8.count > 32 { error("unit: expected 1 to 32 bytes", at: "unit") }
        let deadband = number("deadband")
        if let deadband, deadband <= 0 { error("deadband: expected a number above 0", at: "deadband") }
        return Treatment(
            decoding: decoding(), scale: number("scale") ?? 1, offset: number("offset") ?? 0,
            unit: unit.map { Unit($0) },
            deadband: deadband, maximumSilence: duration("max_silence") ?? .seconds(300))
    }

    private func decoding() -> Decoding {
        let kind = choice("decode") ?? "number"
        let users = ["fields": ["json", "csv", "key-value"], "separator": ["csv"], "pattern": ["regex"]]
        for (key, kinds) in users.sorted(by: { $0.key < $1.key }) where has(key) && !kinds.contains(kind) {
            error(
                "\(key) has a meaning only with decode = \(kinds.map { "\"\($0)\"" }.joined(separator: " or "))",
                at: key)
        }
        let fields = strings("fields") ?? []
        switch kind {
        case "text": return .text
        case "json":
            if fields.contains("") { error("fields: a JSON path must not be empty", at: "fields") }
            return .json(fields: fields)
        case "csv":
            if !fields.contains(where: { !$0.isEmpty }) {
                error(
                    "decode = \"csv\" needs the names of the columns, as in fields = [\"temperature\", \"\", \"humidity\"]",
                    at: "decode")
            }
            checkNames(fields)
            let separator = string("separator") ?? ","
            guard let character = separator.first, separator.count == 1 else {
                error("separator: expected one character", at: "separator")
                return .csv(fields: fields, separator: ",")
            }
            return .csv(fields: fields, separator: character)
        case "key-value":
            if fields.contains("") { error("fields: a name must not be empty", at: "fields") }
            checkNames(fields)
            return .keyValue(fields: fields)
        case "regex":
            guard let pattern = string("pattern") else {
                error("decode = \"regex\" needs the key \"pattern\"", at: "decode")
                return .text
            }
            do {
                return .expression(try NamedExpression(pattern))
            } catch {
                self.error("pattern: \(error)", at: "pattern")
                return .text
            }
        default: return .number
        }
    }

    /// Column names become topic levels.
    private func checkNames(_ fields: [String]) {
        for field in fields where field.contains(where: { "+#/".contains($0) }) {
            error("fields: \"\(field)\" becomes part of a topic and must not contain +, # or /", at: "fields")
        }
    }
}
