/// One NMEA 0183 sentence: `$GPGGA,123519,…*47`. The format is described in IEC 61162-1 §7, and freely in Eric Raymond's
/// "NMEA Revealed" (gpsd.gitlab.io/gpsd/NMEA.html).
package struct NMEASentence: Hashable, Sendable {
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case notASentence
        case noChecksum
        case wrongChecksum(expected: UInt8, found: UInt8)

        package var description: String {
            switch self {
            case .notASentence: "not an NMEA sentence"
            case .noChecksum: "the sentence has no checksum"
            case .wrongChecksum(let expected, let found):
                "the checksum is \(String(expected, radix: 16)), not \(String(found, radix: 16))"
            }
        }
    }

    /// Bytes of the longest sentence that is taken; the standard's own limit of 82 is often passed.
    private static let limit = 256

    /// Who speaks: `GP`, `GN` …; `P` for a maker's own sentence.
    package let talker: String
    /// `GGA`, `RMC` …
    package let type: String
    package let fields: [Substring]

    /// Takes a line without its end. A tag block in front (`\s:rx1*hh\`) is left out.
    package init(parsing line: [UInt8]) throws(Failure) {
        var bytes = line[...]
        guard bytes.count <= Self.limit else { throw .notASentence }
        if bytes.first == UInt8(ascii: "\\") {
            guard let end = bytes.dropFirst().firstIndex(of: UInt8(ascii: "\\")) else { throw .notASentence }
            bytes = bytes[(end + 1)...]
        }
        guard let start = bytes.popFirst(), start == UInt8(ascii: "$") || start == UInt8(ascii: "!"),
            bytes.allSatisfy({ (0x20...0x7E).contains($0) })
        else { throw .notASentence }
        guard let star = bytes.lastIndex(of: UInt8(ascii: "*")), bytes.endIndex - star == 3,
            let found = UInt8(String(decoding: bytes[(star + 1)...], as: UTF8.self), radix: 16)
        else { throw .noChecksum }
        let body = bytes[..<star]
        let expected = UInt8(Checksum.xor.value(of: body))
        guard expected == found else { throw .wrongChecksum(expected: expected, found: found) }
        let parts = String(decoding: body, as: UTF8.self).split(separator: ",", omittingEmptySubsequences: false)
        let address = parts[0]
        if address.first == "P" {
            talker = "P"
            type = String(address.dropFirst())
        } else {
            guard address.count == 5 else { throw .notASentence }
            talker = String(address.prefix(2))
            type = String(address.suffix(3))
        }
        fields = parts.dropFirst().map { Substring($0) }
    }

    /// The field at `index`; `nil` when it is empty or missing.
    subscript(index: Int) -> Substring? {
        guard fields.indices.contains(index), !fields[index].isEmpty else { return nil }
        return fields[index]
    }

    /// As a finite number.
    func number(_ index: Int) -> Double? {
        guard let field = self[index], field.allSatisfy({ $0.isNumber || "+-.".contains($0) }),
            let number = Double(field),
            number.isFinite
        else { return nil }
        return number
    }

    func integer(_ index: Int) -> Int64? { self[index].flatMap { Int64($0) } }

    /// Degrees, from `ddmm.mmmm` and a letter; `nil` when it is no place on earth.
    func degrees(_ index: Int, limit: Double) -> Double? {
        guard let value = number(index), value >= 0, let hemisphere = self[index + 1] else { return nil }
        let whole = (value / 100).rounded(.down)
        let minutes = value - whole * 100
        let degrees = whole + minutes / 60
        guard minutes < 60, degrees <= limit else { return nil }
        let rounded = (degrees * 1e7).rounded() / 1e7
        switch hemisphere {
        case "N", "E": return rounded
        case "S", "W": return -rounded
        default: return nil
        }
    }
}
