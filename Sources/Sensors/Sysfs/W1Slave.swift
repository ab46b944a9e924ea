package import Readings

/// A 1-Wire thermometer's answer as the kernel prints it (Documentation/w1/slaves/w1_therm.rst):
///
///     72 01 4b 46 7f ff 0e 10 57 : crc=57 YES
///     72 01 4b 46 7f ff 0e 10 57 t=23125
package enum W1Slave {
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case unreadable
        case checksum
        /// Nine zeros, whose checksum is zero, too.
        case zeros
        /// Nobody pulled the line down.
        case silent
        case outOfRange(Double)

        package var description: String {
            switch self {
            case .unreadable: "the kernel's answer is not understood"
            case .checksum: "checksum error on the 1-Wire line: check the wiring and the pull-up resistor"
            case .zeros: "the sensor answers with zeros: no power, or the data line has a short circuit to ground"
            case .silent: "no sensor answers on the line"
            case .outOfRange(let celsius): "\(celsius) °C is outside of what the sensor can measure"
            }
        }
    }

    /// Degrees Celsius (DS18B20 datasheet, tables 1 and 3). The checksum is verified, not only believed.
    package static func celsius(_ text: String) throws(Failure) -> Double {
        let lines = text.split(whereSeparator: \.isNewline)
        guard lines.count >= 2, let equals = lines[1].lastIndex(of: "="), lines[1][..<equals].hasSuffix("t"),
            let thousandths = Int(lines[1][lines[1].index(after: equals)...])
        else { throw .unreadable }
        let bytes = lines[0].split(separator: " ").prefix(9).compactMap { UInt8($0, radix: 16) }
        guard bytes.count == 9 else { throw .unreadable }
        if bytes.allSatisfy({ $0 == 0 }) { throw .zeros }
        if bytes.allSatisfy({ $0 == 0xFF }) { throw .silent }
        guard lines[0].hasSuffix("YES"), Checksum.crc8Maxim.value(of: bytes.prefix(8)) == UInt32(bytes[8]) else {
            throw .checksum
        }
        let celsius = Double(thousandths) / 1_000
        guard (-55...125).contains(celsius) else { throw .outOfRange(celsius) }
        return celsius
    }
}

/// Tells the 85 °C that a DS18B20 shows from power-up until it has measured from 85 °C that it has measured. A value.
package struct PowerOnCheck: Sendable {
    /// Faster than this no room, pipe or oven changes.
    private static let degreesPerSecond = 2.0
    private static let noise = 3.0
    /// A value that is older than this says nothing of the next.
    private static let memory = Duration.seconds(600)

    private var believed: (celsius: Double, at: Instant)?

    package init() {}

    /// Whether `celsius`, measured at `now`, can be believed.
    package mutating func take(_ celsius: Double, at now: Instant) -> Bool {
        if celsius == 85 {
            guard let believed, now - believed.at <= Self.memory else { return false }
            let seconds = Double((now - believed.at).wholeNanoseconds) / 1e9
            guard abs(celsius - believed.celsius) <= seconds * Self.degreesPerSecond + Self.noise,
                // However slow the pace: a cold sensor that shows 85 °C at once was without power.
                abs(celsius - believed.celsius) <= 20
            else { return false }
        }
        believed = (celsius, now)
        return true
    }
}
