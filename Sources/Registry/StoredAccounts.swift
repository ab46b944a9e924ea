/// Users and access rules, as the state file has them and as memory keeps them.
struct StoredAccounts {
    var users: [UserName: PasswordHash] = [:]
    /// By number.
    var rules: [StoredRule] = []
    /// Rules were lost: what no rule allows is denied, even without any.
    var isClosed = false
    /// The highest number that a rule ever had.
    var lastRule: Int64 = 0

    /// Nothing restricts anybody.
    var isOpen: Bool { rules.isEmpty && !isClosed }
}
