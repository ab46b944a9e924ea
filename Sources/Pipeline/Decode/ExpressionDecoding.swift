import Readings

extension Decoding {
    /// The named groups that took part in the first match.
    static func match(_ expression: NamedExpression, in text: String) throws(DecodingFailure) -> [Sample] {
        guard let groups = expression.firstMatch(in: text) else {
            throw DecodingFailure(expected: "a match of \(expression.pattern)", text: text)
        }
        let samples = groups.map { Sample(metric: metric($0.name), value: scalar($0.text)) }
        guard !samples.isEmpty else {
            throw DecodingFailure(expected: "a named group of \(expression.pattern) to take part", text: text)
        }
        return samples
    }
}
