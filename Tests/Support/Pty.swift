import Glibc

/// The far end of a pty whose near end has a name in the file system: a serial line without hardware.
package final class Pty: Sendable {
    package let master: Int32
    package let path: String

    package init() throws {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY)
        // TIOCSPTLCK and TIOCGPTN (ioctl_tty(2)); Swift sees neither them nor unlockpt and ptsname.
        var locked: Int32 = 0
        var number: Int32 = 0
        guard ioctl(master, 0x4004_5431, &locked) == 0, ioctl(master, 0x8004_5430, &number) == 0 else {
            throw ChildProcess.SpawnFailure(description: "no pty: \(String(cString: strerror(errno)))")
        }
        path = "/dev/pts/\(number)"
    }

    deinit { close(master) }

    package func send(_ text: String) { send(Array(text.utf8)) }

    package func send(_ bytes: [UInt8]) { _ = write(master, bytes, bytes.count) }

    /// Whether the near end has sent something that ends so; takes what is there.
    package func received(upTo end: String) -> Bool {
        _ = fcntl(master, F_SETFL, O_NONBLOCK)
        var bytes = [UInt8](repeating: 0, count: 1_024)
        let count = read(master, &bytes, bytes.count)
        return count > 0 && String(decoding: bytes[..<count], as: UTF8.self).hasSuffix(end)
    }
}
