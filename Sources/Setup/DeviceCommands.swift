package import Admin
package import Configuration
package import Registry
import Timekeeping

/// What `tidegate device` does, for the gateway that runs and for the command line when none does.
package enum DeviceCommands {
    /// What is known of the gateway beside its accounts.
    package struct Surroundings: Sendable {
        /// User names may come from certificates (`user_from`): then there are users without a password here.
        package var hasCertificateUsers: Bool
        /// Who is connected; `nil` where no gateway runs.
        package var connected: [(client: String, user: String?)]?

        package init(hasCertificateUsers: Bool, connected: [(client: String, user: String?)]?) {
            self.hasCertificateUsers = hasCertificateUsers
            self.connected = connected
        }
    }

    /// Does it through the gateway that `target` names, or in its state database when none runs there.
    package static func perform(
        _ request: DeviceRequest, target: DeviceTarget, hasCertificateUsers: Bool
    ) async throws(GatewayError) -> DeviceAnswer {
        let dataDirectory = target.dataDirectory
        if let socketPath = target.socketPath {
            do throws(ControlClient.Failure) {
                return try ControlClient.device(request, socketPath: socketPath)
            } catch {
                throw GatewayError(error, doing: "ask the running gateway")
            }
        }
        if request.makesFile {
            try DataDirectory.prepare(dataDirectory)
        } else {
            try target.requireState()
        }
        let store: StateStore
        do throws(StateError) {
            store = try StateStore(path: target.statePath, boot: "", time: SystemTime())
        } catch {
            throw GatewayError(
                error.isLocked ? .unavailable : .io, doing: "open the state", reason: error.description,
                remedy: error.isLocked
                    ? "ask the program that has it open, which is a gateway, most likely: name its settings with -c"
                    : nil)
        }
        if let problem = store.snapshot.problem {
            await store.close()
            throw GatewayError(.io, doing: "use the state", reason: problem.reason, remedy: problem.remedy)
        }
        let answer = await perform(
            request, in: store, .init(hasCertificateUsers: hasCertificateUsers, connected: nil))
        await store.close()
        for name in ["state.db", "state.db.access"] { DataDirectory.giveToOwner(dataDirectory, database: name) }
        return answer
    }

    /// Does it in the state database. Nothing is half done when it fails.
    package static func perform(
        _ request: DeviceRequest, in store: StateStore, _ surroundings: Surroundings
    ) async -> DeviceAnswer {
        do {
            return try await attempt(request, store, surroundings)
        } catch let error as AccountError {
            let isUsage =
                switch error {
                case .database, .closed: false
                default: true
                }
            return .failure(isUsage ? .usage : .io, error.description)
        } catch let error as PasswordFileError {
            return .failure(.usage, error.description)
        } catch let error as Mistake {
            return .failure(.usage, error.text)
        } catch {
            return .failure(.internalFault, "\(error)")
        }
    }

    private struct Mistake: Error {
        let text: String
    }

    private static func attempt(
        _ request: DeviceRequest, _ store: StateStore, _ surroundings: Surroundings
    ) async throws -> DeviceAnswer {
        switch request {
        case .add(let user, let password):
            let isNew = try await store.putUser(try name(user), password: Array(password.utf8))
            return DeviceAnswer(done: isNew ? "added \(user)" : "\(user) has a new password")
        case .setPassword(let user, let password):
            try await store.setPassword(of: try name(user), to: Array(password.utf8))
            return DeviceAnswer(done: "\(user) has a new password")
        case .remove(let user, let isConfirmed): return try await remove(try name(user), isConfirmed, store)
        case .users: return DeviceAnswer(users: try await store.users())
        case .importPasswords(let text):
            let file = try PasswordFile(parsing: Array(text.utf8))
            guard !file.entries.isEmpty else {
                throw Mistake(
                    text: "cannot import the password file: it names no user\n"
                        + "  try: a file that mosquitto_passwd wrote; each of its lines is user:hash")
            }
            let result = try await store.importPasswords(file)
            return DeviceAnswer(done: "\(result.added) users added, \(result.replaced) have another password")
        case .allow(let user, let access, let filter, let isConfirmed):
            let rule = try rule(user: user, access: access, filter: filter)
            return try await add(rule, isConfirmed, store, surroundings)
        case .removeRule(let number, let isConfirmed):
            let rules = try await store.rules()
            guard rules.contains(where: { $0.id == number }) else {
                throw Mistake(
                    text: "cannot remove rule \(number): there is none with this number\n"
                        + "  try: tidegate device rules")
            }
            if rules.count == 1, !isConfirmed, try await !store.accessRules().isClosed {
                return .question("rule \(number) is the last one: without it, \(everything)")
            }
            _ = try await store.removeRule(number)
            return DeviceAnswer(done: "removed rule \(number)")
        case .rules:
            let rules = try await store.rules().map { stored in
                DeviceAnswer.Rule(
                    number: stored.id, user: stored.rule.user?.text, access: stored.rule.access.rawValue,
                    filter: stored.rule.filter)
            }
            var answer = DeviceAnswer(rules: rules)
            if rules.isEmpty, try await store.accessRules().isClosed {
                answer.done = "no rules, since they were lost with a damaged file: nobody may do anything"
            }
            return answer
        case .reopen:
            try await store.reopen()
            return DeviceAnswer(done: "what no rule speaks of is decided as if none had been lost")
        }
    }

    private static let everything = "every device that is let in may publish and subscribe to everything"

    private static func remove(
        _ user: UserName, _ isConfirmed: Bool, _ store: StateStore
    ) async throws -> DeviceAnswer {
        guard try await store.hasUser(user) else {
            throw Mistake(text: "cannot remove \(user): there is no such user\n  try: tidegate device list")
        }
        let rules = try await store.rules()
        let own = rules.count { $0.rule.user == user }
        if own > 0, own == rules.count, !isConfirmed, try await !store.accessRules().isClosed {
            return .question("the rules of \(user) are the only ones, and go along: without them, \(everything)")
        }
        _ = try await store.removeUser(user)
        let rest = own == 0 ? "" : own == 1 ? ", and its rule" : ", and its \(own) rules"
        return DeviceAnswer(done: "removed \(user)\(rest)")
    }

    private static func rule(user: String?, access: String, filter: String) throws -> AccessRule {
        guard let access = AccessRule.Access(rawValue: access) else {
            throw Mistake(text: "cannot add the rule: expected read, write, subscribe or readwrite, not \(access)")
        }
        let user = try user.map { try name($0) }
        do throws(AccessRuleError) {
            return try AccessRule(user: user, access: access, filter: filter)
        } catch {
            throw Mistake(text: "cannot add the rule for \"\(filter)\": \(error)")
        }
    }

    private static func add(
        _ rule: AccessRule, _ isConfirmed: Bool, _ store: StateStore, _ surroundings: Surroundings
    ) async throws -> DeviceAnswer {
        if let user = rule.user {
            let isThere = try await store.hasUser(user)
            guard isThere || surroundings.hasCertificateUsers else {
                throw Mistake(
                    text: "cannot add the rule: there is no user \(user)\n  try: tidegate device add \(user); names "
                        + "that come from certificates need a [[listener]] with user_from")
            }
            guard !rule.namesUser || AccessRule.isPlainLevel(user.text) else {
                throw Mistake(
                    text: "cannot add the rule: the name \(user) cannot stand for {user}, since it is no single level "
                        + "of a topic\n  try: write out the topic, or use another name")
            }
        }
        let before = try await store.accessRules()
        if before.rules.isEmpty, !before.isClosed, !isConfirmed {
            return .question(
                "this is the first rule: from now on, what no rule allows is denied. "
                    + (try await cutOff(by: AccessRules([rule]), store, surroundings)))
        }
        var answer = DeviceAnswer(done: "rule \(try await store.addRule(rule))")
        if rule.namesClient, !rule.namesUser {
            answer.note =
                "{client} confines nobody: a device chooses its client identifier, and may choose another's. "
                + "A user name is proved: use {user}"
        }
        return answer
    }

    /// Names that are told; the others are counted.
    private static let toldNames = 20

    /// Who may do nothing under these rules, in a sentence.
    private static func cutOff(
        by rules: AccessRules, _ store: StateStore, _ surroundings: Surroundings
    ) async throws -> String {
        let names: [String]
        let kind: String
        if let connected = surroundings.connected {
            kind = "Connected devices"
            names = connected.filter { !rules.isAllowedAnything(user: $0.user, client: $0.client) }
                .map { "\($0.client) (\($0.user ?? "no user"))" }
        } else {
            kind = "Users"
            names = try await store.users().filter { !rules.isAllowedAnything(user: $0, client: "any") }
        }
        guard !names.isEmpty else { return "\(kind) that this cuts off: none" }
        let more = names.count > toldNames ? ", and \(names.count - toldNames) more" : ""
        return "\(kind) that may do nothing then: " + names.sorted().prefix(toldNames).joined(separator: ", ") + more
    }

    private static func name(_ text: String) throws -> UserName {
        guard let name = UserName(text) else {
            throw Mistake(
                text: "cannot use \"\(text)\" as a user name: expected 1 to \(UserName.maximumBytes) bytes without "
                    + "`:` and control characters")
        }
        return name
    }
}

extension DeviceAnswer {
    fileprivate static func failure(_ kind: GatewayError.Kind, _ text: String) -> Self {
        DeviceAnswer(failure: RequestFailure(exitCode: kind.rawValue, text: text))
    }
}

extension DeviceAnswer {
    fileprivate static func question(_ text: String) -> Self {
        var answer = DeviceAnswer()
        answer.question = text
        return answer
    }
}

extension DeviceRequest {
    /// It makes sense before there is a state file.
    var makesFile: Bool {
        switch self {
        case .add, .importPasswords, .allow: true
        default: false
        }
    }

    /// It may have changed who may do what.
    package var changes: Bool {
        switch self {
        case .users, .rules: false
        default: true
        }
    }

    /// Users that are no more once it is done.
    package var removedUsers: Set<String> {
        if case .remove(let user, _) = self { [user] } else { [] }
    }
}
