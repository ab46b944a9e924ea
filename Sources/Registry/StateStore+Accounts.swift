internal import Database

/// Users and access rules. Every change is durable when its call returns, and none is half done. Hashing a password
/// blocks the store's thread for some 50 ms on a small board.
extension StateStore {
    /// Users that are kept. Each login gate holds them in memory: some 300 bytes each.
    package static let maximumUsers = 20_000
    /// Rules that are kept. Each new connection walks them once.
    package static let maximumRules = 10_000

    /// How many users an import added and how many it gave another hash.
    package struct ImportResult: Hashable, Sendable {
        package var added = 0
        package var replaced = 0
    }

    // MARK: Users

    /// Every user's name, in the order of their bytes.
    package func users() throws(AccountError) -> [String] {
        try perform { (accounts) throws(SQLiteError) in try accounts.users().map(\.name) }
    }

    /// Every user with the hash to verify against, for a ``LoginGate``. A user whose stored hash cannot be read is left
    /// out: nobody can log in with it.
    package func hashes() throws(AccountError) -> [UserName: PasswordHash] {
        let rows = try perform { (accounts) throws(SQLiteError) in try accounts.users() }
        var hashes: [UserName: PasswordHash] = [:]
        for (name, text) in rows {
            guard let name = UserName(name), let hash = try? PasswordHash(parsing: text) else { continue }
            hashes[name] = hash
        }
        return hashes
    }

    /// Adds a user, or replaces the password of one that is there.
    /// - Parameter cost: of the yescrypt hash, as ``PasswordHash/make(_:cost:)`` takes it.
    /// - Returns: whether the user is new.
    @discardableResult
    package func putUser(
        _ name: UserName, password: [UInt8], cost: Int = PasswordHash.defaultCost
    ) throws(AccountError) -> Bool {
        try put([(name, try hash(password, cost))]).added == 1
    }

    /// Sets the password of a user that is there.
    package func setPassword(
        of name: UserName, to password: [UInt8], cost: Int = PasswordHash.defaultCost
    ) throws(AccountError) {
        let hash = try hash(password, cost)
        let isThere = try perform { (accounts) throws(SQLiteError) in
            try accounts.transaction(doing: "set a password in") { () throws(SQLiteError) in
                guard try accounts.hasUser(name) else { return false }
                try accounts.set(name, hash)
                return true
            }
        }
        guard isThere else { throw .unknownUser(name) }
    }

    /// Removes a user. The rules for the name stay: taking away the last one would open everything to everybody.
    /// - Returns: whether there was such a user.
    @discardableResult
    package func removeUser(_ name: UserName) throws(AccountError) -> Bool {
        try perform { (accounts) throws(SQLiteError) in try accounts.removeUser(name) }
    }

    /// Takes over every user of a password file, in one transaction; users that are not in it stay.
    package func importPasswords(_ file: PasswordFile) throws(AccountError) -> ImportResult {
        try put(file.entries)
    }

    private func put(_ entries: [(user: UserName, hash: PasswordHash)]) throws(AccountError) -> ImportResult {
        let result = try perform { (accounts) throws(SQLiteError) -> ImportResult? in
            var result = ImportResult()
            for entry in entries {
                if try accounts.hasUser(entry.user) { result.replaced += 1 } else { result.added += 1 }
            }
            guard try accounts.count("user") + result.added <= Self.maximumUsers else { return nil }
            try accounts.transaction(doing: "write users to") { () throws(SQLiteError) in
                for entry in entries { try accounts.set(entry.user, entry.hash) }
            }
            return result
        }
        guard let result else { throw .tooManyUsers }
        return result
    }

    private func hash(_ password: [UInt8], _ cost: Int) throws(AccountError) -> PasswordHash {
        do throws(PasswordError) {
            return try PasswordHash.make(password, cost: cost)
        } catch {
            throw .password(error)
        }
    }

    // MARK: Rules

    /// Every rule, in the order in which they were added.
    package func rules() throws(AccountError) -> [StoredRule] {
        try perform { (accounts) throws(SQLiteError) in try accounts.rules() }
    }

    /// The rules as they are applied.
    package func accessRules() throws(AccountError) -> AccessRules {
        try perform { (accounts) throws(SQLiteError) in
            AccessRules(try accounts.rules().map(\.rule), isClosed: try accounts.isClosed())
        }
    }

    /// Adds a rule, unless the same one is there.
    /// - Returns: its number.
    @discardableResult
    package func addRule(_ rule: AccessRule) throws(AccountError) -> Int64 {
        let id = try perform { (accounts) throws(SQLiteError) -> Int64? in
            if let id = try accounts.find(rule) { return id }
            guard try accounts.count("access_rule") < Self.maximumRules else { return nil }
            return try accounts.insert(rule)
        }
        guard let id else { throw .tooManyRules }
        return id
    }

    /// Removes a rule. With the last one everything is allowed again.
    /// - Returns: whether there was such a rule.
    @discardableResult
    package func removeRule(_ id: Int64) throws(AccountError) -> Bool {
        try perform { (accounts) throws(SQLiteError) in try accounts.removeRule(id) }
    }

    /// After a damaged file was replaced: no rules mean again that everything is allowed.
    package func reopen() throws(AccountError) {
        try perform { (accounts) throws(SQLiteError) in try accounts.setClosed(false) }
    }

    private func perform<R>(_ body: (AccountFile) throws(SQLiteError) -> R) throws(AccountError) -> R {
        guard let accounts = accountFile else { throw .closed }
        do throws(SQLiteError) {
            return try body(accounts)
        } catch {
            throw .database(error)
        }
    }
}
