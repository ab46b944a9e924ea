import Glibc
import Linux

/// What the first boot has to say to whoever looks at the gateway: kept in memory-backed storage until the next boot.
package enum BootReport {
    package static let path = "/run/tidegate-first-boot"
    private static let limit = 64 << 10

    /// One problem each, with its remedy; none when all went well, or nothing was to be done.
    package static func read(_ path: String = path) -> [String] {
        guard let bytes = try? SmallFile.read(path, limit: limit), !bytes.isEmpty else { return [] }
        return [String(decoding: bytes, as: UTF8.self)]
    }
}
