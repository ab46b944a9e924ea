internal import Database
internal import Glibc
internal import Linux

/// Says beside the state file (`state.db.access`) whether access rules are in force, so that a damaged state file does
/// not take this fact along: a site that never had rules stays open then, and one that had them stays closed.
///
/// It is changed to `rules` before the first rule is stored, and to `open` after the last one is gone: a crash between
/// the two leaves a site closed that could be open, never the other way round.
struct AccessMarker {
    enum Content: String {
        /// There are no rules: everything is allowed.
        case open
        /// There are rules, or there were some that got lost.
        case rules
    }

    let path: String

    /// - Parameter statePath: of the state file.
    init(beside statePath: String) { path = "\(statePath).access" }

    /// `nil`: there is none, or it cannot be read, and nothing is known.
    func read() -> Content? {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = Glibc.read(file, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return Content(rawValue: String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }

    /// Durable when it returns.
    func write(_ content: Content) throws(SQLiteError) {
        guard read() != content else { return }
        do throws(SystemCallError) {
            try AtomicFile.write(Array("\(content.rawValue)\n".utf8), to: path, mode: 0o600)
        } catch {
            throw SQLiteError(storage: error.code, doing: error.doing)
        }
    }
}

extension SQLiteError {
    /// What the kernel said about the storage, as SQLite would say it.
    init(storage code: Int32, doing: String) {
        let condition: Condition =
            switch code {
            case ENOSPC, EDQUOT: .diskFull
            case EROFS, EACCES, EPERM: .readOnly
            case ENOENT, ENOTDIR: .cannotOpen
            default: .inputOutput
            }
        self.init(condition: condition, doing: doing, reason: ErrnoText.text(code))
    }
}
