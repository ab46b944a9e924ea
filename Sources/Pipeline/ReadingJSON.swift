package import Readings

extension Reading {
    /// The reading as the JSON object that goes on the wire:
    /// `{"ts":1764000000123,"tq":"synced","v":21.4,"u":"Cel","q":"good"}`.
    ///
    /// `ts` is in milliseconds since 1970 (UTC); `u` is left out when the reading has no unit; `why` says why the quality
    /// is not good, and is left out when nobody knows; a value that is missing is `null`. The sequence is added
    /// when the message is sent, since only the outbox knows it. Allocates the result once.
    package var json: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(96)
        ReadingStamp.append(time, to: &out)
        out += ",\"v\":".utf8
        switch value {
        case .number(let number): out += "\(number)".utf8
        case .integer(let integer): out += String(integer).utf8
        case .boolean(let boolean): out += (boolean ? "true" : "false").utf8
        case .text(let text): JSONString.append(text, to: &out)
        case .missing: out += "null".utf8
        }
        if let unit {
            out += ",\"u\":".utf8
            JSONString.append(unit.name, to: &out)
        }
        out += ",\"q\":\"".utf8
        out += quality.rawValue.utf8
        out.append(UInt8(ascii: "\""))
        if let reason {
            out += ",\"why\":".utf8
            JSONString.append(reason, to: &out)
        }
        out.append(UInt8(ascii: "}"))
        return out
    }
}
