import FoundationEssentials
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

    private static func json(_ line: [UInt8]) -> Entry? {
        guard let members = try? JSONDecoder().decode([String: Scalar].self, from: Data(line)),
            let time = members["ts"]?.value?.asDouble
        else { return nil }
        // An object has no order; by name it is at least the same every time.
        let samples = members.sorted { $0.key < $1.key }.compactMap { name, scalar in
            name == "ts" ? nil : scalar.value.map { Sample(metric: metric(name), value: $0) }
        }
        return entry(time, samples)
    }

    /// A JSON value that is no object and no array; `nil`: null.
    private struct Scalar: Decodable {
        var value: Value?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                value = nil
            } else if let boolean = try? container.decode(Bool.self) {
                value = .boolean(boolean)
            } else if let integer = try? container.decode(Int64.self) {
                value = .integer(integer)
            } else if let number = try? container.decode(Double.self), number.isFinite {
                value = .number(number)
            } else {
                value = .text(try container.decode(String.self))
            }
        }
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
