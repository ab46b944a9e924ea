import Glibc

/// Small files, whole.
package enum FileBytes {
    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        package let path: String
        package let code: Int32
        /// "no such file or directory (ENOENT)" in the C library's words.
        package var description: String { code == EFBIG ? "too large" : String(cString: strerror(code)) }
        package var isMissing: Bool { code == ENOENT }
    }

    /// The file's bytes; fails with EFBIG beyond `limit` bytes. Blocks.
    package static func read(_ path: String, limit: Int) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(path: path, code: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw Failure(path: path, code: errno)
            }
            if count == 0 { return bytes }
            guard bytes.count + count <= limit else { throw Failure(path: path, code: EFBIG) }
            bytes += chunk[..<count]
        }
    }
}
