import Readings
import Settings

/// How a serial device's bytes become frames and readings, as the settings say.
struct SerialFraming: Sendable {
    enum Kind: Sendable {
        case line(delimiter: [UInt8])
        case binary(FrameFormat)
        case nmea
        case dsmr
    }

    var kind: Kind
    var maximumLength: Int
    /// Of binary frames that the driver decodes itself; empty: the pipeline decodes the payload.
    var fields: [BinaryField]

    static let keys: [Key] = [
        .choice(
            "frame", ["line", "length", "start-end", "fixed", "gap", "nmea", "dsmr"], default: "line",
            "How the bytes are cut: text lines; binary frames with a length field, with start and end bytes, of a fixed length, or ended by silence; NMEA 0183 sentences of a GPS; DSMR telegrams of a smart meter's P1 port."
        ),
        .string(
            "delimiter", default: "\n",
            "line: what ends a line; with \"\\n\" a carriage return before it is dropped."),
        .integer(
            "max_length", in: 1...65_536, default: 1_024, "Longest line or frame in bytes; longer ones are dropped."),
        .string("start", example: "\"AA 55\"", "Binary frames: the bytes that each begins with, in hexadecimal."),
        .string("end", example: "\"0D 0A\"", "start-end: the bytes that end a frame, in hexadecimal."),
        .string(
            "escape", example: "\"7D\"",
            "start-end: a byte behind which the next one is data, exclusive-or escape_mask; in hexadecimal."),
        .string("escape_mask", default: "00", "start-end: see escape; 20 for PPP and HDLC."),
        .integer("length", in: 1...65_536, example: "9", "fixed: bytes of a frame."),
        .integer("length_at", in: 0...1_024, default: 0, "length: where the length field is, in bytes from the start."),
        .choice("length_type", ["u8", "u16be", "u16le", "u32be", "u32le"], default: "u8", "length: the field's type."),
        .integer(
            "length_adds", in: -1_024...1_024, default: 0,
            "length: added to the field's value, this is the whole frame with start and checksum."),
        .duration(
            "silence", in: .milliseconds(1)...(.seconds(10)), default: "20ms", "gap: how long a silence ends a frame."),
        .choice(
            "checksum", ["none"] + Checksum.allCases.map(\.rawValue), default: "none",
            "Binary frames: what guards them, at their end."),
        .choice("checksum_order", ["big", "little"], default: "big", "Which byte of the checksum comes first."),
        .integer("checksum_from", in: 0...1_024, default: 0, "The first byte that the checksum covers."),
        .strings(
            "values", example: "[\"temperature @2 s16be *0.1 Cel\", \"alarm @6 bit:3\"]",
            "Binary frames: what is in them. Name, place of the first byte (negative: from the end), type (u8 s8, u16 s16 u24 s24 u32 s32 u64 s64 f32 f64 with be or le, bit:N, bcd:N, ascii:N), then *scale, +offset and unit."
        ),
    ]

    private static let binary = ["length", "start-end", "fixed", "gap"]

    /// Keys that have a meaning only with some framings.
    private static let users: [(key: String, frames: [String])] = [
        ("delimiter", ["line"]), ("start", binary), ("end", ["start-end"]),
        ("escape", ["start-end"]), ("escape_mask", ["start-end"]), ("length", ["fixed"]), ("length_at", ["length"]),
        ("length_type", ["length"]), ("length_adds", ["length"]), ("silence", ["gap"]),
        ("checksum", binary),
        ("checksum_order", binary),
        ("checksum_from", binary),
        ("values", binary),
        ("max_length", ["line", "length", "start-end", "gap", "dsmr"]),
    ]

