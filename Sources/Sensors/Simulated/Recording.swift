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
        case .json: return count(json(line))
        case .csv(let columns): return count(Self.csv(line, columns: columns))
        }
    }

    /// Lines that could not be read.
    package private(set) var damaged: UInt64 = 0

    private mutating func count(_ entry: Entry?) -> Entry? {
        if entry == nil { damaged += 1 }
        return entry
    }

    private func json(_ line: [UInt8]) -> Entry? {
        guard let object = FlatJSON(parsing: line),
            let time = object.members.first(where: { $0.name == "ts" })?.value.asDouble
        else { return nil }
        let samples = object.members.filter { $0.name != "ts" }.map { member in
            Sample(metric: member.name == "v" || member.name == "value" ? nil : member.name, value: member.value)
        }
        return Self.entry(time, samples)
    }

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
            return Sample(metric: name == "v" || name == "value" ? nil : name, value: value)
        }
        return entry(time, samples)
    }

    private static func entry(_ time: Double, _ samples: [Sample]) -> Entry? {
        guard abs(time) < 1e15, !samples.isEmpty else { return nil }
        return Entry(time: Int64(time), samples: samples)
    }
}
