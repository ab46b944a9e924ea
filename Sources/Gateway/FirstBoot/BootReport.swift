import Glibc

/// What ``FirstBoot`` has to say to whoever looks at the gateway: kept in memory-backed storage until the next boot.
enum BootReport {
    static let path = "/run/tidegate-first-boot"
    private static let limit = 64 << 10

    /// One problem each, with its remedy; none when all went well, or nothing was to be done.
    static func read(_ path: String = path) -> [String] {
        guard let bytes = try? FileBytes.read(path, limit: limit), !bytes.isEmpty else { return [] }
        return [String(decoding: bytes, as: UTF8.self)]
    }
}
