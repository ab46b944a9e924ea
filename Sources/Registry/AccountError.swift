package import Database

/// Why the accounts could not be read or changed. Says nothing of passwords and hashes.
package enum AccountError: Error, Hashable, Sendable, CustomStringConvertible {
    /// SQLite failed; nothing of the call remains.
    case database(SQLiteError)
    case password(PasswordError)
    case unknownUser(UserName)
    case tooManyUsers
    case tooManyRules
    /// `close()` was called.
    case closed

    package var description: String {
        switch self {
        case .database(let error): error.description
        case .password(let error): "cannot set the password: \(error)"
        case .unknownUser(let name): "cannot set the password of \(name): there is no such user"
        case .tooManyUsers: "cannot add the user: there are \(StateStore.maximumUsers) already"
        case .tooManyRules: "cannot add the access rule: there are \(StateStore.maximumRules) already"
        case .closed: "cannot use the accounts: the state file is closed"
        }
    }
}
