/// Values that are written without quotes: numbers, booleans, dates and times.
enum TOMLScalar {
    /// The value of `text`, which goes up to a space, comma, bracket or comment; `nil` when it is none. A date and its
    /// time are one text, with a `T` between.
    static func value(_ text: String) -> TOMLValue? {
        switch text {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        case "inf", "+inf": return .float(.infinity)
        case "-inf": return .float(-.infinity)
        case "nan", "+nan", "-nan": return .float(.nan)
        default: break
        }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where text.hasPrefix(prefix) {
            let digits = text.dropFirst(2)
            guard underscoresAreBetweenDigits(digits, radix: radix) else { return nil }
            return Int64(digits.filter { $0 != "_" }, radix: radix).map { .integer($0) }
        }
        if isDate(text) || isTime(text[...]) { return .datetime(text) }
        return number(text)
    }

    private static func number(_ text: String) -> TOMLValue? {
        let body = text.first == "+" || text.first == "-" ? text.dropFirst() : text[...]
        let isFloat = body.contains { ".eE".contains($0) }
        let digits = body.filter { $0 != "_" }
        if !isFloat {
            guard underscoresAreBetweenDigits(body, radix: 10), digits == "0" || digits.first != "0" else { return nil }
            return Int64(text.filter { $0 != "_" }).map { .integer($0) }
        }
        let parts = body.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        guard mantissa.count <= 2, mantissa.allSatisfy({ underscoresAreBetweenDigits($0, radix: 10) }),
            mantissa[0] == "0" || mantissa[0].first != "0"
        else { return nil }
        if parts.count == 2 {
            let exponent = parts[1].first == "+" || parts[1].first == "-" ? parts[1].dropFirst() : parts[1]
            guard underscoresAreBetweenDigits(exponent, radix: 10) else { return nil }
        }
        return Double(text.filter { $0 != "_" }).map { .float($0) }
    }

    private static func underscoresAreBetweenDigits(_ text: some StringProtocol, radix: Int) -> Bool {
        guard let first = text.first, let last = text.last, first != "_", last != "_" else { return false }
        var before: Character = "0"
        for character in text {
            if character == "_" {
                guard before != "_" else { return false }
            } else {
                guard character.isASCII, Int(String(character), radix: radix) != nil else { return false }
            }
            before = character
        }
        return true
    }

    /// `2026-11-23`, with or without a time behind it.
    static func isDate(_ text: String) -> Bool {
        let parts = text.prefix(10).split(separator: "-", omittingEmptySubsequences: false)
        guard text.count >= 10, parts.count == 3, parts.map(\.count) == [4, 2, 2],
            let year = digits(parts[0]), let month = digits(parts[1]), let day = digits(parts[2])
        else { return false }
        let isLeap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...12).contains(month), (1...days[month - 1]).contains(day) else { return false }
        let rest = text.dropFirst(10)
        guard let separator = rest.first else { return true }
        guard separator == "T" || separator == "t" else { return false }
        var time = rest.dropFirst()
        if time.last == "Z" || time.last == "z" {
            time = time.dropLast()
        } else if let sign = time.lastIndex(where: { $0 == "+" || $0 == "-" }) {
            let offset = time[time.index(after: sign)...].split(separator: ":", omittingEmptySubsequences: false)
            guard offset.map(\.count) == [2, 2], let hour = digits(offset[0]), let minute = digits(offset[1]),
                hour < 24,
                minute < 60
            else { return false }
            time = time[..<sign]
        }
        return isTime(time)
    }

    /// `07:32:00`, with a fraction or without.
    private static func isTime(_ text: Substring) -> Bool {
        let halves = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let parts = (halves.first ?? "").split(separator: ":", omittingEmptySubsequences: false)
        guard parts.map(\.count) == [2, 2, 2], let hour = digits(parts[0]), let minute = digits(parts[1]),
            let second = digits(parts[2]), hour < 24, minute < 60, second <= 60
        else { return false }
        return halves.count == 1
            || !halves[1].isEmpty && halves[1].utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }

    private static func digits(_ text: Substring) -> Int? {
        text.allSatisfy { ("0"..."9").contains($0) } ? Int(text) : nil
    }

    /// Why a word is not a value.
    static func complaint(about word: String) -> String {
        if let first = word.unicodeScalars.first, "“”„«»‘’‚`´".unicodeScalars.contains(first) {
            return "\(first) is not a quotation mark of TOML; strings are written \"…\" or '…'"
        }
        let shown = TOMLText.excerpt(word)
        switch word.lowercased() {
        case "true", "false": return "\(word) is not a value; write \(word.lowercased())"
        case "yes", "on": return "\(word) is not a value; a switch is true or false, a string needs quotes: \(shown)"
        case "no", "off": return "\(word) is not a value; a switch is true or false, a string needs quotes: \(shown)"
        default: break
        }
        let bytes = Array(word.utf8)
        let isNumber = bytes.allSatisfy { (0x30...0x39).contains($0) || "+-_.eE:TZtz".utf8.contains($0) }
        guard isNumber, (0x30...0x39).contains(bytes[0]) || "+-.".utf8.contains(bytes[0]) else {
            return "\(shown) is not a value; a string needs quotes: \(shown)"
        }
        let digits = bytes.drop { "+-".utf8.contains($0) }
        if digits.allSatisfy({ (0x30...0x39).contains($0) }) {
            return digits.first == 0x30
                ? "\(shown) is not a number: it may not begin with 0"
                : "\(shown) is out of range; whole numbers go from \(Int64.min) to \(Int64.max)"
        }
        return "\(shown) is not a number or date of TOML; a string needs quotes"
    }
}
