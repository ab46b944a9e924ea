import CGpiod
import Glibc
import TestSupport
import Testing

/// The line keeper with descriptors that are no GPIO lines: what it keeps, gives and refuses. What it does to lines,
/// `GpioPulseTests` and `Tests/VM/cgpiod-check.c` show on the kernel's simulator.
@Suite(.timeLimit(.minutes(1))) struct LineKeeperTests {
    @Test func theKeeperGivesBackWhatItWasHanded() throws {
        let directory = try TemporaryDirectory()
        let socket = directory["keeper"]
        var changes = cgpiod_changes()
        #expect(cgpiod_kept(socket, "a", &changes) == -1 && errno == ENOENT)
        for name in ["a", "b"] {
            let path = try directory.write(name, to: "file-\(name)")
            let file = open(path, O_RDWR | O_CLOEXEC)
            #expect(cgpiod_keep(socket, name, file) == 0)
            close(file)
        }
        for name in ["a", "b"] {
            let file = cgpiod_kept(socket, name, &changes)
            var byte: UInt8 = 0
            #expect(file >= 0 && pread(file, &byte, 1, 0) == 1 && byte == Array(name.utf8)[0])
            #expect(changes.boot_ns.0 == 0 && changes.boot_ns.1 == 0)
            close(file)
        }
        // What cannot be set is not promised either.
        changes.boot_ns.0 = .max
        #expect(cgpiod_kept_set(socket, "a", true, &changes) == -1 && errno == ENOTTY)
        let file = cgpiod_kept(socket, "a", &changes)
        #expect(file >= 0 && changes.boot_ns.0 == 0)
        close(file)
        #expect(cgpiod_release(socket, "a") == 0)
        #expect(cgpiod_release(socket, "a") == -1 && errno == ENOENT)
        #expect(cgpiod_kept_set(socket, "a", true, &changes) == -1 && errno == ENOENT)
        #expect(cgpiod_release(socket, "b") == 0)
    }

    @Test func theKeeperSaysWhenItIsFull() throws {
        let directory = try TemporaryDirectory()
        let socket = directory["keeper"]
        let file = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(file) }
        for number in 0..<64 { #expect(cgpiod_keep(socket, "\(number)", file) == 0) }
        #expect(cgpiod_keep(socket, "64", file) == -1 && errno == ENOSPC)
        // In the place of one that it has, there is room.
        #expect(cgpiod_keep(socket, "63", file) == 0)
        #expect(cgpiod_keep(socket, String(repeating: "x", count: 128), file) == -1 && errno == ENAMETOOLONG)
        for number in 0..<64 { #expect(cgpiod_release(socket, "\(number)") == 0) }
    }
}
