import Admin
import Logging

extension ProcessSignals {
    /// Reads the settings again at each SIGHUP, as `tidegate reload` does; what came of it stands in the log. Runs until
    /// cancelled.
    func reload(_ gateway: Gateway) async {
        for await _ in reloads {
            let answer = await gateway.reload(ReloadRequest(isDryRun: false))
            guard let failure = answer.failure else { continue }
            gateway.logger.error("the settings were not reloaded", metadata: ["error": "\(failure.text)"])
        }
    }
}
