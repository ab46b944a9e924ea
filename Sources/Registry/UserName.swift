/// The name of an account, compared byte by byte: two spellings of one letter are two users, as in MQTT 5.0 §1.5.4.
package struct UserName: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The longest name, in bytes.
    package static let maximumBytes = 256

    package let text: String

    /// - Returns: `nil` for an empty or longer name and for one with a colon, which a password file cannot hold, or a
    ///   control character, which a terminal would obey.
    package init?(_ text: String) {
        guard (1...Self.maximumBytes).contains(text.utf8.count),
            text.unicodeScalars.allSatisfy({ $0 != ":" && $0.properties.generalCategory != .control })
        else { return nil }
        self.text = text
    }

    package var description: String { text }

    package static func == (a: UserName, b: UserName) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

    package static func < (a: UserName, b: UserName) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }

    package func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
        hasher.combine(0xFF as UInt8)
    }
}
