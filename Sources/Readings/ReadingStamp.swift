/// The first members of a reading's JSON object: when it was taken, and how far that can be trusted.
///
/// In one place, since the time may have to be corrected long after the rest was written.
package enum ReadingStamp {
    /// Appends `{"ts":1764000000123,"tq":"synced"`, without the closing brace.
    package static func append(_ time: Timestamp, to out: inout [UInt8]) {
        out += "{\"ts\":".utf8
        out += String(time.unixNanoseconds / 1_000_000).utf8
        out += ",\"tq\":\"".utf8
        out += time.quality.rawValue.utf8
        out.append(UInt8(ascii: "\""))
    }
}

extension Message {
    /// Gives its wall time to a message that was taken before the clock was trusted; a reading's object says it too.
    /// - Parameter unixNanoseconds: what the wall clock should have said at its instant.
    package mutating func restamp(unixNanoseconds: Int64) {
        var head: [UInt8] = []
        ReadingStamp.append(time, to: &head)
        time.unixNanoseconds = unixNanoseconds
        time.quality = .restamped
        guard format == .reading, payload.starts(with: head) else { return }
        var renewed: [UInt8] = []
        renewed.reserveCapacity(payload.count + 3)
        ReadingStamp.append(time, to: &renewed)
        renewed += payload[head.count...]
        payload = renewed
    }
}
