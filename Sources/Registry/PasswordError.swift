/// Why a password cannot be hashed. Says nothing of the password.
package enum PasswordError: Error, Hashable, Sendable, CustomStringConvertible {
    case empty
    case tooLong
    case containsNUL
    /// libcrypt failed: out of memory, or built without yescrypt.
    case unavailable

    package var description: String {
        switch self {
        case .empty: "the password is empty"
        case .tooLong: "the password is longer than \(PasswordHash.maximumPasswordBytes) bytes"
        case .containsNUL: "the password contains a NUL byte"
        case .unavailable: "the password cannot be hashed: libcrypt refused (out of memory, or without yescrypt)"
        }
    }
}
