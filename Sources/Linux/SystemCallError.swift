internal import CLinux
internal import Glibc

/// An error number of the kernel's in words.
package enum ErrnoText {
    /// "permission denied (EACCES)"; "error 4711" for a number without a meaning.
    ///
    /// Safe on any thread, which strerror(3) is not.
    package static func text(_ code: Int32) -> String {
        guard let text = clinux_error_text(code), let name = clinux_error_name(code) else { return "error \(code)" }
        return "\(lowercasedStart(String(cString: text))) (\(String(cString: name)))"
    }

    /// Of the calling thread's last failed call. To be asked before anything else is called.
    package static var last: String { text(errno) }

    /// "Permission denied" within a sentence; "RPC version wrong" stays as it is.
    private static func lowercasedStart(_ text: String) -> String {
        let second = text.dropFirst().first
        guard second?.isUppercase != true else { return text }
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}

/// A system call that failed: what was tried, and the kernel's reason.
package struct SystemCallError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Continues "cannot": "write /var/lib/tidegate/clock".
    package var doing: String
    /// An errno.
    package var code: Int32
    /// What to do; `nil` when there is nothing to say.
    package var remedy: String?

    /// - Parameter remedy: what helps against the usual reasons unless given.
    package init(doing: String, code: Int32, remedy: String? = nil) {
        self.doing = doing
        self.code = code
        self.remedy = remedy ?? Self.remedy(against: code)
    }

    /// "no space left on device (ENOSPC)".
    package var reason: String { ErrnoText.text(code) }

    package var description: String { "cannot \(doing): \(reason)" + (remedy.map { "\n  try: \($0)" } ?? "") }

    /// What helps whatever was tried; `nil` where that depends on it.
    package static func remedy(against code: Int32) -> String? {
        switch code {
        case EACCES, EPERM: "check the owner and mode of the file and of its folders (ls -l)"
        case EDQUOT, ENOSPC: "free some space on the disk (df -h)"
        case EIO: "check the disk or card (journalctl -k)"
        case EMFILE, ENFILE: "raise the limit of open files (LimitNOFILE= in the unit)"
        case ENOMEM: "free memory (free -m)"
        case EROFS: "find out why the disk is mounted read-only (journalctl -k), and mount it writable again"
        default: nil
        }
    }
}
