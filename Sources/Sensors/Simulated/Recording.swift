package import Readings

/// Lines of a recording to samples and their times. A value.
///
/// JSON lines hold an object with the time in milliseconds as `ts`, the value as `v`, or any names as metrics. Any other
/// recording is CSV: its first line names the columns, of which the first is the time in milliseconds.
package struct Recording: Sendable {
    package struct Entry: Hashable, Sendable {
        /// In milliseconds, from whatever beginning.
        package var time: Int64
        package var samples: [Sample]

        package init(time: Int64, samples: [Sample]) {
            self.time = time
            self.samples = samples
        }
    }

    private enum Format: Sendable {
        case json
        case csv(columns: [String])
    }

    private var format: Format?

    package init() {}

    /// The entry of one line; `nil` for the line that names columns, an empty one, and one that cannot be read, of which
    /// the last is counted in `damaged`.
    package mutating func take(_ line: [UInt8]) -> Entry? {
        guard line.contains(where: { $0 > 0x20 }) else { return nil }
        switch format {
        case nil:
            if line.first(where: { $0 > 0x20 }) == UInt8(ascii: "{") {
                format = .json
                return take(line)
            }
            format = .csv(columns: Self.columns(line).map { String($0) })
            return nil
        case .json: return count(Self.json(line))
        case .csv(let columns): return count(Self.csv(line, columns: columns))
        }
    }

    /// Lines that could not be read.
    package private(set) var damaged: UInt64 = 0

    private mutating func count(_ entry: Entry?) -> Entry? {
        if entry == nil { damaged += 1 }
        return entry
    }

    /// Longer than any line of ``RecordingFile``.
    private static let limits = JSONLimits(bytes: 256 << 10)

    /// - Returns: `nil` also where a member is an array or an object.
    private static func json(_ line: [UInt8]) -> Entry? {
        guard let object = try? JSONValue(reading: line, limits), object.kind == .object,
            let time = object["ts"].flatMap({ Value($0) })?.asDouble
        else { return nil }
        // The last of a name counts.
        var values: [String: Value] = [:]
        for member in object.members where !member.isNamed("ts") {
            guard ![.array, .object].contains(member.value.kind) else { return nil }
            values[member.name] = Value(member.value)
        }
        // By name: then a recorder that changes the order of its members changes nothing.
        let samples = values.sorted { $0.key < $1.key }.map { Sample(metric: metric($0.key), value: $0.value) }
        return entry(time, samples)
    }

    private static func metric(_ name: String) -> String? { name == "v" || name == "value" ? nil : name }

    private static func columns(_ line: [UInt8]) -> [Substring] {
        String(decoding: line, as: UTF8.self).split(separator: ",", omittingEmptySubsequences: false).map { column in
            var column = column.drop(while: \.isWhitespace)
            while column.last?.isWhitespace == true { column.removeLast() }
            return column
        }
    }

    private static func csv(_ line: [UInt8], columns names: [String]) -> Entry? {
        let cells = columns(line)
        guard cells.count == names.count, let time = RecordedNumber.value(cells[0])?.asDouble else { return nil }
        let samples = zip(names, cells).dropFirst().compactMap { name, cell -> Sample? in
            guard !cell.isEmpty else { return nil }
            let value: Value =
                cell == "true"
                ? .boolean(true) : cell == "false" ? .boolean(false) : RecordedNumber.value(cell) ?? .text(String(cell))
            return Sample(metric: metric(name), value: value)
        }
        return entry(time, samples)
    }

    private static func entry(_ time: Double, _ samples: [Sample]) -> Entry? {
        guard abs(time) < 1e15, !samples.isEmpty else { return nil }
        return Entry(time: Int64(time), samples: samples)
    }
}

/// A number of a recording that is a table.
private enum RecordedNumber {
    /// Integers stay exact; `nil` for anything that is not a finite decimal number.
    static func value(_ text: some StringProtocol) -> Value? {
        guard text.allSatisfy({ $0.isASCII && ($0.isNumber || "+-.eE".contains($0)) }) else { return nil }
        if let integer = Int64(text) { return .integer(integer) }
        guard let number = Double(text), number.isFinite else { return nil }
        return .number(number)
    }
}
