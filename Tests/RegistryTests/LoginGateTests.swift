import Registry
import Synchronization
import TestSupport
import Testing

@Suite struct LoginGateTests {
    private static let minute: Int64 = 60_000_000_000

    private static func accounts(_ pairs: [(String, String)], cost: Int = 1) throws -> [UserName: PasswordHash] {
        var accounts: [UserName: PasswordHash] = [:]
        for (user, password) in pairs {
            accounts[try #require(UserName(user))] = try PasswordHash.make(Array(password.utf8), cost: cost)
        }
        return accounts
    }

    private func login(
        _ gate: LoginGate, _ user: String, _ password: String, from address: String = "10.0.0.1", now: Int64 = 0
    ) async -> LoginGate.Verdict {
        await withCheckedContinuation { continuation in
            gate.verify(user: user, password: Array(password.utf8), address: address, now: now) {
                continuation.resume(returning: $0)
            }
        }
    }

    @Test func theRightPasswordIsComputedOnceForAWhile() async throws {
        let gate = try LoginGate(accounts: Self.accounts([("anna", "right"), ("ben", "right")]))
        for _ in 0..<5 { #expect(await login(gate, "anna", "right") == .accepted) }
        #expect(gate.counters.computed == 1 && gate.counters.cacheHits == 4 && gate.counters.accepted == 5)
        #expect(await login(gate, "ben", "right") == .accepted)
        #expect(gate.counters.computed == 2, "another user's password is another entry")
        #expect(await login(gate, "anna", "right", now: 9 * Self.minute) == .accepted)
        #expect(gate.counters.computed == 2)
        #expect(await login(gate, "anna", "right", now: 10 * Self.minute) == .accepted)
        #expect(gate.counters.computed == 3)
        #expect(await login(gate, "anna", "right", now: 19 * Self.minute) == .accepted)
        #expect(gate.counters.computed == 3)
    }

    @Test func wrongOnesAreRefusedAndUnknownUsersAreComputedToo() async throws {
        let gate = try LoginGate(accounts: Self.accounts([("anna", "right")]))
        #expect(await login(gate, "anna", "wrong", from: "a") == .refused)
        #expect(await login(gate, "nobody", "right", from: "b") == .refused)
        #expect(gate.counters.computed == 2)
        #expect(await login(gate, "", "right", from: "c") == .refused)
        #expect(await login(gate, "anna", String(repeating: "x", count: 600), from: "d") == .refused)
        #expect(gate.counters.computed == 2 && gate.counters.refused == 4 && gate.counters.addresses == 4)
        #expect(try await login(LoginGate(accounts: [:]), "anna", "right") == .refused)
    }

    @Test func anAddressThatFailsIsThrottledEvenWhenItIsRightAtLast() async throws {
        let gate = try LoginGate(accounts: Self.accounts([("anna", "right")]))
        #expect(await login(gate, "anna", "right", from: "good") == .accepted)
        for _ in 0..<5 { #expect(await login(gate, "anna", "wrong", from: "bad") == .refused) }
        #expect(await login(gate, "anna", "right", from: "bad") == .throttled(nanoseconds: 1_000_000_000))
        #expect(await login(gate, "anna", "right", from: "good") == .accepted)
        #expect(await login(gate, "anna", "right", from: "bad", now: 1_000_000_000) == .accepted)
        #expect(gate.counters.throttled == 1)
    }

    /// A burst of guesses that is queued before the first is answered is not looked at for long.
    @Test func aBurstOfGuessesIsThrottledInTheQueue() async throws {
        let gate = try LoginGate(accounts: Self.accounts([("anna", "right")]))
        let verdicts = Verdicts()
        for guess in 0..<100 {
            gate.verify(user: "anna", password: Array("\(guess)".utf8), address: "bad", now: 0) { verdicts.add($0) }
        }
        #expect(await eventually { verdicts.all.count == 100 })
        // Two threads: the one may be computing when the other closes the door.
        #expect((5...6).contains(verdicts.all.count { $0 == .refused }))
        #expect(gate.counters.computed <= 6 && gate.counters.throttled >= 94)
    }

    /// A thousand devices with one account, at once: one or two hashes.
    @Test func aCrowdWithOneAccountCostsOneHashForEachThread() async throws {
        var configuration = LoginGate.Configuration()
        configuration.maximumWaiting = 1000
        let gate = try LoginGate(accounts: Self.accounts([("anna", "right")], cost: 3), configuration: configuration)
        let verdicts = Verdicts()
        for _ in 0..<1000 {
            gate.verify(user: "anna", password: Array("right".utf8), address: "a", now: 0) { verdicts.add($0) }
        }
        #expect(await eventually { verdicts.all.count == 1000 })
        #expect(verdicts.all.allSatisfy { $0 == .accepted })
        #expect((1...2).contains(gate.counters.computed))
    }

    @Test func theQueueIsBoundedAndEveryLoginIsAnsweredOnce() async throws {
        var configuration = LoginGate.Configuration()
        configuration.maximumWaiting = 3
        let users = (0..<50).map { ("u\($0)", "right") }
        let gate = try LoginGate(accounts: Self.accounts(users, cost: 2), configuration: configuration)
        let verdicts = Verdicts()
        for (user, password) in users {
            gate.verify(user: user, password: Array(password.utf8), address: user, now: 0) { verdicts.add($0) }
        }
        #expect(gate.counters.waiting <= 3)
        #expect(await eventually { verdicts.all.count == 50 })
        let accepted = verdicts.all.count { $0 == .accepted }
        #expect(accepted >= 3 && accepted + verdicts.all.count { $0 == .busy } == 50)
        #expect(gate.counters.busy > 0 && gate.counters.waiting == 0)
    }

    @Test func newAccountsReplaceWhatWasRemembered() async throws {
        let gate = try LoginGate(accounts: Self.accounts([("anna", "old")]))
        #expect(await login(gate, "anna", "old") == .accepted)
        gate.replace(accounts: try Self.accounts([("anna", "new")]))
        #expect(await login(gate, "anna", "old") == .refused)
        #expect(await login(gate, "anna", "new") == .accepted)
    }

    @Test func aFullCacheForgetsTheOldest() async throws {
        var configuration = LoginGate.Configuration()
        configuration.cacheCapacity = 2
        let gate = try LoginGate(
            accounts: Self.accounts([("a", "p"), ("b", "p"), ("c", "p")]), configuration: configuration)
        for user in ["a", "b", "c", "b", "c"] { #expect(await login(gate, user, "p") == .accepted) }
        #expect(gate.counters.computed == 3)
        #expect(await login(gate, "a", "p") == .accepted)
        #expect(gate.counters.computed == 4)
    }

    @Test func aClosedGateIsBusy() async throws {
        let gate = try LoginGate(accounts: Self.accounts([("anna", "right")]))
        gate.close()
        #expect(await login(gate, "anna", "right") == .busy)
        #expect(gate.counters.busy == 1)
    }
}

/// What completions said.
private final class Verdicts: Sendable {
    private let verdicts = Mutex<[LoginGate.Verdict]>([])

    var all: [LoginGate.Verdict] { verdicts.withLock { $0 } }

    func add(_ verdict: LoginGate.Verdict) { verdicts.withLock { $0.append(verdict) } }
}
