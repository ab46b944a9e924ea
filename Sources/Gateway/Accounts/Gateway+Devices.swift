import Admin
import Broker
import Logging
import Registry
import Setup

extension Gateway {
    /// Does what `tidegate device` asks for; connected devices feel it at once.
    func device(_ request: DeviceRequest) async -> DeviceAnswer {
        let answer = await DeviceCommands.perform(request, in: state)
        guard answer.failure == nil, request.changes else { return answer }
        do throws(AccountError) {
            try await accounts.load(from: state)
        } catch {
            logger.error("accounts cannot be read", metadata: ["error": "\(error)"])
        }
        broker.accountsChanged(removed: request.removedUsers)
        return answer
    }
}
