import Readings

extension Decoding {
    static func keyValue(_ text: String, fields: [String]) throws(DecodingFailure) -> [Sample] {
        var samples: [Sample] = []
        // A space after the sign does not end the pair: "RH: 40".
        var rest = text[...]
        while let sign = rest.firstIndex(where: { $0 == "=" || $0 == ":" }) {
            let name = rest[..<sign].split(whereSeparator: isBetweenPairs).last ?? ""
            rest = rest[rest.index(after: sign)...].drop(while: \.isWhitespace)
            let end = rest.firstIndex(where: isBetweenPairs) ?? rest.endIndex
            if !name.isEmpty { samples.append(Sample(metric: metric(name), value: scalar(rest[..<end]))) }
            rest = rest[end...]
        }
        guard !fields.isEmpty else {
            guard !samples.isEmpty else { throw DecodingFailure(expected: "pairs as in T=21.5", text: text) }
            return samples
        }
        var taken: [Sample] = []
        for field in fields {
            guard let sample = samples.first(where: { $0.metric == metric(field) }) else {
                throw DecodingFailure(expected: "a value for \"\(field)\"", text: text)
            }
            taken.append(Sample(metric: fields.count == 1 ? nil : sample.metric, value: sample.value))
        }
        return taken
    }

    private static func isBetweenPairs(_ character: Character) -> Bool {
        character.isWhitespace || character == "," || character == ";" || character == "&"
    }
}
