internal import Database
internal import Glibc

/// What the file system leaves to the outbox. Pure: what was measured is a parameter.
///
/// The last `minimumFree` bytes are for the classes that must go on when all others have to make room
/// (``ClassLimits/isReserved``).
struct DiskSpace: Hashable, Sendable {
    /// In bytes.
    let minimumFree: Int64
    /// Bytes that could still be written when it was last measured, those that are free inside the file included; `nil`
    /// when nobody knows.
    private(set) var available: Int64?

    init(minimumFree: Int64) { self.minimumFree = minimumFree }

    mutating func measured(free: Int64?, insideFile: Int64) { available = free.map { $0 + insideFile } }

    /// By how many bytes a class may still grow; 0 when it must make do with what it has.
    func room(isReserved: Bool) -> Int64 {
        guard let available, !isReserved else { return .max }
        return max(0, available - minimumFree)
    }

    var isShort: Bool { room(isReserved: false) == 0 }
}

/// A file of its own that holds some space, to be given up when the disk is full: what must be stored then can be.
struct Ballast {
    let path: String
    let bytes: Int64
    private(set) var isHeld: Bool

    init(path: String, bytes: Int64) {
        self.path = path
        self.bytes = bytes
        isHeld = access(path, F_OK) == 0
    }

    /// Takes the space (posix_fallocate(3)): without writing anything, but on a file system that knows no other way.
    mutating func hold() {
        guard !isHeld, bytes > 0 else { return }
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o640)
        guard file >= 0 else { return }
        defer { close(file) }
        isHeld = posix_fallocate(file, 0, off_t(bytes)) == 0
        if !isHeld { unlink(path) }
    }

    /// - Returns: whether there was any.
    mutating func release() -> Bool {
        guard isHeld else { return false }
        unlink(path)
        isHeld = false
        return true
    }
}
