internal import Glibc

/// One version of a file: when two stamps of a path differ, the file is another one or was changed in between (stat(2)).
package struct FileStamp: Hashable, Sendable {
    private var device: UInt64
    private var inode: UInt64
    private var size: Int64
    private var seconds: Int
    private var nanoseconds: Int
    // A file that could not be read is another one once its owner or mode has changed.
    private var mode: UInt32
    private var user: UInt32
    private var group: UInt32

    /// `nil` where there is no file, or none that may be looked at. Follows links. Cost: one system call.
    package init?(_ path: String) {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        device = UInt64(information.st_dev)
        inode = UInt64(information.st_ino)
        size = Int64(information.st_size)
        seconds = Int(information.st_mtim.tv_sec)
        nanoseconds = Int(information.st_mtim.tv_nsec)
        mode = information.st_mode
        user = information.st_uid
        group = information.st_gid
    }

    /// It is the same file, and nobody has written to it; its owner and mode may have changed.
    package func isUnwritten(since other: FileStamp) -> Bool {
        device == other.device && inode == other.inode && size == other.size && seconds == other.seconds
            && nanoseconds == other.nanoseconds
    }
}
