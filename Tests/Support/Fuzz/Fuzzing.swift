import Glibc
import MQTT
package import Testing

/// What a case found wrong.
package struct FuzzFailure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// Which cases run: first those that failed once, then fresh ones. A case is nothing but its seed.
///
/// By hand, `TIDEGATE_FUZZ=600 swift test --filter Fuzz` goes on for so many seconds, and `TIDEGATE_FUZZ_SEED=5` takes
/// the seeds from there on instead of from chance; both say where they are, so that a case which ends the process is
/// found too. A seed that fails belongs into the list of its test.
package enum Fuzzing {
    private static func number(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    /// Seconds to go on for; `nil` in a usual run.
    package static let seconds = number("TIDEGATE_FUZZ")
    private static let start = number("TIDEGATE_FUZZ_SEED")
    private static let isByHand = seconds != nil || start != nil

    /// What a test may take.
    package static let limit = TimeLimitTrait.Duration.minutes(1 + (seconds ?? 0) / 20)

    /// Runs `body` with every seed of `kept`, then `count` fresh ones. Ends at the first few that fail.
    package static func run(
        _ name: String, kept: [UInt64], count: Int, _ body: (UInt64) async throws -> Void
    ) async {
        var failures = 0
        func attempt(_ seed: UInt64) async {
            // Other tests share the few threads there are, and some of them wait for what must not take long.
            await Task.yield()
            do {
                try await body(seed)
            } catch {
                failures += 1
                Issue.record("\(name), seed \(seed): \(error)")
            }
        }
        for seed in kept { await attempt(seed) }
        let first = start ?? UInt64.random(in: 0 ... .max / 2)
        let deadline = seconds.map { ContinuousClock.now + .seconds($0) }
        var done: UInt64 = 0
        while failures < 5, deadline.map({ ContinuousClock.now < $0 }) ?? (done < count) {
            if isByHand, done.isMultiple(of: 100) { tell("\(name): from seed \(first + done)\n") }
            await attempt(first + done)
            done += 1
        }
        if isByHand { tell("\(name): \(done) cases\n") }
    }

    /// At once, whatever comes next.
    private static func tell(_ text: String) { _ = write(STDERR_FILENO, text, text.utf8.count) }
}
