import Configuration
import Glibc
import Linux

/// Replaces several files below one folder together: when one step fails, all files are as they were before.
///
/// 1. Every new file is written as a draft beside its target, and synced. Most failures, such as a full disk, happen here,
///    where nothing has changed yet.
/// 2. Every target that exists gets a second name, and its draft is renamed over it.
/// 3. The decisive file is renamed last. While its draft is there, the exchange is not decided.
///
/// A power cut may end an exchange anywhere. ``settle()`` then finishes it: it puts the kept files back if the exchange was
/// not decided, and removes them if it was. Putting back needs no space on the disk. Blocks; syncs the disk.
struct FileExchange {
    struct File {
        let path: String
        let bytes: [UInt8]
    }

    /// Called before each system call that changes the disk. A number other than 0 is the errno with which that call fails
    /// instead of being made.
    typealias Gate = @Sendable (_ doing: String) -> Int32

    private static let draftStem = ".first-boot"
    static let draftSuffix = "\(draftStem).new"
    static let keptSuffix = ".first-boot.old"

    /// All files lie below this folder.
    let folder: String
    /// The file whose renaming decides.
    let decisive: String
    /// Owner of the new files and folders; `nil` leaves them to the user who runs this.
    let owner: AtomicFile.Owner?
    var gate: Gate = { _ in 0 }

    /// Replaces the files, or changes nothing.
    /// - Parameter files: among them the decisive one. Each gets mode 0600.
    func replace(_ files: [File]) throws(SystemCallError) {
        var replaced: [String] = []
        let others = files.map(\.path).filter { $0 != decisive }
        do throws(SystemCallError) {
            try makeFolder(folder, mode: 0o755, isOurs: false)
            // Earlier versions left drafts of this name, which may be what fills the disk.
            for file in files { unlink("\(file.path).new") }
            // The decisive draft first: it says that the exchange is not decided.
            for file in files where file.path == decisive { try writeDraft(file) }
            for file in files where file.path != decisive {
                try makeFolders(above: file.path)
                try writeDraft(file)
            }
            try syncFolders(of: files.map(\.path))
            for path in others {
                replaced.append(path)
                try exchange(path)
            }
            try syncFolders(of: others)
            try keep(decisive)
            try call("replace \(decisive)") { rename(decisive + Self.draftSuffix, decisive) }
        } catch {
            undo(replaced, drafts: files.map(\.path))
            throw error
        }
        sync()
        clear(others)
    }

    /// Finishes an exchange that a power cut or a kill has ended, and removes its drafts.
    func settle() throws(SystemCallError) {
        let files = FolderEntries.files(below: folder)
        let isDecided = access(decisive + Self.draftSuffix, F_OK) != 0
        let kept = files.filter { $0.hasSuffix(Self.keptSuffix) }.map { String($0.dropLast(Self.keptSuffix.count)) }
        if isDecided {
            clear(kept.filter { $0 != decisive })
        } else {
            for path in kept { try putBack(path) }
            if !kept.isEmpty { sync() }
        }
        let drafts = files.filter { $0.hasSuffix(Self.draftSuffix) }.filter { $0 != decisive + Self.draftSuffix }
        for draft in drafts + (isDecided ? [] : [decisive + Self.draftSuffix]) {
            try call("remove \(draft)") { unlink(draft) }
        }
    }

    // MARK: Steps

    private func writeDraft(_ file: File) throws(SystemCallError) {
        try check("write \(file.path)")
        _ = try AtomicFile.draft(file.bytes, for: file.path + Self.draftStem, mode: 0o600, owner: owner)
    }

    /// Gives the target a second name, and its first name to the draft.
    private func exchange(_ path: String) throws(SystemCallError) {
        try keep(path)
        try call("replace \(path)") { rename(path + Self.draftSuffix, path) }
    }

    private func keep(_ path: String) throws(SystemCallError) {
        var information = stat()
        guard lstat(path, &information) == 0 else { return }
        try call("keep \(path)") {
            if information.st_mode & S_IFMT == S_IFDIR {
                errno = EISDIR
                return -1
            }
            return link(path, path + Self.keptSuffix)
        }
    }

    private func putBack(_ path: String) throws(SystemCallError) {
        try call("put \(path) back") { rename(path + Self.keptSuffix, path) }
        // Two names of one file: renaming one to the other leaves both (rename(2)).
        unlink(path + Self.keptSuffix)
    }

    /// Puts everything back as it was. What cannot be put back now is put back by ``settle()`` at the next start, because the
    /// decisive draft is still there.
    private func undo(_ replaced: [String], drafts: [String]) {
        for path in replaced.reversed() {
            if access(path + Self.keptSuffix, F_OK) == 0 {
                guard (try? putBack(path)) != nil else { return }
            } else if access(path + Self.draftSuffix, F_OK) != 0 {
                // There was no file of that name before.
                guard remove(path) else { return }
            }
        }
        guard remove(decisive + Self.keptSuffix) else { return }
        if !replaced.isEmpty { sync() }
        for path in drafts where path != decisive { guard remove(path + Self.draftSuffix) else { return } }
        _ = remove(decisive + Self.draftSuffix)
    }

    /// Removes what was kept once the exchange is decided; the decisive file's predecessor stays as `.old`. What cannot be
    /// removed now is removed by ``settle()``.
    private func clear(_ others: [String]) {
        if access(decisive + Self.keptSuffix, F_OK) == 0 {
            _ = try? call("keep \(decisive).old") { rename(decisive + Self.keptSuffix, "\(decisive).old") }
        }
        for path in others { _ = remove(path + Self.keptSuffix) }
    }

    /// - Returns: whether no file of that name is there any more.
    private func remove(_ path: String) -> Bool {
        (try? call("remove \(path)") { unlink(path) == 0 || errno == ENOENT ? 0 : -1 }) != nil
    }

    private func makeFolders(above path: String) throws(SystemCallError) {
        var partial = folder
        for name in path.dropFirst(folder.utf8.count).split(separator: "/").dropLast() {
            partial += "/\(name)"
            try makeFolder(partial, mode: 0o750, isOurs: true)
        }
    }

    private func makeFolder(_ path: String, mode: mode_t, isOurs: Bool) throws(SystemCallError) {
        var information = stat()
        if stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFDIR { return }
        try call("make the folder \(path)") { mkdir(path, mode) }
        if isOurs, let owner {
            try call("give the folder \(path) to its owner") { chown(path, owner.user, owner.group) }
        }
    }

    private func syncFolders(of paths: [String]) throws(SystemCallError) {
        let folders = Set(paths.map { String($0[..<($0.lastIndex(of: "/") ?? $0.startIndex)]) })
        for folder in folders.sorted() {
            let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else { throw SystemCallError(doing: "sync the folder \(folder)", code: errno) }
            defer { close(descriptor) }
            try call("sync the folder \(folder)") { fsync(descriptor) }
        }
    }

    private func call(_ doing: String, _ body: () -> Int32) throws(SystemCallError) {
        try check(doing)
        while body() != 0 {
            let code = errno
            guard code == EINTR else { throw SystemCallError(doing: doing, code: code) }
        }
    }

    private func check(_ doing: String) throws(SystemCallError) {
        let refusal = gate(doing)
        guard refusal == 0 else { throw SystemCallError(doing: doing, code: refusal) }
    }
}
