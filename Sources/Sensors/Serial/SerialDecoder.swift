import Readings

/// Bytes and time in, deliveries out: the framing and, where the driver does it, the decoding. A value.
struct SerialDecoder: Sendable {
    struct Delivery: Sendable {
        var body: Arrival.Body
        var raw: RawReading
        /// A time that the device offers, in nanoseconds since 1970.
        var utc: Int64?
    }

    private enum Framer: Sendable {
        case line(LineFramer)
        case binary(BinaryFramer)
        case nmea(LineFramer, NMEAReceiver)
        case dsmr(DSMRFramer)
    }

    private var framer: Framer
    private let fields: [BinaryField]

    /// - Parameter isTalking: the device was in the midst of something when the port was opened.
    init(_ framing: SerialFraming, isTalking: Bool) {
        fields = framing.fields
        switch framing.kind {
        case .line(let delimiter):
            framer = .line(
                LineFramer(delimiter: delimiter, maximumLength: framing.maximumLength, skipsFirst: isTalking))
        case .binary(let format): framer = .binary(BinaryFramer(format))
        case .nmea:
            framer = .nmea(
                LineFramer(delimiter: [0x0A], maximumLength: 512, skipsFirst: isTalking), NMEAReceiver())
        case .dsmr: framer = .dsmr(DSMRFramer(maximumLength: framing.maximumLength))
        }
    }

    /// When ``idle(now:)`` is to be called at the latest.
    var deadline: Instant? { if case .binary(let framer) = framer { framer.deadline } else { nil } }

    /// What was received and came to nothing, for `status`; and how many frames were good.
    var counters: [(name: String, value: UInt64)] {
        switch framer {
        case .line: []
        case .binary(let framer):
            [
                ("frames", framer.frames), ("checksum errors", framer.checksumErrors),
                ("bytes outside of frames", framer.discardedBytes),
            ]
        case .nmea(_, let receiver):
            [
                ("sentences", receiver.sentences), ("checksum errors", receiver.checksumErrors),
                ("other lines", receiver.malformed),
            ]
        case .dsmr(let framer): [("telegrams", framer.telegrams), ("checksum errors", framer.checksumErrors)]
        }
    }

    /// What was too long.
    var overlong: UInt64 {
        switch framer {
        case .line(let framer), .nmea(let framer, _): framer.overlong
        case .binary(let framer): framer.overlong
        case .dsmr(let framer): framer.overlong
        }
    }

    /// The deliveries that `bytes` complete, and how many good frames they were: some say nothing.
    mutating func push(_ bytes: [UInt8], at now: Instant) -> (deliveries: [Delivery], frames: Int) {
        switch framer {
        case .line(var lines):
            let found = lines.push(bytes)
            framer = .line(lines)
            return (found.map { Delivery(body: .payload($0), raw: .bytes($0)) }, found.count)
        case .binary(var frames):
            let found = frames.push(bytes, at: now)
            framer = .binary(frames)
            return (found.map(decode), found.count)
        case .nmea(var lines, var receiver):
            let before = receiver.sentences
            var deliveries: [Delivery] = []
            for line in lines.push(bytes) {
                let samples = receiver.take(line)
                if !samples.isEmpty || receiver.utc != nil {
                    deliveries.append(Delivery(body: .samples(samples), raw: .bytes(line), utc: receiver.utc))
                }
            }
            framer = .nmea(lines, receiver)
            return (deliveries, Int(clamping: receiver.sentences - before))
        case .dsmr(var telegrams):
            let found = telegrams.push(bytes)
            framer = .dsmr(telegrams)
            return (
                found.compactMap { bytes in
                    DSMRTelegram(parsing: bytes).map { Delivery(body: .samples($0.samples), raw: .bytes(bytes)) }
                }, found.count
            )
        }
    }

    /// Nothing has come until `now`.
    mutating func idle(now: Instant) -> [Delivery] {
        guard case .binary(var frames) = framer else { return [] }
        let found = frames.idle(now: now)
        framer = .binary(frames)
        return found.map(decode)
    }

    private func decode(_ frame: [UInt8]) -> Delivery {
        Delivery(
            body: fields.isEmpty ? .payload(frame) : .samples(fields.map { $0.decode(frame) }), raw: .bytes(frame))
    }
}
