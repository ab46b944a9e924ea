package import Database
internal import Synchronization

/// Verifies user names and passwords for an event loop: hashes are computed on two threads of its own, and the right
/// ones are remembered for a while, so that a thousand devices that come back together are let in without a thousand
/// hashes.
package final class LoginGate: Sendable {
    package struct Configuration: Sendable {
        /// Logins that may wait for a thread. A password is kept for as long as it waits.
        package var maximumWaiting = 256
        /// Passwords that are remembered as right.
        package var cacheCapacity = 4096
        /// How long they are; nanoseconds.
        package var cacheLifetime: Int64 = 600_000_000_000
        /// Addresses whose failures are remembered.
        package var addresses = 1024

        package init() {}
    }

    package enum Verdict: Hashable, Sendable {
        case accepted
        /// Wrong password or unknown user; which of them is not told.
        case refused
        /// Not looked at: this address failed too often. It may try again after so many nanoseconds.
        case throttled(nanoseconds: Int64)
        /// Not looked at: too many logins wait, or the accounts changed meanwhile. Trying again soon is right.
        case busy
    }

    /// A login that waits.
    private struct Job: Sendable {
        let user: UserName
        let password: [UInt8]
        let key: LoginCache.Key
        let address: String
        let now: Int64
        let completion: @Sendable (Verdict) -> Void
    }

    /// What a thread does with the job it took.
    private enum Step {
        case answer(Verdict)
        case compute(PasswordHash, isKnown: Bool, generation: UInt64)
    }

    private struct State {
        var accounts: [UserName: PasswordHash]
        /// The accounts' hashes: what is computed for a name that is none of theirs.
        var decoys: [PasswordHash]
        /// Counts the changes of `accounts`.
        var generation: UInt64 = 0
        /// `waiting[..<head]` are gone.
        var waiting: [Job] = []
        var head = 0
        /// Indices of threads that sleep.
        var idle: [Int]
        var cache: LoginCache
        var throttle: FailureThrottle
        var counters = LoginCounters()
        var isClosed = false

        var count: Int { waiting.count - head }

        mutating func take() -> Job? {
            guard head < waiting.count else { return nil }
            let job = waiting[head]
            head += 1
            if head == waiting.count || head >= 64 {
                waiting.removeFirst(head)
                head = 0
            }
            return job
        }

        mutating func count(_ verdict: Verdict) {
            switch verdict {
            case .accepted: counters.accepted += 1
            case .refused: counters.refused += 1
            case .throttled: counters.throttled += 1
            case .busy: counters.busy += 1
            }
        }

        mutating func refuse(_ address: String, now: Int64) -> Verdict {
            throttle.fail(address, now: now)
            return .refused
        }
    }

    private let configuration: Configuration
    private let workers: [HashWorker]
    private let state: Mutex<State>

    /// Starts the two threads; they end with the last reference.
    /// - Parameter accounts: who may log in, as ``StateStore/hashes()`` gives it.
    package init(
        accounts: [UserName: PasswordHash], configuration: Configuration = Configuration()
    ) throws(ThreadStartError) {
        workers = [try HashWorker(index: 0), try HashWorker(index: 1)]
        self.configuration = configuration
        state = Mutex(
            State(
                accounts: accounts, decoys: Array(accounts.values), idle: [0, 1],
                cache: LoginCache(capacity: configuration.cacheCapacity, lifetime: configuration.cacheLifetime),
                throttle: FailureThrottle(capacity: configuration.addresses)))
    }

    /// Decides about a login. Returns at once; never computes a hash on the caller's thread.
    /// - Parameters:
    ///   - address: who is slowed down by failures: the peer's IP address without its port. Of IPv6 the caller takes
    ///     the first 64 bits, for a peer has all addresses below them.
    ///   - now: nanoseconds of a clock that does not jump.
    ///   - completion: called exactly once, either before this returns or later on another thread. It must not block.
    package func verify(
        user: String, password: [UInt8], address: String, now: Int64,
        completion: @escaping @Sendable (Verdict) -> Void
    ) {
        let (verdict, worker) = state.withLock { state -> (Verdict?, Int?) in
            let verdict = decideAtOnce(&state, user, password, address, now, completion)
            if let verdict { state.count(verdict) }
            return (verdict, verdict == nil ? state.idle.popLast() : nil)
        }
        if let verdict { completion(verdict) }
        if let worker {
            let workers = workers
            Task { await workers[worker].work(for: self) }
        }
    }

    /// - Returns: `nil` when the login has been queued.
    private func decideAtOnce(
        _ state: inout State, _ user: String, _ password: [UInt8], _ address: String, _ now: Int64,
        _ completion: @escaping @Sendable (Verdict) -> Void
    ) -> Verdict? {
        guard !state.isClosed else { return .busy }
        // Before the cache: a guess must not be answered there.
        let delay = state.throttle.delay(of: address, now: now)
        guard delay == 0 else { return .throttled(nanoseconds: delay) }
        // No account has such a name or password, whatever it is.
        guard let name = UserName(user), password.count <= PasswordHash.maximumPasswordBytes, !state.accounts.isEmpty
        else { return state.refuse(address, now: now) }
        guard let key = state.cache.key(user: name, password: password) else { return .busy }
        if state.cache.contains(key, now: now) {
            state.counters.cacheHits += 1
            return .accepted
        }
        guard state.count < configuration.maximumWaiting else { return .busy }
        state.waiting.append(
            Job(user: name, password: password, key: key, address: address, now: now, completion: completion))
        return nil
    }

    /// Replaces who may log in. What is remembered of the old accounts is forgotten.
    package func replace(accounts: [UserName: PasswordHash]) {
        state.withLock { state in
            state.accounts = accounts
            state.decoys = Array(accounts.values)
            state.generation += 1
            state.cache.removeAll()
        }
    }

    /// Answers everything that waits, and all that comes later, with `.busy`.
    package func close() {
        let jobs = state.withLock { state -> [Job] in
            state.isClosed = true
            var jobs: [Job] = []
            while let job = state.take() {
                state.count(.busy)
                jobs.append(job)
            }
            return jobs
        }
        for job in jobs { job.completion(.busy) }
    }

    package var counters: LoginCounters {
        state.withLock { state in
            var counters = state.counters
            counters.waiting = state.count
            counters.addresses = state.throttle.count
            return counters
        }
    }

    // MARK: On the threads

    /// Works off one login.
    /// - Returns: `false` when there was none; the thread counts as asleep then.
    func workOne(by worker: Int) -> Bool {
        let taken = state.withLock { state -> (Job, Step)? in
            guard let job = state.take() else {
                state.idle.append(worker)
                return nil
            }
            return (job, nextStep(&state, job))
        }
        guard let (job, step) = taken else { return false }
        let verdict =
            switch step {
            case .answer(let verdict): verdict
            case .compute(let hash, let isKnown, let generation):
                settle(job, isRight: hash.verify(job.password) && isKnown, generation)
            }
        job.completion(verdict)
        return true
    }

    /// Looks again, for much may have happened while the login waited: the same one may have been answered, or the
    /// address may have failed. Without the latter a burst would be as many free guesses as fit in the queue.
    private func nextStep(_ state: inout State, _ job: Job) -> Step {
        let delay = state.throttle.delay(of: job.address, now: job.now)
        var verdict: Verdict?
        if delay > 0 {
            verdict = .throttled(nanoseconds: delay)
        } else if state.cache.contains(job.key, now: job.now) {
            state.counters.cacheHits += 1
            verdict = .accepted
        } else if state.accounts.isEmpty {
            verdict = state.refuse(job.address, now: job.now)
        }
        if let verdict {
            state.count(verdict)
            return .answer(verdict)
        }
        state.counters.computed += 1
        if let hash = state.accounts[job.user] { return .compute(hash, isKnown: true, generation: state.generation) }
        // An unknown name costs what some known one costs, and the same every time.
        let index = Int(state.cache.number(for: job.user) % UInt64(state.decoys.count))
        return .compute(state.decoys[index], isKnown: false, generation: state.generation)
    }

    private func settle(_ job: Job, isRight: Bool, _ generation: UInt64) -> Verdict {
        state.withLock { state in
            let verdict: Verdict
            if generation != state.generation {
                verdict = .busy
            } else if isRight {
                state.cache.insert(job.key, now: job.now)
                verdict = .accepted
            } else {
                verdict = state.refuse(job.address, now: job.now)
            }
            state.count(verdict)
            return verdict
        }
    }
}
