import Broker
import Configuration
import Database
import Registry
import Synchronization

/// One client's access, as the listener asks for it.
private final class Access: Permissions {
    private let access: ClientAccess
    let isProvisional: Bool

    init(_ access: ClientAccess, isProvisional: Bool) {
        self.access = access
        self.isProvisional = isProvisional
    }

    func mayPublish(_ topic: String) -> Bool { access.mayPublish(topic) }
    func mayReceive(_ topic: String) -> Bool { access.mayReceive(topic) }
    func maySubscribe(_ filter: String) -> Bool { access.maySubscribe(filter) }
}

/// Joins the listener's questions -- who is this, and what may it do -- to users and access rules in the state database.
/// Safe to use from any thread.
final class Accounts: Authenticator, AccessPolicy {
    private struct State {
        var rules = AccessRules()
        var users = 0
    }

    private let gate: LoginGate
    private let state = Mutex(State())

    /// Nobody is known before the first ``load(from:)``.
    init() throws(GatewayError) {
        do throws(ThreadStartError) {
            gate = try LoginGate(accounts: [:])
        } catch {
            throw GatewayError(.unavailable, doing: "check passwords", reason: "\(error)")
        }
    }

    /// Takes over what the state database has now.
    func load(from store: StateStore) async throws(AccountError) {
        let hashes = try await store.hashes()
        let rules = try await store.accessRules()
        state.withLock { $0 = State(rules: rules, users: hashes.count) }
        gate.replace(accounts: hashes)
    }

    /// Users and access rules there are.
    var counts: (users: Int, rules: Int) { state.withLock { ($0.users, $0.rules.rules.count) } }

    var counters: LoginCounters { gate.counters }

    /// Rules were lost with a damaged file: what none allows is denied, even if there is none.
    var isClosed: Bool { state.withLock { $0.rules.isClosed } }

    func close() { gate.close() }

    // MARK: Authenticator

    func decide(_ login: Login, completion: @escaping @Sendable (LoginVerdict) -> Void) {
        // A gateway without users asks nobody, where the listener lets anybody in anyway.
        if login.allowsAnonymous, state.withLock({ $0.users == 0 }) { return completion(.accepted(user: nil)) }
        let name = login.userName
        gate.verify(user: name, password: login.password, address: login.address, now: login.now) { verdict in
            switch verdict {
            case .accepted: completion(.accepted(user: name))
            case .refused: completion(.refused)
            case .throttled: completion(.throttled)
            case .busy: completion(.busy)
            }
        }
    }

    // MARK: AccessPolicy

    func permissions(user: String?, client: String) -> (any Permissions)? {
        let rules = state.withLock { $0.rules }
        let access = rules.access(user: user, client: client)
        return access.isUnrestricted ? nil : Access(access, isProvisional: rules.isClosed)
    }

    func refusal(user: String?, client: String) -> String? {
        state.withLock { $0.rules }.refusal(user: user, client: client)
    }
}
