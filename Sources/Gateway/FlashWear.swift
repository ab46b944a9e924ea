import Linux

/// What this process does to the flash.
enum FlashWear {
    /// Bytes that the process caused to be written to storage since its start (proc(5), `/proc/pid/io`, `write_bytes`);
    /// `nil` where the kernel does not say.
    static var writtenBytes: UInt64? {
        guard let bytes = try? SmallFile.read("/proc/self/io", limit: 4_096) else { return nil }
        let key = "write_bytes: "
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(key) }.flatMap {
            UInt64($0.dropFirst(key.count))
        }
    }
}
