internal import Database
internal import Readings

/// Tells by their shape what the records of a damaged outbox file were: a file without its schema does not say it.
/// Pure.
struct SalvagedRows {
    /// A row of `message`, as it stood in the file.
    struct Row {
        var id: MessageID
        var boot: Int64
        var format: Int64
        var retain: Int64
        var instant: Int64
        var unix: Int64
        var quality: Int64
        var topic: String
        var payload: [UInt8]
        var expiry: Int64?
        var properties: [UInt8]?
    }

    /// A row of `refused`.
    struct Refused {
        var stream: Int64
        var reason: String
        /// Without an identifier.
        var row: Row
    }

    enum Kind {
        case message(Row)
        case refused(Refused)
        /// Taken note of, or nothing that is known.
        case other
    }

    /// What the damaged file says of its streams, by number: as far as it could be read.
    private(set) var streams: [Int64: (name: String, counters: OutboxFile.Counters)] = [:]
    private(set) var epochs: [Int64: [Epoch]] = [:]
    private(set) var boots: [Int64: (name: String, offset: Int64?)] = [:]

    /// Rows of `message` have keys from here on: the first stream's first.
    private static let firstID: Int64 = 1 << MessageID.sequenceBits
    /// Stream numbers of a file that was made as such files are.
    private static let streamNumbers: ClosedRange<Int64> = 1...10_000

    mutating func sort(_ record: TableRecord) -> Kind {
        let values = record.values
        switch values.count {
        case 9 where record.rowID >= Self.firstID, 12 where record.rowID >= Self.firstID:
            guard var message = Self.row(values[1...].prefix(8)) else { return .other }
            if values.count == 12 {
                message.expiry = values[9].asInteger
                message.properties = values[10].asBlob
                guard values[11].asInteger.map({ $0 == message.checksum }) != false else { return .other }
            }
            message.id = MessageID(rawValue: record.rowID)
            guard Self.streamNumbers.contains(message.id.stream), message.id.sequence > 0 else { return .other }
            return .message(message)
        case 11, 13:
            guard let stream = values[1].asInteger, let reason = values[2].asText,
                var row = Self.row(values[3...].prefix(8))
            else { return .other }
            if values.count == 13 { (row.expiry, row.properties) = (values[11].asInteger, values[12].asBlob) }
            return .refused(Refused(stream: stream, reason: reason, row: row))
        case 6, 7:
            guard let name = values[1].asText, Self.streamNumbers.contains(record.rowID) else { return .other }
            let numbers = values[2...].compactMap(\.asInteger)
            guard numbers.count == values.count - 2 else { return .other }
            streams[record.rowID] = (
                name,
                OutboxFile.Counters(
                    next: numbers[0], head: numbers.count == 5 ? numbers[4] : 1, count: numbers[1], bytes: numbers[2],
                    dropped: numbers[3])
            )
        case 3 where record.rowID > 0:
            guard let name = values[1].asText else { return .other }
            boots[record.rowID] = (name, values[2].asInteger)
        case 3:
            let numbers = values.compactMap(\.asInteger)
            guard record.rowID == 0, numbers.count == 3, numbers[1] > 0, numbers[2] > 0 else { return .other }
            epochs[numbers[0], default: []].append(Epoch(first: numbers[1], value: UInt64(numbers[2])))
        case 2:
            guard let name = values[1].asText else { return .other }
            boots[record.rowID] = (name, nil)
        default: break
        }
        return .other
    }

    /// The columns that both tables have, in their order.
    private static func row(_ values: ArraySlice<TableRecord.Value>) -> Row? {
        let numbers = values.prefix(6).compactMap(\.asInteger)
        guard values.count == 8, numbers.count == 6, let topic = values[values.startIndex + 6].asText,
            let payload = values[values.startIndex + 7].asBlob
        else { return nil }
        return Row(
            id: MessageID(rawValue: 0), boot: numbers[2], format: numbers[0], retain: numbers[1], instant: numbers[3],
            unix: numbers[4], quality: numbers[5], topic: topic, payload: payload)
    }
}

extension SalvagedRows.Row {
    /// What a row with these contents says of itself.
    fileprivate var checksum: Int64 {
        var checksum = Checksum()
        checksum.add(topic)
        checksum.add(payload)
        if let properties { checksum.add(properties) }
        return checksum.stored
    }
}
