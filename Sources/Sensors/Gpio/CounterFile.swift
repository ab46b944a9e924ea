import Glibc

/// A counter's total in a file of its own, which outlives the process and, a little older, a power cut.
///
/// Two places are written in turn, each with its own checksum: what a power cut damages is at most the place that was not
/// yet synced. Written without a sync, a total survives the death of the process at once; a sync makes it survive a power
/// cut, and costs the flash one page.
package struct CounterFile: ~Copyable {
    /// Bytes between the two places: a page each, so that they never share a sector or a flash page.
    private static let distance = 4_096
    private static let magic: UInt64 = 0x3174_6E63_6774

    private let descriptor: Int32
    private let path: String
    private var generation: UInt64
    /// What the file held when it was opened; `nil`: nothing, or nothing whole.
    package let initial: UInt64?
    /// Something was there, and damaged in both places.
    package let isDamaged: Bool

    /// Opens the file, or makes it; its folder too.
    package init(path: String) throws(SensorError) {
        if let slash = path.lastIndex(of: "/"), slash > path.startIndex { mkdir(String(path[..<slash]), 0o750) }
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard file >= 0 else { throw SensorError(doing: "keep a counter in \(path)", code: errno) }
        // Properties only from here on, where nothing throws: Swift 6.2.3 fails on leaving a ~Copyable value half-made.
        self.path = path
        descriptor = file
        var best: (generation: UInt64, total: UInt64)?
        var isWritten = false
        for place in 0..<2 {
            var words = [UInt64](repeating: 0, count: 4)
            let size = words.withUnsafeMutableBytes {
                pread(file, $0.baseAddress, $0.count, off_t(place * Self.distance))
            }
            guard size == 32 else { continue }
            if words.contains(where: { $0 != 0 }) { isWritten = true }
            let isWhole = words[0] == Self.magic && words[3] == Self.checksum(words[1], words[2])
            if isWhole, words[1] >= best?.generation ?? 0 { best = (words[1], words[2]) }
        }
        generation = (best?.generation ?? 0) + 1
        initial = best?.total
        isDamaged = isWritten && best == nil
    }

    deinit { close(descriptor) }

    /// Writes the total; `sync`: so that it survives a power cut.
    package mutating func write(_ total: UInt64, sync: Bool) throws(SensorError) {
        let words = [Self.magic, generation, total, Self.checksum(generation, total)]
        let place = off_t(Int(generation % 2) * Self.distance)
        let size = words.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, place) }
        guard size == 32, !sync || fdatasync(descriptor) == 0 else {
            throw SensorError(
                doing: "keep a counter in \(path)", code: size < 0 || size == 32 ? errno : ENOSPC,
                remedies: [ENOSPC: "free some space on the disk"])
        }
        // The next goes to the other place: this one is safe now.
        if sync { generation += 1 }
    }

    /// The 64-bit FNV-1a hash, which a torn write does not happen to have.
    private static func checksum(_ words: UInt64...) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for word in words {
            for byte in 0..<8 { hash = (hash ^ (word >> UInt64(byte * 8) & 0xFF)) &* 0x100_0000_01B3 }
        }
        return hash
    }
}
