package import Glibc

/// Where a Unix socket is (unix(7)): a path, or a name in the abstract namespace, which is written with a leading `@`.
package struct UnixSocketAddress: Sendable {
    /// What fits: bytes of a path, or of a name with its `@`.
    package static let longestPath = 107

    private var address = sockaddr_un()
    private let length: socklen_t

    /// - Throws: `ENAMETOOLONG` beyond ``longestPath`` bytes, `EINVAL` for an empty path or one with a NUL.
    package init(_ path: String) throws(SystemCallError) {
        let bytes = Array(path.utf8)
        let doing = "use the socket \(path)"
        guard bytes.count <= Self.longestPath else { throw SystemCallError(doing: doing, code: ENAMETOOLONG) }
        guard !bytes.isEmpty, !bytes.contains(0) else { throw SystemCallError(doing: doing, code: EINVAL) }
        let isAbstract = bytes[0] == UInt8(ascii: "@")
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        // An abstract name is exactly as long as it says; a path ends with its NUL.
        length = socklen_t(MemoryLayout<sockaddr_un>.size - capacity + bytes.count + (isAbstract ? 0 : 1))
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { buffer in
            buffer.copyBytes(from: bytes)
            if isAbstract { buffer[0] = 0 }
        }
    }

    /// Calls `body` with the address as bind(2), connect(2) and sendto(2) take it.
    package func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
