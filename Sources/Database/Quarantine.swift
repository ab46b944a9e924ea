internal import Glibc
internal import Linux

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
    var number = 1
    while exists("\(path).corrupt-\(number)") || exists("\(path).salvaged-\(number)")
        || (exists("\(path)-wal") && exists("\(path).corrupt-\(number)-wal"))
    {
        number += 1
    }
    let target = "\(path).corrupt-\(number)"
    // The log first, for certain: a log left alone would be thrown away by SQLite when it makes the new file. A file left
    // alone may look sound, as of its last checkpoint: `finishQuarantine` knows it by where its log is.
    for (from, to) in [("\(path)-wal", "\(target)-wal"), (path, target)] where exists(from) {
        try move(from, to, of: path)
    }
    return target
}

/// Finishes a quarantine that was cut short between the log and the file, and what is to be renamed after a salvage. To
/// be called before the file is opened.
/// - Returns: where the file lies now, if it had to be moved.
package func finishQuarantine(_ path: String) throws(QuarantineError) -> String? {
    var moved: String?
    var number = 1
    while true {
        let (damaged, salvaged) = ("\(path).corrupt-\(number)", "\(path).salvaged-\(number)")
        let hasLog = exists("\(damaged)-wal")
        if !exists(damaged), hasLog {
            if exists(salvaged) {
                // Only for order's sake: another opening does it as well.
                if !exists("\(salvaged)-wal") { try? move("\(damaged)-wal", "\(salvaged)-wal", of: path) }
            } else if exists(path), !exists("\(path)-wal") {
                // With a log of its own it has been opened since, and this one is not its any more.
                try move(path, damaged, of: path)
                moved = damaged
            }
        }
        guard hasLog || exists(damaged) || exists(salvaged) else { return moved }
        number += 1
    }
}

/// Renames a whole database, closed and with an empty log, to `path`, where there must be none. Durable.
package func adopt(_ file: String, as path: String) throws(QuarantineError) {
    // A log that lay beside would be taken for this file's.
    unlink("\(path)-wal")
    unlink("\(path)-shm")
    try move(file, path, of: path)
    unlink("\(file)-wal")
}

/// Whether a damaged file was moved aside from here before and is still kept.
package func hasQuarantined(_ path: String) -> Bool {
    exists("\(path).corrupt-1") || exists("\(path).salvaged-1")
}

private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

private func move(_ from: String, _ to: String, of path: String) throws(QuarantineError) {
    guard rename(from, to) == 0 else { throw QuarantineError(path: path, code: errno) }
    // Makes the rename durable.
    Folder.sync(of: path)
}
