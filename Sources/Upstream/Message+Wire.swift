internal import Outbox
package import Readings

extension Message {
    /// The payload to send with MQTT 5.0: a reading gets its sequence as the last member of its JSON object, anything
    /// else stays as it is, byte for byte.
    package func wirePayload(sequence: Int64) -> [UInt8] { payload(with: "\"seq\":\(sequence)") }

    /// A reading's object with more members; anything else as it is.
    fileprivate func payload(with members: String) -> [UInt8] {
        guard format == .reading, payload.last == UInt8(ascii: "}") else { return payload }
        var spliced: [UInt8] = []
        spliced.reserveCapacity(payload.count + members.utf8.count + 2)
        spliced.append(contentsOf: payload.dropLast())
        let isEmpty = spliced.last { $0 != UInt8(ascii: " ") } == UInt8(ascii: "{")
        if !isEmpty { spliced.append(UInt8(ascii: ",")) }
        spliced.append(contentsOf: members.utf8)
        spliced.append(UInt8(ascii: "}"))
        return spliced
    }
}

extension OutboxStore.Claimed {
    /// The payload to send. MQTT 3.1.1 has no properties: there a reading's object says stream and epoch as well.
    func wirePayload(_ version: WireVersion) -> [UInt8] {
        guard version == .v311, message.format == .reading else { return message.wirePayload(sequence: sequence) }
        let up =
            message.time.quality == .unsynced
            ? "\"boot\":\"\(boot.name)\",\"up\":\(max(0, message.time.instant.nanoseconds / 1_000_000))," : ""
        // Class names are letters, digits, - and _, a boot's are hexadecimal: nothing needs escaping.
        return message.payload(
            with: "\"stream\":\"\(stream)\",\"epoch\":\"\(epochDigits)\","
                + up + (isHistorical ? "\"historical\":true," : "") + "\"seq\":\(sequence)")
    }
}
