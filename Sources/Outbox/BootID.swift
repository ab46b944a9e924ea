internal import Glibc

/// Which boot of the kernel an instant belongs to: `/proc/sys/kernel/random/boot_id` (random(4)), a UUID.
package struct BootID: Hashable, Sendable {
    package var name: String

    package init(_ name: String) { self.name = name }

    /// The running kernel's; `nil` where `/proc` does not say.
    package static func current() -> BootID? {
        let file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        let name = String(unsafeUninitializedCapacity: 36) { max(0, read(file, $0.baseAddress, 36)) }
        return name.utf8.count == 36 ? BootID(name) : nil
    }
}
