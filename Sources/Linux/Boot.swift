/// This boot of the kernel: instants of its clocks mean nothing on another one.
package enum Boot {
    /// A UUID that the kernel makes anew at each boot (`/proc/sys/kernel/random/boot_id`, random(4)); `nil` where `/proc`
    /// does not say.
    package static let identifier: String? = {
        guard let bytes = try? SmallFile.read("/proc/sys/kernel/random/boot_id", limit: 64) else { return nil }
        let text = String(decoding: bytes.prefix { $0 > 0x20 }, as: UTF8.self)
        return text.utf8.count == 36 ? text : nil
    }()
}
