import Glibc
package import Linux

/// The users that the system knows (passwd(5)).
package enum SystemUser {
    /// A user's numbers; `nil` when there is no such user.
    package static func identity(of name: String) -> AtomicFile.Owner? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var text = [CChar](repeating: 0, count: 4_096)
        guard getpwnam_r(name, &entry, &text, text.count, &found) == 0, found != nil else { return nil }
        return AtomicFile.Owner(user: entry.pw_uid, group: entry.pw_gid)
    }
}
