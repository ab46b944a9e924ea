package import Glibc

/// A `sockaddr_un`; a leading `@` names the abstract namespace (unix(7)).
package struct UnixSocketAddress {
    private var address = sockaddr_un()
    private let length: socklen_t

    /// `nil` when the path does not fit (107 bytes).
    package init?(_ path: String) {
        let bytes = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard !bytes.isEmpty, bytes.count < capacity else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { buffer in
            buffer.copyBytes(from: bytes)
            if bytes[0] == UInt8(ascii: "@") { buffer[0] = 0 }
        }
        // An abstract name is exactly as long as it says; a path ends at its NUL.
        length = socklen_t(
            MemoryLayout<sockaddr_un>.size - capacity + bytes.count + (bytes[0] == UInt8(ascii: "@") ? 0 : 1))
    }

    package mutating func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        let length = length
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
