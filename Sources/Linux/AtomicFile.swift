package import Glibc

/// Small files that are replaced whole or not at all, also by a power cut.
///
/// The calls block for as long as the disk takes. Two writers of one path at a time are a mistake of the caller's: they
/// share the draft `PATH.new`.
package enum AtomicFile {
    /// To whom a file belongs (chown(2)).
    package struct Owner: Hashable, Sendable {
        package var user: uid_t
        package var group: gid_t

        package init(user: uid_t, group: gid_t) {
            self.user = user
            self.group = group
        }
    }

    /// What a file is to hold, on the disk beside it: written and synced, not yet in its place. The value must be handed to
    /// ``commit()`` or ``discard()``.
    package struct Draft: Hashable, Sendable {
        /// The file that it will replace.
        package let target: String
        /// Where it lies until then.
        package let path: String

        /// Puts the draft in its place, and makes that durable. What stood there is gone.
        /// - Throws: when it cannot be renamed; the draft is removed then, and the file is as it was.
        package func commit() throws(SystemCallError) {
            guard rename(path, target) == 0 else {
                let code = errno
                unlink(path)
                throw SystemCallError(doing: "replace \(target)", code: code)
            }
            Folder.sync(of: target)
        }

        /// Removes the draft; the file stays as it is.
        package func discard() { unlink(path) }
    }

    /// Replaces the file at `path`, and returns when that is durable.
    /// - Parameters:
    ///   - mode: of the new file, whatever the umask is.
    ///   - owner: `nil`: the process's own.
    /// - Throws: what the kernel said, with the path. The file is as it was then, and no draft is left on the disk.
    package static func write(
        _ bytes: some Collection<UInt8>, to path: String, mode: mode_t = 0o640, owner: Owner? = nil
    ) throws(SystemCallError) {
        try draft(bytes, for: path, mode: mode, owner: owner).commit()
    }

    /// Writes and syncs what `path` is to hold, without touching it: several files can be made ready before the first is
    /// replaced.
    /// - Parameters:
    ///   - mode: of the new file, whatever the umask is.
    ///   - owner: `nil`: the process's own.
    package static func draft(
        _ bytes: some Collection<UInt8>, for path: String, mode: mode_t = 0o640, owner: Owner? = nil
    ) throws(SystemCallError) -> Draft {
        let draft = Draft(target: path, path: "\(path).new")
        // An earlier process may have left one, and what stands there must not be followed if it is a link.
        unlink(draft.path)
        let file = open(draft.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw SystemCallError(doing: "write \(draft.path)", code: errno) }
        var failed = fill(file, bytes)
        // The owner first: a change of owner takes special bits of the mode away.
        if failed == nil, let owner, fchown(file, owner.user, owner.group) != 0 { failed = errno }
        if failed == nil, fchmod(file, mode) != 0 { failed = errno }
        if failed == nil, fsync(file) != 0 { failed = errno }
        if close(file) != 0, failed == nil { failed = errno }
        if let failed {
            draft.discard()
            throw SystemCallError(doing: "write \(draft.path)", code: failed)
        }
        return draft
    }

    /// - Returns: an errno; `nil` when everything is written.
    private static func fill(_ file: Int32, _ bytes: some Collection<UInt8>) -> Int32? {
        let bytes = Array(bytes)
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count < 0 ? errno : ENOSPC }
            done += count
        }
        return nil
    }
}

/// Folders, which hold the names of files.
package enum Folder {
    /// Makes the folder of `path` durable: which names are in it, and which files they stand for. Best effort: a file
    /// system that cannot sync a folder keeps it as well as it can.
    package static func sync(of path: String) {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard file >= 0 else { return }
        fsync(file)
        close(file)
    }
}

/// Small files, read whole.
package enum SmallFile {
    /// The file's bytes. Blocks; signals do not interrupt it.
    /// - Throws: `EFBIG` beyond `limit` bytes, else what the kernel said; never a part of the file.
    package static func read(_ path: String, limit: Int) throws(SystemCallError) -> [UInt8] {
        let doing = "read \(path)"
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw SystemCallError(doing: doing, code: errno) }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemCallError(doing: doing, code: errno) }
            if count == 0 { return bytes }
            guard bytes.count + count <= limit else { throw SystemCallError(doing: doing, code: EFBIG) }
            bytes += chunk[..<count]
        }
    }
}
