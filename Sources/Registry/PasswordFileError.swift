/// What is wrong with a password file, line by line. Repeats nothing of what stands there: it may be a password.
package struct PasswordFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// After so many the rest of the file is not looked at.
    package static let maximumMistakes = 20

    package enum Reason: Error, Hashable, Sendable, CustomStringConvertible {
        case fileTooLarge
        case noColon
        case notUTF8
        case badUserName
        case hash(PasswordHashError)
        /// The user stands on an earlier line too.
        case duplicate(line: Int)

        package var description: String {
            switch self {
            case .fileTooLarge: "the file is larger than \(PasswordFile.maximumBytes >> 10) KiB"
            case .noColon: "there is no colon between user and hash"
            case .notUTF8: "it is not UTF-8"
            case .badUserName: "a user name is 1 to \(UserName.maximumBytes) bytes, without `:` and control characters"
            case .hash(let error): "the hash cannot be used: \(error)"
            case .duplicate(let line): "line \(line) is for the same user"
            }
        }
    }

    package struct Mistake: Hashable, Sendable, CustomStringConvertible {
        /// Counted from 1; 0 for the file as a whole.
        package var line: Int
        package var reason: Reason

        package var description: String { line > 0 ? "line \(line): \(reason)" : "\(reason)" }
    }

    /// In the file's order; never empty.
    package var mistakes: [Mistake]

    init(_ mistakes: [Mistake]) { self.mistakes = mistakes }

    package var description: String {
        "cannot read the password file:" + mistakes.map { "\n  \($0)" }.joined()
    }
}
