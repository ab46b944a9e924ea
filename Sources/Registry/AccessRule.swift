internal import MQTT

/// One permission: who may do what to which topics. There are no prohibitions; what no rule allows is denied.
package struct AccessRule: Hashable, Sendable {
    /// What a rule permits.
    package enum Access: String, Hashable, Sendable, CaseIterable {
        /// To be sent messages on matching topics. Needed beside `subscribe`.
        case read
        /// To publish to matching topics.
        case write
        /// To subscribe with filters that match nothing but what the rule's filter matches.
        case subscribe
        /// All three.
        case readwrite

        /// Whether it permits an action; asked for `readwrite`, whether it permits all.
        package func permits(_ action: Access) -> Bool { self == .readwrite || self == action }
    }

    /// The user it is for; `nil` for everybody, those without a name too.
    package let user: UserName?
    package let access: Access
    /// A topic filter. In its levels `{user}` stands for the user name, which is proved, and `{client}` for the client
    /// identifier, which each client chooses: alone it confines nobody.
    package let filter: String

    /// - Throws: when the filter is none, is a shared one, or has braces around anything but `client` and `user`.
    package init(user: UserName?, access: Access, filter: String) throws(AccessRuleError) {
        guard Topic.isValidFilter(filter) else { throw .badFilter }
        guard !Topic.isShared(filter) else { throw .sharedFilter }
        // A placeholder misspelt would quietly permit nothing.
        for piece in Self.pieces(filter) {
            if case .text(let text) = piece, text.utf8.contains(where: { $0 == 0x7B || $0 == 0x7D }) {
                throw .unknownPlaceholder
            }
        }
        self.user = user
        self.access = access
        self.filter = filter
    }

    /// Whether the rule speaks of a user.
    func isFor(_ user: String?) -> Bool {
        guard let own = self.user else { return true }
        return user.map { $0.utf8.elementsEqual(own.text.utf8) } ?? false
    }

    /// The filter asks for the client identifier.
    package var namesClient: Bool {
        Self.pieces(filter).contains { if case .client = $0 { true } else { false } }
    }

    /// The filter asks for the user name.
    package var namesUser: Bool {
        Self.pieces(filter).contains { if case .user = $0 { true } else { false } }
    }

    /// The filter for one user and client; `nil` when a name that it asks for is missing or is no plain level.
    ///
    /// A name with `/`, `+` or `#` would stand for other topics than its own, and one that begins with `$` could open
    /// the broker's own topics: none of them is ever put in.
    func filter(user: String?, client: String) -> String? {
        var result = ""
        for piece in Self.pieces(filter) {
            switch piece {
            case .text(let text): result += text
            case .client:
                guard Self.isPlainLevel(client) else { return nil }
                result += client
            case .user:
                guard let user, Self.isPlainLevel(user) else { return nil }
                result += user
            }
        }
        return Topic.isValidFilter(result) ? result : nil
    }

    /// Whether a name may stand as one level of a topic filter.
    package static func isPlainLevel(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.first != UInt8(ascii: "$")
            && name.unicodeScalars.allSatisfy {
                $0 != "/" && $0 != "+" && $0 != "#" && $0.properties.generalCategory != .control
            }
    }

    private enum Piece {
        case text(Substring)
        case client
        case user
    }

    /// The filter cut at its placeholders. What is put in is not looked at again.
    private static func pieces(_ filter: String) -> [Piece] {
        var pieces: [Piece] = []
        var rest = Substring(filter)
        var start = rest.startIndex
        while let brace = rest.utf8[start...].firstIndex(of: UInt8(ascii: "{")) {
            let found: (Piece, Int)? =
                rest.utf8[brace...].starts(with: "{client}".utf8)
                ? (.client, 8) : rest.utf8[brace...].starts(with: "{user}".utf8) ? (.user, 6) : nil
            guard let (piece, length) = found else {
                start = rest.utf8.index(after: brace)
                continue
            }
            pieces.append(.text(rest[..<brace]))
            pieces.append(piece)
            rest = rest[rest.utf8.index(brace, offsetBy: length)...]
            start = rest.startIndex
        }
        pieces.append(.text(rest))
        return pieces
    }
}
