import Readings

extension Decoding {
    /// `max_packet_size` bounds the bytes of a payload; 256 KiB, its default, hold half of these values at most. They cost
    /// 3 MiB while one payload is decoded.
    private static let limits = JSONLimits(bytes: 16 << 20, values: 1 << 18)

    static func json(_ bytes: [UInt8], fields: [String]) throws(DecodingFailure) -> [Sample] {
        let document: JSONValue
        do throws(JSONError) {
            document = try JSONValue(reading: bytes, limits)
        } catch {
            throw failure(expected: "JSON", bytes, reason: error.description)
        }
        if fields.isEmpty, let value = Value(document) { return [Sample(value: value)] }
        guard document.kind == .object else {
            throw failure(expected: "a JSON object, number, boolean or string", bytes)
        }
        guard !fields.isEmpty else {
            let samples = members(of: document)
            guard !samples.isEmpty else {
                throw failure(expected: "a number, boolean or string in the object", bytes)
            }
            return samples
        }
        var samples: [Sample] = []
        samples.reserveCapacity(fields.count)
        for field in fields {
            guard let value = value(at: field, in: document).flatMap({ Value($0) }) else {
                throw failure(expected: "a value at \"\(field)\"", bytes)
            }
            let name = fields.count == 1 ? nil : metric(field.split(separator: ".").joined(separator: "/"))
            samples.append(Sample(metric: name, value: value))
        }
        return samples
    }

    /// The numbers, booleans and strings at an object's top, by name: then devices that change their order change nothing.
    private static func members(of object: JSONValue) -> [Sample] {
        var members = object.members.enumerated().map {
            (place: $0.offset, name: $0.element.name, value: $0.element.value)
        }
        members.sort { $0.name != $1.name ? $0.name < $1.name : $0.place < $1.place }
        var samples: [Sample] = []
        for (index, member) in members.enumerated() {
            // The last of a name counts.
            if index + 1 < members.count, members[index + 1].name == member.name { continue }
            guard let value = Value(member.value) else { continue }
            samples.append(Sample(metric: metric(member.name), value: value))
        }
        return samples
    }

    /// The value at a dotted path.
    private static func value(at path: String, in document: JSONValue) -> JSONValue? {
        var value = document
        for name in path.split(separator: ".") {
            guard let next = value[name] else { return nil }
            value = next
        }
        return value
    }

    private static func failure(expected: String, _ bytes: [UInt8], reason: String? = nil) -> DecodingFailure {
        // More than the characters that are shown.
        let text = String(decoding: bytes.prefix(1_024), as: UTF8.self)
        return DecodingFailure(expected: expected, text: text, reason: reason)
    }
}
