package import Readings

/// A smart meter's telegram: OBIS codes and their values (P1 Companion Standard 5.0.2 §6.12; DSMR 2.2 §5).
///
/// The numbers of meters are left out: they name a household.
package struct DSMRTelegram: Sendable {
    /// The meter's maker and type, of the first line.
    package let identification: String
    package let samples: [Sample]
    /// Lines with a code that is not in the table, or a value that is none.
    package let ignored: Int

    private enum Kind {
        case number
        case text
    }

    /// What is measured, by OBIS code without its medium and channel: `1.8.1`.
    private static let electricity: [String: (metric: String, kind: Kind)] = [
        "1.8.0": ("energy_delivered", .number), "1.8.1": ("energy_delivered_tariff1", .number),
        "1.8.2": ("energy_delivered_tariff2", .number), "2.8.0": ("energy_returned", .number),
        "2.8.1": ("energy_returned_tariff1", .number), "2.8.2": ("energy_returned_tariff2", .number),
        "3.8.0": ("reactive_energy_delivered", .number), "4.8.0": ("reactive_energy_returned", .number),
        "1.7.0": ("power_delivered", .number), "2.7.0": ("power_returned", .number),
        "21.7.0": ("power_delivered_l1", .number), "41.7.0": ("power_delivered_l2", .number),
        "61.7.0": ("power_delivered_l3", .number), "22.7.0": ("power_returned_l1", .number),
        "42.7.0": ("power_returned_l2", .number), "62.7.0": ("power_returned_l3", .number),
        "32.7.0": ("voltage_l1", .number), "52.7.0": ("voltage_l2", .number), "72.7.0": ("voltage_l3", .number),
        "31.7.0": ("current_l1", .number), "51.7.0": ("current_l2", .number), "71.7.0": ("current_l3", .number),
        "32.32.0": ("voltage_sags_l1", .number), "52.32.0": ("voltage_sags_l2", .number),
        "72.32.0": ("voltage_sags_l3", .number), "32.36.0": ("voltage_swells_l1", .number),
        "52.36.0": ("voltage_swells_l2", .number), "72.36.0": ("voltage_swells_l3", .number),
    ]

    private static let general: [String: (metric: String, kind: Kind)] = [
        "96.14.0": ("tariff", .text), "96.7.21": ("power_failures", .number),
        "96.7.9": ("long_power_failures", .number),
        "96.3.10": ("breaker", .text), "17.0.0": ("power_limit", .number),
    ]

    /// Devices on the meter's M-Bus by their type (EN 13757-3 table 3).
    private static let devices: [Int: String] = [
        3: "gas", 4: "heat", 6: "hot_water", 7: "water", 10: "cooling", 12: "heat", 13: "heat_cooling",
    ]

    /// `nil` when the bytes are no telegram.
    package init?(parsing bytes: [UInt8]) {
        guard bytes.first == UInt8(ascii: "/"), let text = String(validating: bytes, as: UTF8.self) else { return nil }
        let lines = text.split(whereSeparator: \.isNewline)
        guard let first = lines.first, first.count >= 5 else { return nil }
        identification = String(first.dropFirst())
        var samples: [Sample] = []
        var ignored = 0
        var types: [Int: Int] = [:]
        var index = 1
        while index < lines.count {
            let line = lines[index]
            index += 1
            if line.first == "!" { break }
            // DSMR 2.2 has the value of a gas meter on the next line.
            let isContinued = index < lines.count && lines[index].first == "("
            guard let (code, values) = Self.parts(isContinued ? line + lines[index] : line) else {
                ignored += 1
                continue
            }
            if isContinued { index += 1 }
            let isTaken =
                code.medium == 1
                ? Self.take(code, values, Self.electricity, &samples)
                : code.channel == 0
                    ? Self.take(code, values, Self.general, &samples) : Self.device(code, values, &types, &samples)
            if !isTaken { ignored += 1 }
        }
        self.samples = samples
        self.ignored = ignored
    }

    private struct Code {
        var medium: Int
        var channel: Int
        /// `1.8.1`.
        var quantity: Substring
    }

    /// "1-0:1.8.1(000123.456*kWh)": the code and what is in its brackets.
    private static func parts(_ line: Substring) -> (Code, [Substring])? {
        guard let bracket = line.firstIndex(of: "("), let colon = line[..<bracket].firstIndex(of: ":"),
            let dash = line[..<colon].firstIndex(of: "-"), let medium = Int(line[..<dash]),
            let channel = Int(line[line.index(after: dash)..<colon])
        else { return nil }
        let values = line[bracket...].split(separator: ")", omittingEmptySubsequences: true).map { part in
            part.first == "(" ? part.dropFirst() : part
        }
        // Older meters write the code's last part too: 1.8.1.255.
        let quantity = line[line.index(after: colon)..<bracket]
        let isLong = quantity.hasSuffix(".255")
        return (Code(medium: medium, channel: channel, quantity: isLong ? quantity.dropLast(4) : quantity), values)
    }

    private static func take(
        _ code: Code, _ values: [Substring], _ table: [String: (metric: String, kind: Kind)], _ samples: inout [Sample]
    ) -> Bool {
        guard let entry = table[String(code.quantity)], let value = values.first else { return false }
        switch entry.kind {
        case .text: samples.append(Sample(metric: entry.metric, value: .text(String(value.prefix(64)))))
        case .number:
            guard let sample = number(entry.metric, value) else { return false }
            samples.append(sample)
        }
        return true
    }

    /// A device on the meter's M-Bus: its type first, then its value with the time at which it was read.
    private static func device(
        _ code: Code, _ values: [Substring], _ types: inout [Int: Int], _ samples: inout [Sample]
    ) -> Bool {
        switch code.quantity {
        case "24.1.0":
            guard let type = values.first.flatMap({ Int($0) }), (1...8).contains(code.channel) else { return false }
            types[code.channel] = type
            return true
        case "24.2.1", "24.2.3":
            guard values.count >= 2, let value = values.last else { return false }
            let metric = types[code.channel].flatMap { devices[$0] } ?? "mbus\(code.channel)"
            return append(metric, value, &samples)
        case "24.3.0":
            // (time)(status)(interval)(count)(code)(unit)(value), DSMR 2.2.
            guard values.count >= 7, let value = values.last else { return false }
            return append("gas", "\(value)*\(values[values.count - 2])", &samples)
        default: return false
        }
    }

    private static func append(_ metric: String, _ value: some StringProtocol, _ samples: inout [Sample]) -> Bool {
        // Two meters of a kind are told apart.
        let name = samples.contains { $0.metric == metric } ? "\(metric)2" : metric
        guard let sample = number(name, Substring(value)) else { return false }
        samples.append(sample)
        return true
    }

    /// "000123.456*kWh".
    private static func number(_ metric: String, _ text: Substring) -> Sample? {
        let parts = text.split(separator: "*", maxSplits: 1)
        guard let digits = parts.first, digits.allSatisfy({ $0.isASCII && $0.isNumber || $0 == "." }) else {
            return nil
        }
        let unit = parts.count == 2 ? Unit(parts[1] == "m3" ? "m3" : String(parts[1].prefix(16))) : nil
        if let integer = Int64(digits) { return Sample(metric: metric, value: .integer(integer), unit: unit) }
        guard let number = Double(digits), number.isFinite else { return nil }
        return Sample(metric: metric, value: .number(number), unit: unit)
    }
}
