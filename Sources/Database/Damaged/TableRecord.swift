/// One row as it stands in a page (sqlite.org/fileformat2.html, section 2.1, "Record Format").
package struct TableRecord: Hashable, Sendable {
    package enum Value: Hashable, Sendable {
        case null
        case integer(Int64)
        /// UTF-8 as it stands in the file.
        case text([UInt8])
        case blob([UInt8])
        /// None of the files here has one.
        case real

        package var asInteger: Int64? { if case .integer(let value) = self { value } else { nil } }

        /// `nil` when it is no text, or damaged.
        package var asText: String? {
            if case .text(let bytes) = self { String(validating: bytes, as: UTF8.self) } else { nil }
        }

        package var asBlob: [UInt8]? { if case .blob(let bytes) = self { bytes } else { nil } }
    }

    /// 0 in a table without.
    package let rowID: Int64
    /// In the order of the table's columns; a column that is the row's id is `null`.
    package let values: [Value]

    /// - Returns: `nil` when the bytes are no record.
    init?(rowID: Int64, payload: PageBytes) {
        self.rowID = rowID
        var place = 0
        guard let headerSize = payload.variableInteger(at: &place), (1...Self.headerLimit).contains(headerSize) else {
            return nil
        }
        var content = Int(headerSize)
        var values: [Value] = []
        while place < Int(headerSize) {
            guard let type = payload.variableInteger(at: &place),
                let (value, size) = Self.value(type, payload, at: content)
            else { return nil }
            values.append(value)
            content += size
        }
        guard place == Int(headerSize), content == payload.count else { return nil }
        self.values = values
    }

    /// More columns than any table here has.
    private static let headerLimit: Int64 = 1_000

    private static func value(_ type: Int64, _ payload: PageBytes, at place: Int) -> (Value, Int)? {
        switch type {
        case 0: return (.null, 0)
        case 8, 9: return (.integer(type - 8), 0)
        case 1...6:
            let size = [1, 2, 3, 4, 6, 8][Int(type) - 1]
            guard let bytes = payload.bytes(at: place, count: size), let first = bytes.first else { return nil }
            return (.integer(bytes.reduce(first < 0x80 ? 0 : -1) { $0 << 8 | Int64($1) }), size)
        case 7: return (.real, 8)
        case 12...:
            let size = (type - 12) / 2
            guard size <= Int64(payload.count), let bytes = payload.bytes(at: place, count: Int(size)) else {
                return nil
            }
            return (type % 2 == 0 ? .blob(bytes) : .text(bytes), Int(size))
        default: return nil
        }
    }
}
