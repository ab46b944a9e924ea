package import Admin
package import Configuration
package import Registry
import Timekeeping

/// What `tidegate device` does, for the gateway that runs and for the command line when none does.
package enum DeviceCommands {
    /// Does it through the gateway that runs on `dataDirectory`, else in its state database.
    package static func perform(
        _ request: DeviceRequest, dataDirectory: String
    ) async throws(GatewayError) -> DeviceAnswer {
        do throws(ControlClient.Failure) {
            return try ControlClient.device(request, socketPath: ControlSocket.path(in: dataDirectory))
        } catch {
            guard case .notRunning = error else { throw GatewayError(error, doing: "ask the running gateway") }
        }
        try DataDirectory.prepare(dataDirectory)
        let store: StateStore
        do throws(StateError) {
            store = try StateStore(path: "\(dataDirectory)/state.db", boot: "", time: SystemTime())
        } catch {
            throw GatewayError(
                error.isLocked ? .unavailable : .io, doing: "open the state", reason: error.description)
        }
        let answer = await perform(request, in: store)
        await store.close()
        DataDirectory.giveToOwner(dataDirectory, database: "state.db")
        return answer
    }

    /// Does it in the state database. Nothing is half done when it fails.
    package static func perform(_ request: DeviceRequest, in store: StateStore) async -> DeviceAnswer {
        do {
            return try await attempt(request, store)
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

    private static func attempt(_ request: DeviceRequest, _ store: StateStore) async throws -> DeviceAnswer {
        switch request {
        case .add(let user, let password):
            let isNew = try await store.putUser(try name(user), password: Array(password.utf8))
            return DeviceAnswer(done: isNew ? "added \(user)" : "\(user) has a new password")
        case .setPassword(let user, let password):
            try await store.setPassword(of: try name(user), to: Array(password.utf8))
            return DeviceAnswer(done: "\(user) has a new password")
        case .remove(let user):
            guard try await store.removeUser(try name(user)) else {
                throw Mistake(text: "cannot remove \(user): there is no such user")
            }
            return DeviceAnswer(done: "removed \(user)")
        case .users: return DeviceAnswer(users: try await store.users())
        case .importPasswords(let text):
            let result = try await store.importPasswords(try PasswordFile(parsing: Array(text.utf8)))
            return DeviceAnswer(done: "\(result.added) users added, \(result.replaced) have another password")
        case .allow(let user, let access, let filter):
            guard let access = AccessRule.Access(rawValue: access) else {
                throw Mistake(text: "cannot add the rule: expected read, write, subscribe or readwrite, not \(access)")
            }
            let rule: AccessRule
            let user = try user.map { try name($0) }
            do throws(AccessRuleError) {
                rule = try AccessRule(user: user, access: access, filter: filter)
            } catch {
                throw Mistake(text: "cannot add the rule for \"\(filter)\": \(error)")
            }
            return DeviceAnswer(done: "rule \(try await store.addRule(rule))")
        case .removeRule(let number):
            guard try await store.removeRule(number) else {
                throw Mistake(text: "cannot remove rule \(number): there is none with this number")
            }
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

extension DeviceRequest {
    /// It may have changed who may do what.
    package var changes: Bool {
        switch self {
        case .users, .rules: false
        default: true
        }
    }

    /// Users that are no more once it is done.
    package var removedUsers: Set<String> {
        if case .remove(let user) = self { [user] } else { [] }
    }
}
