internal import Database

/// A thread that computes hashes for a ``LoginGate``, one at a time.
actor HashWorker {
    private let executor: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Its place among the gate's workers.
    private let index: Int

    init(index: Int) throws(ThreadStartError) {
        self.index = index
        executor = try ThreadExecutor(name: "login-\(index + 1)")
    }

    /// Works until the gate has nothing left.
    func work(for gate: LoginGate) {
        while gate.workOne(by: index) {}
    }
}
