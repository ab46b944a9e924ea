/// Writes TOML.
enum TOMLText {
    /// `text` in quotes, with escapes where needed: always one line.
    static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case "\r": out += "\\r"
            // C0 and DEL may not stand in TOML; C1 confuses terminals.
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}": out += "\\u" + hex(scalar)
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    /// `quoted`, cut where it is too long for a message.
    static func excerpt(_ text: String, limit: Int = 60) -> String {
        let start = text.unicodeScalars.prefix(limit)
        return quoted(start.endIndex == text.endIndex ? text : String(start) + "…")
    }

    /// `name` as a key: bare where that is possible.
    static func key(_ name: String) -> String {
        !name.isEmpty && name.unicodeScalars.allSatisfy(isBare) ? name : excerpt(name)
    }

    /// A character of a bare key, `A-Za-z0-9_-`.
    static func isBare(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "A"..."Z", "a"..."z", "0"..."9", "-", "_": true
        default: false
        }
    }

    /// The digits of `\uXXXX`.
    static func hex(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.utf8.count)) + digits
    }
}
