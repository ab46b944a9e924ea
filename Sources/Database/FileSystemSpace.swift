internal import Glibc

/// What a file system has left.
package enum FileSystemSpace {
    /// Bytes that this process may still write where `path` lies (statvfs(3), `f_bavail`); `nil` when it does not say.
    /// Cost: one system call.
    package static func available(at path: String) -> Int64? {
        var information = statvfs()
        guard statvfs(path, &information) == 0 else { return nil }
        return Int64(
            clamping: UInt64(information.f_bavail).multipliedReportingOverflow(by: UInt64(information.f_frsize))
                .partialValue)
    }
}
