internal import Glibc

/// Why a damaged file could not be moved aside.
package struct QuarantineError: Error, Hashable, Sendable {
    package var path: String
    /// rename(2)'s error number.
    package var code: Int32
}

/// Moves a damaged file and its log to the first free `PATH.corrupt-N`: a number that no
/// `PATH.salvaged-N` has either. Deletes nothing.
/// - Returns: where it lies now.
package func quarantine(_ path: String) throws(QuarantineError) -> String {
    func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
    var number = 1
    while exists("\(path).corrupt-\(number)") || exists("\(path).salvaged-\(number)")
        || (exists("\(path)-wal") && exists("\(path).corrupt-\(number)-wal"))
    {
        number += 1
    }
    let target = "\(path).corrupt-\(number)"
    // The log first: were the power to fail between the two, a log left alone would be thrown away by SQLite when it
    // makes the new file, and a damaged file left alone is found damaged again.
    for (from, to) in [("\(path)-wal", "\(target)-wal"), (path, target)] where exists(from) {
        guard rename(from, to) == 0 else { throw QuarantineError(path: path, code: errno) }
    }
    syncFolder(of: path)
    return target
}

/// Makes the renames durable. A file system that cannot sync a folder keeps them as well as it can.
private func syncFolder(of path: String) {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard file >= 0 else { return }
    fsync(file)
    close(file)
}
