package import Readings

/// A GPS receiver's sentences to readings, whatever the talker. A value.
///
/// Units are SenML's (RFC 8428 §12.1): `lat` and `lon` are degrees there; a course in degrees has none, so UCUM's `deg`.
package struct NMEAReceiver: Sendable {
    /// Good sentences.
    package private(set) var sentences: UInt64 = 0
    package private(set) var checksumErrors: UInt64 = 0
    /// Lines that are no sentences.
    package private(set) var malformed: UInt64 = 0
    /// The time that the last sentence brought, in nanoseconds since 1970, UTC; `nil`: it brought none that is valid.
    package private(set) var utc: Int64?

    /// The last RMC said that there is a fix. Without one a receiver's ZDA tells what its clock happened to wake up with.
    private var hasFix = false
    /// Satellites in view by talker, of which there are a handful.
    private var inView: [String: Int64] = [:]
    private static let knots = 1_852.0 / 3_600

    package init() {}

    /// The readings of one line without its end; none for sentences that bring nothing of use.
    package mutating func take(_ line: [UInt8]) -> [Sample] {
        utc = nil
        let sentence: NMEASentence
        do throws(NMEASentence.Failure) {
            sentence = try NMEASentence(parsing: line)
        } catch {
            if case .notASentence = error { malformed += 1 } else { checksumErrors += 1 }
            return []
        }
        sentences += 1
        switch sentence.type {
        case "GGA": return position(sentence, latitude: 1, quality: sentence.integer(5) ?? 0) + fix(sentence)
        case "RMC": return recommended(sentence)
        case "VTG": return course(sentence)
        case "GSA": return precision(sentence)
        case "GSV": return satellites(sentence)
        case "ZDA":
            if hasFix {
                utc = Self.time(
                    sentence[0], day: sentence.integer(1), month: sentence.integer(2), year: sentence.integer(3))
            }
            return []
        default: return []
        }
    }

    private func position(_ sentence: NMEASentence, latitude index: Int, quality: Int64) -> [Sample] {
        let latitude = sentence.degrees(index, limit: 90)
        let longitude = sentence.degrees(index + 2, limit: 180)
        guard quality > 0, let latitude, let longitude else {
            return ["latitude", "longitude"].map {
                Sample(metric: $0, value: .missing, quality: .bad, reason: "no fix")
            }
        }
        // 6 is dead reckoning, 7 entered by hand, 8 simulated: a place, but not a measured one.
        let isDoubtful = quality >= 6 && quality != 9
        return [("latitude", latitude, "lat"), ("longitude", longitude, "lon")].map {
            Sample(
                metric: $0.0, value: .number($0.1), unit: Unit($0.2), quality: isDoubtful ? .uncertain : .good,
                reason: isDoubtful ? "estimated, not measured" : nil)
        }
    }

    private func fix(_ sentence: NMEASentence) -> [Sample] {
        var samples = [Sample(metric: "fix_quality", value: .integer(sentence.integer(5) ?? 0))]
        if let count = sentence.integer(6) { samples.append(Sample(metric: "satellites", value: .integer(count))) }
        guard sentence.integer(5) ?? 0 > 0 else { return samples }
        if let hdop = sentence.number(7) { samples.append(Sample(metric: "hdop", value: .number(hdop))) }
        if let altitude = sentence.number(8), sentence[9] == "M" {
            samples.append(Sample(metric: "altitude", value: .number(altitude), unit: Unit("m")))
        }
        return samples
    }

    private mutating func recommended(_ sentence: NMEASentence) -> [Sample] {
        let isValid = sentence[1] == "A"
        hasFix = isValid
        var samples = [Sample(metric: "valid", value: .boolean(isValid))]
        samples += position(sentence, latitude: 2, quality: isValid ? 1 : 0)
        guard isValid else { return samples }
        if let date = sentence[8], date.count == 6, let number = Int64(date) {
            // Two digits of the year: NMEA is older than the century.
            let year = number % 100
            utc = Self.time(
                sentence[0], day: number / 10_000, month: number / 100 % 100,
                year: year < 80 ? 2_000 + year : 1_900 + year)
        }
        if let speed = sentence.number(6) { samples.append(Self.speed(speed * Self.knots)) }
        if let course = sentence.number(7), (0...360).contains(course) { samples.append(Self.course(course)) }
        return samples
    }

    private func course(_ sentence: NMEASentence) -> [Sample] {
        var samples: [Sample] = []
        if let course = sentence.number(0), (0...360).contains(course) { samples.append(Self.course(course)) }
        if let speed = sentence.number(6), sentence[7] == "K" {
            samples.append(Self.speed(speed / 3.6))
        } else if let speed = sentence.number(4), sentence[5] == "N" {
            samples.append(Self.speed(speed * Self.knots))
        }
        return samples
    }

    private static func speed(_ speed: Double) -> Sample {
        Sample(metric: "speed", value: .number((speed * 1_000).rounded() / 1_000), unit: Unit("m/s"))
    }

    private static func course(_ course: Double) -> Sample {
        Sample(metric: "course", value: .number(course), unit: Unit("deg"))
    }

    private func precision(_ sentence: NMEASentence) -> [Sample] {
        var samples: [Sample] = []
        if let mode = sentence.integer(1), (1...3).contains(mode) {
            samples.append(Sample(metric: "fix_mode", value: .integer(mode)))
        }
        for (index, name) in [(14, "pdop"), (15, "hdop"), (16, "vdop")] {
            if let number = sentence.number(index) { samples.append(Sample(metric: name, value: .number(number))) }
        }
        return samples
    }

    /// The last message of a group brings the count; of all talkers together, since each speaks of its own.
    private mutating func satellites(_ sentence: NMEASentence) -> [Sample] {
        guard let count = sentence.integer(2), (0...255).contains(count), let all = sentence.integer(0),
            let number = sentence.integer(1), number == all, inView.count < 16 || inView[sentence.talker] != nil
        else { return [] }
        inView[sentence.talker] = count
        return [Sample(metric: "satellites_in_view", value: .integer(inView.values.reduce(0, +)))]
    }

    /// Nanoseconds since 1970 of `hhmmss.ss` on that day; `nil` when it is none.
    private static func time(_ clock: Substring?, day: Int64?, month: Int64?, year: Int64?) -> Int64? {
        guard let clock, let day, let month, let year, (1...31).contains(day), (1...12).contains(month),
            (1_980...2_200).contains(year), clock.utf8.count >= 6, clock.utf8.count <= 16,
            clock.allSatisfy({ $0.isASCII && $0.isNumber || $0 == "." }), let seconds = Double(clock.dropFirst(4)),
            let hours = Int64(clock.prefix(2)), let minutes = Int64(clock.dropFirst(2).prefix(2)), hours < 24,
            minutes < 60,
            // A leap second has the number 60.
            seconds < 61
        else { return nil }
        // Howard Hinnant: chrono-Compatible Low-Level Date Algorithms, days_from_civil.
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        let whole = days * 86_400 + hours * 3_600 + minutes * 60
        return whole * 1_000_000_000 + Int64((seconds * 1e9).rounded())
    }
}
