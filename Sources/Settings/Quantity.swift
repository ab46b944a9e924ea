/// Durations and sizes, written with their unit so that nobody has to guess it.
package enum Quantity {
    private static let durations: [(unit: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
        ("min", 60_000_000_000), ("h", 3_600_000_000_000), ("d", 86_400_000_000_000), ("w", 604_800_000_000_000),
    ]

    private static let sizes: [(unit: String, bytes: Int64)] = [
        ("B", 1), ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
    ]

    /// "250ms", "1.5s", "1h30m", "30d"; `nil` for anything else, without a unit too, and beyond 292 years. Several parts
    /// stand from the largest unit to the smallest.
    package static func duration(_ text: String) -> Duration? {
        var rest = text[...]
        var total: Int64 = 0
        var previous = Int64.max
        repeat {
            guard let (value, unit) = part(&rest), let scale = durations.first(where: { $0.unit == unit })?.nanoseconds,
                scale < previous, let nanoseconds = scaled(value, by: scale)
            else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(nanoseconds)
            guard !overflow else { return nil }
            total = sum
            previous = scale
        } while !rest.isEmpty
        return .nanoseconds(total)
    }

    /// "200MB", "64KiB", "512B"; kB to TB are decimal, KiB to TiB binary.
    package static func byteSize(_ text: String) -> Int64? {
        var rest = text[...]
        guard let (value, unit) = part(&rest), rest.isEmpty,
            let scale = sizes.first(where: { $0.unit == unit })?.bytes
        else { return nil }
        return scaled(value, by: scale)
    }

    /// "250ms", "15s", "1500ms", "2h": the largest unit that leaves a whole number.
    package static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let nanoseconds = attoseconds / 1_000_000_000
        guard nanoseconds == 0 else {
            let total = seconds * 1_000_000_000 + nanoseconds
            for (unit, scale) in [("ms", Int64(1_000_000)), ("us", 1_000)] where total % scale == 0 {
                return "\(total / scale)\(unit)"
            }
            return "\(total)ns"
        }
        for (unit, scale) in [("d", Int64(86_400)), ("h", 3_600), ("m", 60)] where seconds != 0 && seconds % scale == 0
        {
            return "\(seconds / scale)\(unit)"
        }
        return "\(seconds)s"
    }

    /// "256MB", "64KiB", "1000B": the largest unit that leaves a whole number.
    package static func text(_ bytes: Int64) -> String {
        guard bytes != 0 else { return "0B" }
        for (unit, scale) in sizes.reversed() where unit != "KB" && bytes % scale == 0 {
            return "\(bytes / scale)\(unit)"
        }
        return "\(bytes)B"
    }

    /// Takes one number with its unit off the front.
    private static func part(_ rest: inout Substring) -> (value: Substring, unit: Substring)? {
        let value = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
        rest = rest.dropFirst(value.count).drop { $0 == " " }
        let unit = rest.prefix { $0.isASCII && $0.isLetter }
        rest = rest.dropFirst(unit.count)
        return value.isEmpty || unit.isEmpty ? nil : (value, unit)
    }

    /// `value` times `scale`, exactly: what is finer than 1 is cut off. `nil` unless there are digits, and digits behind
    /// a point, and all fits.
    private static func scaled(_ value: Substring, by scale: Int64) -> Int64? {
        let halves = value.split(separator: ".", omittingEmptySubsequences: false)
        guard halves.count <= 2, halves.allSatisfy({ !$0.isEmpty }), let whole = Int64(halves[0]) else { return nil }
        let (product, overflow) = whole.multipliedReportingOverflow(by: scale)
        guard !overflow else { return nil }
        guard halves.count == 2 else { return product }
        // 18 digits are as many as fit, and more than any unit has.
        let digits = halves[1].utf8.prefix(18)
        let numerator = digits.reduce(Int64(0)) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
        let power = digits.reduce(Int64(1)) { power, _ in power * 10 }
        let fraction = power.dividingFullWidth(numerator.multipliedFullWidth(by: scale)).quotient
        let (sum, sumOverflow) = product.addingReportingOverflow(fraction)
        return sumOverflow ? nil : sum
    }
}
