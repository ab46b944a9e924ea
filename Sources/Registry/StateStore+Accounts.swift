internal import Database

/// Users and access rules. They are read from memory; every change is durable when its call returns, and none is half
/// done. Hashing a password blocks the store's thread for some 50 ms on a small board.
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
    package func users() throws(AccountError) -> [String] { try known().users.keys.sorted().map(\.text) }

    package func hasUser(_ name: UserName) throws(AccountError) -> Bool { try known().users[name] != nil }

    /// Every user with the hash to verify against, for a ``LoginGate``.
    package func hashes() throws(AccountError) -> [UserName: PasswordHash] { try known().users }

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
        guard try known().users[name] != nil else { throw .unknownUser(name) }
        _ = try put([(name, hash)])
    }

    /// Removes a user with the user's rules and stored sessions: a later user of the same name gets none of them. Where
    /// these were the last rules, everything is allowed to everybody.
    /// - Returns: whether there was such a user.
    @discardableResult
    package func removeUser(_ name: UserName) throws(AccountError) -> Bool {
        guard try known().users[name] != nil else { return false }
        try change("remove a user from") { (open) throws(SQLiteError) in try open.accounts.removeUser(name) }
        open?.sessions.forget(sessionsOf: name.text)
        accounts.users[name] = nil
        accounts.rules.removeAll { $0.rule.user == name }
        settleMarker()
        return true
    }

    /// Takes over every user of a password file, in one transaction; users that are not in it stay.
    package func importPasswords(_ file: PasswordFile) throws(AccountError) -> ImportResult { try put(file.entries) }

    private func put(_ entries: [(user: UserName, hash: PasswordHash)]) throws(AccountError) -> ImportResult {
        let users = try known().users
        let replaced = entries.count { users[$0.user] != nil }
        let result = ImportResult(added: entries.count - replaced, replaced: replaced)
        guard users.count + result.added <= Self.maximumUsers else { throw .tooManyUsers }
        try change("write users to") { (open) throws(SQLiteError) in
            for entry in entries { try open.accounts.set(entry.user, entry.hash) }
        }
        for entry in entries { accounts.users[entry.user] = entry.hash }
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
    package func rules() throws(AccountError) -> [StoredRule] { try known().rules }

    /// The rules as they are applied.
    package func accessRules() throws(AccountError) -> AccessRules {
        let accounts = try known()
        return AccessRules(accounts.rules.map(\.rule), isClosed: accounts.isClosed)
    }

    /// Adds a rule, unless the same one is there.
    /// - Returns: its number.
    @discardableResult
    package func addRule(_ rule: AccessRule) throws(AccountError) -> Int64 {
        let accounts = try known()
        if let same = accounts.rules.first(where: { $0.rule == rule }) { return same.id }
        guard accounts.rules.count < Self.maximumRules else { throw .tooManyRules }
        do throws(SQLiteError) {
            try requireFile()
            // Before the rule, for a crash between the two.
            try marker.write(.rules)
        } catch {
            throw .database(error)
        }
        let id = try change("write an access rule to") { (open) throws(SQLiteError) in try open.accounts.insert(rule) }
        self.accounts.rules.append(StoredRule(id: id, rule: rule))
        self.accounts.lastRule = max(self.accounts.lastRule, id)
        return id
    }

    /// Removes a rule. With the last one everything is allowed again.
    /// - Returns: whether there was such a rule.
    @discardableResult
    package func removeRule(_ id: Int64) throws(AccountError) -> Bool {
        guard try known().rules.contains(where: { $0.id == id }) else { return false }
        _ = try change("remove an access rule from") { (open) throws(SQLiteError) in try open.accounts.removeRule(id) }
        accounts.rules.removeAll { $0.id == id }
        settleMarker()
        return true
    }

    /// After a damaged file was replaced: no rules mean again that everything is allowed.
    package func reopen() throws(AccountError) {
        _ = try known()
        try change("write the state of") { (open) throws(SQLiteError) in try open.accounts.setClosed(false) }
        accounts.isClosed = false
        settleMarker()
    }

    private func known() throws(AccountError) -> StoredAccounts {
        guard !isClosed else { throw .closed }
        return accounts
    }

    private func change<R>(
        _ doing: String, _ body: (OpenState) throws(SQLiteError) -> R
    ) throws(AccountError) -> R {
        do throws(SQLiteError) {
            return try use { (open) throws(SQLiteError) in
                try open.accounts.transaction(doing: doing) { () throws(SQLiteError) in try body(open) }
            }
        } catch {
            throw .database(error)
        }
    }

    /// After the change that it speaks of. Where it cannot be written it says `rules`, which opens nothing.
    private func settleMarker() { try? marker.write(accounts.isOpen ? .open : .rules) }
}
