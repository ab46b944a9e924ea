import CZlib

/// Text files in one archive: POSIX ustar (pax(1), "ustar Interchange Format"), packed with gzip.
///
/// Written here, because tar(1) takes a name such as `a:b` for a host and one that begins with `-` for an option, wants the
/// files on the disk, and is not on every board.
struct TarArchive {
    private static let block = 512
    private var bytes: [UInt8] = []

    /// Adds a file with mode 0600, owned by root.
    /// - Parameters:
    ///   - name: at most 99 bytes; of a longer one the end is left out.
    ///   - modified: Unix seconds.
    mutating func add(_ name: String, _ contents: [UInt8], modified: Int64) {
        var header = [UInt8](repeating: 0, count: Self.block)
        func put(_ text: some Collection<UInt8>, at offset: Int) {
            for (index, byte) in text.enumerated() { header[offset + index] = byte }
        }
        func put(_ number: Int64, at offset: Int, digits: Int) {
            let text = String(number, radix: 8)
            put(
                (String(repeating: "0", count: max(0, digits - text.utf8.count)) + text).utf8.suffix(digits), at: offset
            )
        }
        put(name.utf8.prefix(99), at: 0)
        put(0o600, at: 100, digits: 7)
        put(0, at: 108, digits: 7)
        put(0, at: 116, digits: 7)
        put(Int64(contents.count), at: 124, digits: 11)
        put(max(0, modified), at: 136, digits: 11)
        put("        ".utf8, at: 148)
        put("0".utf8, at: 156)
        put("ustar\0".utf8, at: 257)
        put("00".utf8, at: 263)
        put("root".utf8, at: 265)
        put("root".utf8, at: 297)
        // The checksum is counted with itself as spaces.
        put(header.reduce(Int64(0)) { $0 + Int64($1) }, at: 148, digits: 6)
        header[154] = 0
        bytes += header + contents
        bytes += [UInt8](repeating: 0, count: (Self.block - contents.count % Self.block) % Self.block)
    }

    /// The archive, packed; `nil` when there is no memory for it.
    func packed() -> [UInt8]? {
        // Two empty blocks end an archive.
        let whole = bytes + [UInt8](repeating: 0, count: 2 * Self.block)
        let bound = czlib_gzip_bound(whole.count)
        var isPacked = true
        let result = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            count = czlib_gzip(whole, whole.count, buffer.baseAddress, bound)
            isPacked = count > 0
        }
        return isPacked ? result : nil
    }
}
