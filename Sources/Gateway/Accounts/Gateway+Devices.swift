import Admin
import Broker
import Configuration
import Logging
import Registry
import Setup

extension Gateway {
    /// Does what `tidegate device` asks for; connected devices feel it at once.
    func device(_ request: DeviceRequest) async -> DeviceAnswer {
        let connected = await broker.snapshot().clients.map { (client: $0.id, user: $0.user) }
        let answer = await DeviceCommands.perform(
            request, in: state,
            .init(hasCertificateUsers: settings.hasCertificateUsers, connected: connected))
        guard answer.failure == nil, answer.question == nil, request.changes else { return answer }
        await reloadAccounts(removed: request.removedUsers)
        return answer
    }

    /// Users and access rules are others now: the listener takes them over.
    func reloadAccounts(removed: Set<String> = []) async {
        do throws(AccountError) {
            try await accounts.load(from: state)
        } catch {
            logger.error("accounts cannot be read", metadata: ["error": "\(error)"])
        }
        broker.accountsChanged(removed: removed)
    }
}
