internal import Glibc
internal import Linux

/// Why a damaged file could not be moved aside, or its folder not be looked at.
package struct QuarantineError: Error, Hashable, Sendable {
    package var path: String
    /// The error number of rename(2) or opendir(3).
    package var code: Int32

    /// What the kernel says.
    package var reason: String { ErrnoText.text(code) }

    package init(path: String, code: Int32) {
        self.path = path
        self.code = code
    }
}

/// Moves a damaged file and its log to `PATH.corrupt-N`, where N is larger than every number that is in use there.
/// Deletes nothing.
/// - Returns: where it lies now.
package func quarantine(_ path: String) throws(QuarantineError) -> String {
    let target = "\(path).corrupt-\(try QuarantinedFiles(of: path).freeNumber)"
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
    for number in try QuarantinedFiles(of: path).numbers {
        let (damaged, salvaged) = ("\(path).corrupt-\(number)", "\(path).salvaged-\(number)")
        guard !exists(damaged), exists("\(damaged)-wal") else { continue }
        if exists(salvaged) {
            // Only for order's sake: another opening does it as well.
            if !exists("\(salvaged)-wal") { try? move("\(damaged)-wal", "\(salvaged)-wal", of: path) }
        } else if exists(path), !exists("\(path)-wal") {
            // With a log of its own it has been opened since, and this one is not its any more.
            try move(path, damaged, of: path)
            moved = damaged
        }
    }
    return moved
}

/// Renames a damaged file that was read to `PATH.salvaged-N`, or under a number of its own where another file has that
/// name.
/// - Parameters:
///   - number: of `PATH.corrupt-N`.
/// - Returns: where it lies now.
package func finishSalvage(_ path: String, number: Int) throws(QuarantineError) -> String {
    let damaged = "\(path).corrupt-\(number)"
    var target = "\(path).salvaged-\(number)"
    if exists(target) { target = "\(path).salvaged-\(try QuarantinedFiles(of: path).freeNumber)" }
    // The log last: were there a cut in between, the next opening finishes it.
    try move(damaged, target, of: path)
    if exists("\(damaged)-wal") { try move("\(damaged)-wal", "\(target)-wal", of: path) }
    return target
}

/// Renames a whole database, closed and with an empty log, to `path`, where there must be none. Durable.
package func adopt(_ file: String, as path: String) throws(QuarantineError) {
    // A log that lay beside would be taken for this file's.
    unlink("\(path)-wal")
    unlink("\(path)-shm")
    try move(file, path, of: path)
    unlink("\(file)-wal")
}

/// Whether a damaged file was moved aside from here before and is still kept. No, when the folder cannot be looked at.
package func hasQuarantined(_ path: String) -> Bool { (try? QuarantinedFiles(of: path))?.isEmpty == false }

private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

private func move(_ from: String, _ to: String, of path: String) throws(QuarantineError) {
    guard rename(from, to) == 0 else { throw QuarantineError(path: path, code: errno) }
    // Makes the rename durable.
    Folder.sync(of: path)
}

func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}
