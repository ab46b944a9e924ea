/// From which web pages WebSocket connections may come (RFC 6455 §10.2). A browser lets any page connect to any address
/// that it can reach, with the page's own origin in the handshake; programs send none. A value; pure.
package struct OriginPolicy: Sendable {
    /// As the settings have them; `*`: any.
    let allowed: [String]
    /// Clients that give no user name are served: that a page can reach the listener is all it needs.
    let isAnonymous: Bool

    package init(allowed: [String], isAnonymous: Bool) {
        self.allowed = allowed
        self.isAnonymous = isAnonymous
    }

    /// - Parameters:
    ///   - origins: the values of all `Origin` headers.
    ///   - host: of the `Host` header.
    package func permits(origins: [String], host: String?) -> Bool {
        guard let text = origins.first else { return true }
        guard origins.count == 1 else { return false }
        if allowed.contains("*") { return true }
        let origin = Self.normalized(text)
        if allowed.contains(where: { Self.normalized($0) == origin }) { return true }
        guard let name = Self.hostName(ofOrigin: origin), let host, Self.hostName(host) == name else { return false }
        return !isAnonymous || Self.isLocal(name)
    }

    /// `scheme://host[:port]`; `nil`: not an origin that settings may name.
    static func isOrigin(_ text: String) -> Bool {
        if text == "*" { return true }
        let origin = normalized(text)
        guard let name = hostName(ofOrigin: origin), !name.isEmpty else { return false }
        let rest = origin[(origin.firstRange(of: "://")?.upperBound ?? origin.startIndex)...]
        return !rest.contains { $0 == "/" || $0 == "?" || $0 == "#" || $0 == "@" || $0 == " " || $0 == "*" }
    }

    /// Lower case, without the port that its scheme has anyway.
    private static func normalized(_ text: String) -> String {
        var origin = text.lowercased()
        if origin.hasSuffix("/"), !origin.hasSuffix("//") { origin.removeLast() }
        for (scheme, port) in [("http://", ":80"), ("https://", ":443")]
        where origin.hasPrefix(scheme) && origin.hasSuffix(port) {
            origin.removeLast(port.count)
        }
        return origin
    }

    private static func hostName(ofOrigin origin: String) -> String? {
        guard let range = origin.firstRange(of: "://") else { return nil }
        let scheme = origin[..<range.lowerBound]
        guard scheme == "http" || scheme == "https" else { return nil }
        return hostName(String(origin[range.upperBound...]))
    }

    /// The name or address of `host[:port]`, in lower case.
    private static func hostName(_ text: String) -> String {
        let text = text.lowercased()
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") { return String(text[...end]) }
        return String(text.prefix { $0 != ":" })
    }

    /// Nobody outside can give such a name an address of this network, and have a page of theirs pass for the gateway's own.
    private static func isLocal(_ name: String) -> Bool {
        if name.hasPrefix("[") { return true }
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        if labels.count == 1 { return !name.isEmpty }
        if labels.count == 4, labels.allSatisfy({ UInt8($0) != nil }) { return true }
        return ["localhost", "local", "lan", "internal"].contains(labels.last) || name.hasSuffix(".home.arpa")
    }
}
