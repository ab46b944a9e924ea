internal import Database

/// The statements for users and access rules; no policy. Owned by the ``StateStore`` actor, never shared.
///
/// Statements are prepared when they are needed: accounts change by hand.
final class AccountFile {
    let file: StateFile
    private var path: String { file.connection.path }

    init(_ file: StateFile) { self.file = file }

    func transaction<R>(doing: String, _ body: () throws(SQLiteError) -> R) throws(SQLiteError) -> R {
        try file.connection.transaction(doing: "\(doing) \(path)", body)
    }

    private func statement(_ sql: String, doing: String) throws(SQLiteError) -> Statement {
        try Statement(sql, on: file.connection, doing: "\(doing) \(path)")
    }

    // MARK: Users

    /// Users with the hash to verify against. A user whose stored hash cannot be read is left out: nobody can log in
    /// with it.
    /// - Parameter users: gets what can be read; where this throws, what was read before the damage.
    func loadUsers(into users: inout [UserName: PasswordHash]) throws(SQLiteError) {
        let select = try statement("SELECT name, hash FROM user ORDER BY name", doing: "read the users of")
        while try select.step() {
            guard let name = UserName(select.text(at: 0)), let hash = try? PasswordHash(parsing: select.text(at: 1))
            else { continue }
            users[name] = hash
        }
    }

    /// Adds the user, or replaces the hash.
    func set(_ name: UserName, _ hash: PasswordHash) throws(SQLiteError) {
        let insert = try statement(
            "INSERT INTO user(name, hash) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET hash = excluded.hash",
            doing: "write a user to")
        try insert.bind(name.text, at: 1)
        try insert.bind(hash.text, at: 2)
        try insert.run()
    }

    /// With the user's rules and sessions: a later user of the same name must not get them.
    func removeUser(_ name: UserName) throws(SQLiteError) {
        for (table, column) in [("user", "name"), ("access_rule", "user"), ("session", "user")] {
            let delete = try statement("DELETE FROM \(table) WHERE \(column) = ?", doing: "remove a user from")
            try delete.bind(name.text, at: 1)
            try delete.run()
        }
    }

    /// Writes all of them in the place of those in the file. Within a transaction.
    func rewrite(_ accounts: StoredAccounts) throws(SQLiteError) {
        for table in ["user", "access_rule"] {
            try file.connection.execute("DELETE FROM \(table)", doing: "empty \(path)")
        }
        for (name, hash) in accounts.users { try set(name, hash) }
        for stored in accounts.rules { try insert(stored.rule, number: stored.id) }
        if accounts.lastRule > accounts.rules.last?.id ?? 0,
            let any = try? AccessRule(user: nil, access: .read, filter: "-")
        {
            // SQLite goes on counting from the highest number that it ever saw.
            try insert(any, number: accounts.lastRule)
            _ = try removeRule(accounts.lastRule)
        }
        try setClosed(accounts.isClosed)
    }

    // MARK: Rules

    func isClosed() throws(SQLiteError) -> Bool {
        try file.connection.integer("SELECT is_closed FROM account_state", doing: "read the state of \(path)") != 0
    }

    func setClosed(_ isClosed: Bool) throws(SQLiteError) {
        try file.connection.execute(
            "UPDATE account_state SET is_closed = \(isClosed ? 1 : 0)", doing: "write the state of \(path)")
    }

    /// By number.
    /// - Throws: `.corrupt` for a row that is no rule: to leave it out would change what is allowed unseen.
    func rules() throws(SQLiteError) -> [StoredRule] {
        let doing = "read the access rules of"
        let select = try statement(
            "SELECT id, user IS NULL, user, access, filter FROM access_rule ORDER BY id", doing: doing)
        var rules: [StoredRule] = []
        while try select.step() {
            let isForAll = select.integer(at: 1) != 0
            let user = isForAll ? nil : UserName(select.text(at: 2))
            guard isForAll || user != nil, let access = AccessRule.Access(rawValue: select.text(at: 3)),
                let rule = try? AccessRule(user: user, access: access, filter: select.text(at: 4))
            else {
                throw SQLiteError(
                    condition: .corrupt, doing: "\(doing) \(path)",
                    reason: "number \(select.integer(at: 0)) is no rule")
            }
            rules.append(StoredRule(id: select.integer(at: 0), rule: rule))
        }
        return rules
    }

    /// The highest number that a rule ever had.
    func lastRule() throws(SQLiteError) -> Int64 {
        try file.connection.integer(
            "SELECT seq FROM sqlite_sequence WHERE name = 'access_rule'", doing: "read the access rules of \(path)")
    }

    /// - Returns: its number, which no other rule ever had.
    func insert(_ rule: AccessRule) throws(SQLiteError) -> Int64 {
        let insert = try statement(
            "INSERT INTO access_rule(user, access, filter) VALUES(?1, ?2, ?3)", doing: "write an access rule to")
        try bind(rule, to: insert)
        try insert.run()
        return try file.connection.integer("SELECT last_insert_rowid()", doing: "write an access rule to \(path)")
    }

    private func insert(_ rule: AccessRule, number: Int64) throws(SQLiteError) {
        let insert = try statement(
            "INSERT INTO access_rule(id, user, access, filter) VALUES(?4, ?1, ?2, ?3)", doing: "write an access rule to"
        )
        try bind(rule, to: insert)
        try insert.bind(number, at: 4)
        try insert.run()
    }

    /// - Returns: whether there was such a rule.
    func removeRule(_ id: Int64) throws(SQLiteError) -> Bool {
        let delete = try statement("DELETE FROM access_rule WHERE id = ?", doing: "remove an access rule from")
        try delete.bind(id, at: 1)
        try delete.run()
        return file.connection.changes > 0
    }

    /// What is not bound is NULL.
    private func bind(_ rule: AccessRule, to statement: borrowing Statement) throws(SQLiteError) {
        if let user = rule.user { try statement.bind(user.text, at: 1) }
        try statement.bind(rule.access.rawValue, at: 2)
        try statement.bind(rule.filter, at: 3)
    }
}
