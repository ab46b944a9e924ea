extension GatewayStatus {
    /// One piece of the gateway that can fail, or be replaced, by itself.
    package struct Part: Codable, Hashable, Sendable {
        /// "listener 0.0.0.0:8883", "sensor gps", "outbox file".
        package var name: String
        /// `starting`, `running`, `degraded` (it runs, and something is wrong that it mends itself), `backing off` (it
        /// failed and is started again), `given up` or `stopped`.
        package var state: String
        package var secondsInState: Double
        /// Since the gateway started.
        package var restarts: UInt64
        /// What is wrong now; absent while the part is well.
        package var problem: String?
        /// What a person can do about it.
        package var remedy: String?
        /// The last failure, also after the part has recovered; absent where it never failed.
        package var lastError: String?

        package init(
            name: String, state: String, secondsInState: Double, restarts: UInt64 = 0, problem: String? = nil,
            remedy: String? = nil, lastError: String? = nil
        ) {
            self.name = name
            self.state = state
            self.secondsInState = secondsInState
            self.restarts = restarts
            self.problem = problem
            self.remedy = remedy
            self.lastError = lastError
        }

        /// It does what it is for, and nothing is wrong.
        package var isWell: Bool { state == "running" }
    }
}

extension GatewayStatus.Part {
    /// For a person: one line, and the problem with its remedy below.
    var lines: [String] {
        var line = "part      \(name): \(isWell ? state : state.uppercased()) for \(GatewayStatus.age(secondsInState))"
        if restarts > 0 { line += ", started again \(restarts) \(restarts == 1 ? "time" : "times")" }
        var lines = [line]
        if let problem { lines += GatewayStatus.indented(problem) }
        if let remedy { lines += GatewayStatus.indented("try: \(remedy)") }
        return lines
    }
}
