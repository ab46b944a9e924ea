import Readings

extension Decoding {
    static func csv(
        _ text: String, fields: [String], separator: Character
    ) throws(DecodingFailure) -> [Sample] {
        let columns = text.split(separator: separator, omittingEmptySubsequences: false)
        guard columns.count >= fields.count else {
            throw DecodingFailure(expected: "\(fields.count) columns, not \(columns.count)", text: text)
        }
        return zip(fields, columns).compactMap { field, column in
            field.isEmpty ? nil : Sample(metric: metric(field), value: scalar(column))
        }
    }
}
