import Admin
import Logging
import UnixSignals

/// SIGHUP reads the settings again, as `tidegate reload` does; what came of it stands in the log.
enum ReloadSignal {
    /// Runs until cancelled.
    static func reload(_ gateway: Gateway) async {
        for await _ in await UnixSignalsSequence(trapping: .sighup) {
            let answer = await gateway.reload(ReloadRequest(isDryRun: false))
            guard let failure = answer.failure else { continue }
            gateway.logger.error("the settings were not reloaded", metadata: ["error": "\(failure.text)"])
        }
    }
}
