package import Readings

extension Message {
    /// The payload to send: a reading gets its sequence as the last member of its JSON object, anything else stays as
    /// it is, byte for byte.
    package func wirePayload(sequence: Int64) -> [UInt8] {
        guard format == .reading, payload.last == UInt8(ascii: "}") else { return payload }
        var spliced: [UInt8] = []
        spliced.reserveCapacity(payload.count + 28)
        spliced.append(contentsOf: payload.dropLast())
        let isEmpty = spliced.last { $0 != UInt8(ascii: " ") } == UInt8(ascii: "{")
        spliced.append(contentsOf: (isEmpty ? "\"seq\":" : ",\"seq\":").utf8)
        spliced.append(contentsOf: String(sequence).utf8)
        spliced.append(UInt8(ascii: "}"))
        return spliced
    }
}
