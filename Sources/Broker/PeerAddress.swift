import NIOCore

/// Where a client comes from.
struct PeerAddress {
    /// For people: the IP address without its port, or "local".
    let text: String
    /// What counts as one peer: an IPv4 address, or the first 64 bits of an IPv6 one; `nil` for a Unix socket.
    let key: String?
    let isLoopback: Bool

    init(_ address: SocketAddress?) {
        guard let address, let text = address.ipAddress else {
            self.text = "local"
            key = nil
            isLoopback = true
            return
        }
        self.text = text
        switch address {
        case .v6:
            // The address stands at offset 8 (ipv6(7)).
            let bytes = address.withSockAddr { start, size in
                Array(UnsafeRawBufferPointer(start: start, count: size)[8..<24])
            }
            // An IPv4 peer of a listener for both (RFC 4291 §2.5.5.2).
            if bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF {
                key = bytes[12...].map { "\($0)" }.joined(separator: ".")
                isLoopback = bytes[12] == 127
            } else {
                key = bytes[..<8].map { String($0, radix: 16) }.joined(separator: ":")
                isLoopback = bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
            }
        default:
            key = text
            isLoopback = text.hasPrefix("127.")
        }
    }
}
