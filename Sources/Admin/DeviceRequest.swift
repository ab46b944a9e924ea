/// What `tidegate device` asks for: users of the LAN listener and what they may do.
///
/// A change that opens everything, or cuts devices off, is done only when it is confirmed; else the answer is a question.
package enum DeviceRequest: Codable, Hashable, Sendable {
    /// A new user, or another password for one that is there.
    case add(user: String, password: String)
    case setPassword(user: String, password: String)
    /// A user with its access rules and its sessions.
    case remove(user: String, isConfirmed: Bool)
    case users
    /// The text of a file that `mosquitto_passwd` wrote.
    case importPasswords(text: String)
    /// `user` is `nil` for everybody; `access` is `read`, `write`, `subscribe` or `readwrite`.
    case allow(user: String?, access: String, filter: String, isConfirmed: Bool)
    /// Takes a rule away, by its number.
    case removeRule(Int64, isConfirmed: Bool)
    case rules
    /// After damaged rules were lost: no rules mean again that everything is allowed.
    case reopen
}

/// What came of it.
package struct DeviceAnswer: Codable, Hashable, Sendable {
    package struct Rule: Codable, Hashable, Sendable {
        package var number: Int64
        /// `nil`: everybody.
        package var user: String?
        package var access: String
        package var filter: String

        package init(number: Int64, user: String?, access: String, filter: String) {
            self.number = number
            self.user = user
            self.access = access
            self.filter = filter
        }
    }

    /// What was done, in a sentence.
    package var done: String?
    /// What should be known of what was done.
    package var note: String?
    /// Nothing was done: this would come of it. To be asked again with confirmation.
    package var question: String?
    package var users: [String]?
    package var rules: [Rule]?
    /// Nothing was done, and why.
    package var failure: RequestFailure?

    package init(
        done: String? = nil, users: [String]? = nil, rules: [Rule]? = nil, failure: RequestFailure? = nil
    ) {
        self.done = done
        self.users = users
        self.rules = rules
        self.failure = failure
    }

    /// For a person: one user or rule a line.
    package var text: String {
        if let done { return done }
        if let users { return users.isEmpty ? "no users" : users.joined(separator: "\n") }
        if let rules {
            guard !rules.isEmpty else { return "no rules: everybody may do everything" }
            return rules.map { rule in
                "\(rule.number)\t\(rule.user ?? "(everybody)")\t\(rule.access)\t\(rule.filter)"
            }.joined(separator: "\n")
        }
        return ""
    }
}
