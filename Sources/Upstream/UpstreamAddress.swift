internal import Glibc

/// Where an upstream broker listens: `mqtt://host`, `mqtts://host:8883`, `mqtt://[2001:db8::1]:1883`.
package struct UpstreamAddress: Hashable, Sendable, CustomStringConvertible {
    package enum Transport: Hashable, Sendable {
        /// `mqtt://`, plain TCP; port 1883 unless the URL says otherwise.
        case tcp
        /// `mqtts://`, TLS over TCP; port 8883 unless the URL says otherwise. The certificate must name `host`.
        case tls

        var scheme: String { self == .tls ? "mqtts" : "mqtt" }
        var defaultPort: UInt16 { self == .tls ? 8883 : 1883 }
    }

    package var transport: Transport
    /// A host name, an IPv4 address or an IPv6 address without brackets.
    package var host: String
    package var port: UInt16

    package init(transport: Transport, host: String, port: UInt16? = nil) {
        self.transport = transport
        self.host = host
        self.port = port ?? transport.defaultPort
    }

    /// Reads a URL (RFC 3986, §3). No I/O: whether the host exists is found out when connecting.
    ///
    /// A user name or password in it is refused, since URLs end up in logs and process lists; the error never repeats
    /// them.
    package init(parsing url: String) throws(UpstreamURLError) {
        guard let colon = url.firstRange(of: "://") else { throw .missingScheme }
        switch url[..<colon.lowerBound].lowercased() {
        case "mqtt": transport = .tcp
        case "mqtts": transport = .tls
        default: throw .unknownScheme(String(url[..<colon.lowerBound]))
        }
        let rest = url[colon.upperBound...]
        let authority = rest.prefix { !"/?#".contains($0) }
        guard !rest.contains("@") else { throw .userInformation }
        let path = rest[authority.endIndex...]
        guard path.isEmpty || path == "/" else { throw .path(String(path)) }

        let portText: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw .badHost(String(authority)) }
            host = String(authority[authority.index(after: authority.startIndex)..<end])
            guard Self.isIPv6Literal(host) else { throw .badHost(host) }
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw .badHost(String(authority)) }
            portText = after.isEmpty ? nil : after.dropFirst()
        } else {
            let parts = authority.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            host = String(parts.first ?? "")
            guard !host.isEmpty else { throw .missingHost }
            if parts.count == 2, parts[1].contains(":") { throw .bareIPv6(String(authority)) }
            guard Self.isHostName(host) else { throw .badHost(host) }
            portText = parts.count == 2 ? parts[1] : nil
        }
        if let portText {
            guard portText.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }),
                let number = UInt16(portText), number > 0
            else { throw .badPort(String(portText)) }
            port = number
        } else {
            port = transport.defaultPort
        }
    }

    /// The URL, without the port where it is the scheme's own.
    package var description: String {
        let host = isIPv6Literal ? "[\(host)]" : host
        return "\(transport.scheme)://\(host)" + (port == transport.defaultPort ? "" : ":\(port)")
    }

    /// The URL with its port, for messages: where it is the scheme's own it is what a person has to check, too.
    var withPort: String {
        port == transport.defaultPort ? "\(self):\(port)" : description
    }

    /// Whether the host is this machine by its name or address: what is sent there does not leave the machine.
    package var isThisMachine: Bool {
        ["localhost", "localhost.localdomain", "ip6-localhost", "::1"].contains(host.lowercased())
            || host.hasPrefix("127.") && Self.isAddress(host)
    }

    /// Whether the host is an IPv6 address rather than a name.
    var isIPv6Literal: Bool { host.contains(":") }

    /// Whether the host is an address rather than a name.
    var isLiteral: Bool { Self.isAddress(host) }

    /// Whether it is an IPv4 or IPv6 address (inet_pton(3)), perhaps with a zone.
    static func isAddress(_ host: String) -> Bool {
        var address = in6_addr()
        let bare = String(host.prefix { $0 != "%" })
        return inet_pton(AF_INET, bare, &address) == 1 || inet_pton(AF_INET6, bare, &address) == 1
    }

    /// Letters, digits, `-`, `.` and, because local networks have them, `_`; at most 253 bytes (RFC 1123, §2.1).
    private static func isHostName(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count), text.utf8.first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }

    /// Hexadecimal groups, at least two colons, perhaps an IPv4 tail and a zone (`fe80::1%eth0`). The resolver has the
    /// last word.
    private static func isIPv6Literal(_ text: String) -> Bool {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = parts.first, address.utf8.count <= 45 else { return false }
        if parts.count == 2, !isHostName(String(parts[1])) { return false }
        let colons = address.utf8.count { $0 == UInt8(ascii: ":") }
        return colons >= 2 && address.utf8.allSatisfy { "0123456789abcdefABCDEF:.".utf8.contains($0) }
    }
}

/// What is wrong with an upstream's URL. Says what was expected; never repeats a password.
package enum UpstreamURLError: Error, Hashable, Sendable, CustomStringConvertible {
    case missingScheme
    case unknownScheme(String)
    /// `user@` or `user:password@`.
    case userInformation
    case missingHost
    case badHost(String)
    /// An IPv6 address without brackets.
    case bareIPv6(String)
    case badPort(String)
    /// Something after the port.
    case path(String)

    package var description: String {
        switch self {
        case .missingScheme: "the URL has no scheme: write mqtt://host or mqtts://host"
        case .unknownScheme(let scheme): "unknown scheme \"\(scheme)\": expected mqtt or mqtts"
        case .userInformation:
            "the URL holds a user name or password: set username and password_file instead"
        case .missingHost: "the URL has no host: write mqtt://host or mqtts://host"
        case .badHost(let host): "\"\(host)\" is not a host name or address"
        case .bareIPv6(let text): "an IPv6 address stands in brackets: [\(text)]"
        case .badPort(let port): "\"\(port)\" is not a port: expected 1…65535"
        case .path(let path): "unexpected \"\(path)\" after the host: an MQTT URL ends with the port"
        }
    }
}