    /// `nil` when there is a mistake, which is told.
    init?(_ reader: TableReader) {
        guard let frame = reader.choice("frame"), let limit = reader.integer("max_length") else { return nil }
        var isUsable = true
        for (key, frames) in Self.users where reader.has(key) && !frames.contains(frame) {
            let choices = frames.map { "\"\($0)\"" }.joined(separator: " or ")
            reader.error("\(key) has a meaning only with frame = \(choices)", at: key)
            isUsable = false
        }
        maximumLength = frame == "dsmr" && !reader.has("max_length") ? 8_192 : Int(limit)
        fields = []
        for text in reader.strings("values") ?? [] {
            do throws(BinaryField.Failure) {
                let field = try BinaryField(parsing: text)
                if fields.contains(where: { $0.name == field.name }) {
                    reader.error("values: there are two called \"\(field.name)\"", at: "values")
                    isUsable = false
                }
                fields.append(field)
            } catch {
                reader.error("values: \(error)", at: "values")
                isUsable = false
            }
        }
        let bytes = ["start", "end", "escape", "escape_mask"].map { key -> [UInt8]? in
            guard let text = reader.string(key) else { return [] }
            guard let bytes = Self.hexadecimal(text) else {
                reader.error(
                    "\(key): expected up to 8 bytes in hexadecimal, such as \"AA 55\", found \"\(text)\"", at: key)
                return nil
            }
            return bytes
        }
        guard isUsable, let start = bytes[0], let end = bytes[1], let escape = bytes[2], let mask = bytes[3] else {
            return nil
        }
        switch frame {
        case "nmea": kind = .nmea
        case "dsmr": kind = .dsmr
        case "line":
            let delimiter = reader.string("delimiter") ?? "\n"
            guard (1...8).contains(delimiter.utf8.count) else {
                reader.error("delimiter: expected 1 to 8 bytes", at: "delimiter")
                return nil
            }
            kind = .line(delimiter: Array(delimiter.utf8))
        default:
            guard let framing = Self.framing(frame, end: end, escape: escape.first, mask: mask.first ?? 0, reader)
            else {
                return nil
            }
            let check = reader.choice("checksum").flatMap(Checksum.init(rawValue:)).map {
                FrameFormat.Check(
                    $0, order: reader.choice("checksum_order") == "little" ? .little : .big,
                    checksumFrom: Int(reader.integer("checksum_from") ?? 0))
            }
            do throws(FrameFormat.Failure) {
                kind = .binary(
                    try FrameFormat(
                        start: start, framing: framing, check: check,
                        maxLength: frame == "fixed" ? Int(reader.integer("length") ?? limit) : maximumLength))
            } catch {
                reader.error("frame: \(error)", at: "frame")
                return nil
            }
        }
    }

    private static func framing(
        _ frame: String, end: [UInt8], escape: UInt8?, mask: UInt8, _ reader: TableReader
    ) -> FrameFormat.Framing? {
        switch frame {
        case "start-end":
            guard !end.isEmpty else {
                reader.error("frame = \"start-end\" needs the key \"end\", as in end = \"0D 0A\"", at: "frame")
                return nil
            }
            return .startEnd(end: end, escape: escape.map { .init(byte: $0, mask: mask) })
        case "fixed":
            guard let length = reader.integer("length") else {
                reader.error("frame = \"fixed\" needs the key \"length\", as in length = 9", at: "frame")
                return nil
            }
            return .fixed(length: Int(length))
        case "gap": return reader.duration("silence").map { .gap($0) }
        default:
            let type = reader.choice("length_type") ?? "u8"
            return .lengthPrefixed(
                .init(
                    offset: Int(reader.integer("length_at") ?? 0),
                    size: type == "u8" ? .one : type.hasPrefix("u16") ? .two : .four,
                    order: type.hasSuffix("le") ? .little : .big, lengthAdds: Int(reader.integer("length_adds") ?? 0)))
        }
    }

    /// "AA 55", "aa55": up to 8 bytes.
    static func hexadecimal(_ text: String) -> [UInt8]? {
        let digits = text.filter { !$0.isWhitespace }
        guard digits.count % 2 == 0, digits.count <= 2_048, digits.allSatisfy({ $0.isASCII && $0.isHexDigit }) else {
            return nil
        }
        var bytes: [UInt8] = []
        var rest = digits[...]
        while !rest.isEmpty {
            guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }
}
